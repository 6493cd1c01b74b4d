package kernel

import "unsafe"

// Number is what has Extremes.
type Number interface {
	int32 | uint32 | int64 | uint64 | float32 | float64
}

// minMaxes are the kernels by the type of a value; nil leaves it to the plain loop.
type minMaxes struct {
	int32, uint32, int64, float32, float64 func(values *byte, n int, lanes *byte)
}

// minMaxBytes are what the kernels take at a time.
const minMaxBytes = 4 * 32

// Extremes are the least and the greatest value of those that were added. NaN is
// passed over, and neither may be one to begin with; of zeros of both signs either
// is taken.
type Extremes[T Number] struct {
	Least, Most T
	NaN         bool  // one was passed over
	lanes       [24]T // of the kernels; values of 8 bytes use half
}

// Add looks at values.
func (e *Extremes[T]) Add(values []T) { e.add(best, values) }

func (e *Extremes[T]) add(l *level, values []T) {
	run := minMaxOf[T](l)
	size := int(unsafe.Sizeof(e.Least))
	whole := len(values) * size / minMaxBytes * minMaxBytes / size
	if run != nil && whole > 0 {
		half := 32 / size
		least, most, nan := e.lanes[:half], e.lanes[half:2*half], e.lanes[2*half:3*half]
		for i := range half {
			least[i], most[i] = e.Least, e.Most
		}
		run((*byte)(unsafe.Pointer(&values[0])), whole*size/32, (*byte)(unsafe.Pointer(&e.lanes[0])))
		// Apart, as one that had only NaN is what it was: no value.
		for i := range half {
			e.Least, e.Most = min(e.Least, least[i]), max(e.Most, most[i])
			e.NaN = e.NaN || nan[i] != nan[i] //nolint:gocritic // all bits set, which is a NaN; integers stay 0
		}
		values = values[whole:]
	}
	e.addPlain(values)
}

func minMaxOf[T Number](l *level) func(values *byte, n int, lanes *byte) {
	switch any(*new(T)).(type) {
	case int32:
		return l.minMax.int32
	case uint32:
		return l.minMax.uint32
	case int64:
		return l.minMax.int64
	case float32:
		return l.minMax.float32
	case float64:
		return l.minMax.float64
	}
	return nil
}

func (e *Extremes[T]) addPlain(values []T) {
	least, most, nan := e.Least, e.Most, e.NaN
	for _, v := range values {
		// The branches are almost never taken; min and max of Go look for NaN.
		if v < least {
			least = v
		}
		if v > most {
			most = v
		}
		if v != v { //nolint:gocritic // a NaN
			nan = true
		}
	}
	e.Least, e.Most, e.NaN = least, most, nan
}
