package kernel

import (
	"math"
	"math/bits"
	"unsafe"
)

// Integer is the set of integer element types.
type Integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Number is the set of element types that Go can convert between.
type Number interface {
	Integer | ~float32 | ~float64
}

// Cast converts len(dst) values without looking at them. It is for casts that
// keep every value of S.
func Cast[S, D Number](dst []D, src []S) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = D(v)
	}
}

// CheckResult tells what a checked cast met.
type CheckResult struct {
	// OutOfRange is the index of the first value that D cannot hold even
	// approximately (overflow, a fraction or NaN into an integer); -1 when
	// there is none.
	OutOfRange int
	// Inexact is the number of values that were rounded, FirstInexact the
	// index of the first of them or -1.
	Inexact      int64
	FirstInexact int
}

// CastChecked converts len(dst) values and reports those that changed. Values
// whose validity bit is 0 are converted to something and not reported; a nil
// bitmap means that all are valid. bit is the bitmap's bit of src[0].
//
// A cast to an integer is exact or out of range. A cast to a floating type is
// inexact when it rounds, and out of range when a finite value becomes
// infinite.
func CastChecked[S, D Number](dst []D, src []S, validity []byte, bit int) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	src = src[:len(dst)]
	for i, v := range src {
		d, ok, exact := castOne[S, D](v)
		dst[i] = d
		if ok && exact {
			continue
		}
		if validity != nil && validity[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			continue
		}
		if !ok {
			if res.OutOfRange < 0 {
				res.OutOfRange = i
			}
			continue
		}
		if res.FirstInexact < 0 {
			res.FirstInexact = i
		}
		res.Inexact++
	}
	return res
}

func castOne[S, D Number](v S) (d D, ok, exact bool) {
	if isFloat[S]() {
		return castFloat[D](float64(v))
	}
	if isFloat[D]() {
		d = D(v)
		// An integer is exact in a binary float when its magnitude without
		// trailing zeros fits the mantissa.
		mag := magnitude(v)
		if mag == 0 {
			return d, true, true
		}
		width := bits.Len64(mag) - bits.TrailingZeros64(mag)
		return d, true, width <= mantissaBits[D]()
	}
	d = D(v)
	ok = S(d) == v && (d < 0) == (v < 0)
	return d, ok, ok
}

func castFloat[D Number](v float64) (d D, ok, exact bool) {
	if isFloat[D]() {
		d = D(v)
		back := float64(d)
		if math.IsInf(back, 0) && !math.IsInf(v, 0) {
			return d, false, false
		}
		return d, true, back == v || v != v
	}
	// Comparisons in float64 before converting, because Go leaves the result
	// of an out-of-range conversion to the machine.
	lo, hi := integerRange[D]()
	if !(v >= lo && v < hi) || v != math.Trunc(v) {
		return 0, false, false
	}
	return D(v), true, true
}

func isFloat[T Number]() bool {
	// A fraction survives in a floating type alone. A variable, because the
	// conversion of a constant would not compile for integers.
	half := 0.5
	return T(half) != 0
}

func mantissaBits[T Number]() int {
	var t T
	if unsafe.Sizeof(t) == 4 {
		return 24
	}
	return 53
}

func magnitude[S Number](v S) uint64 {
	if v < 0 {
		return -uint64(int64(v))
	}
	return uint64(v)
}

// integerRange is the half-open range of an integer type, in float64, where
// both ends are exact.
func integerRange[D Number]() (lo, hi float64) {
	var d D
	width := int(unsafe.Sizeof(d)) * 8
	minusOne := -1.0
	if D(int64(minusOne)) < 0 {
		return -math.Ldexp(1, width-1), math.Ldexp(1, width-1)
	}
	return 0, math.Ldexp(1, width)
}
