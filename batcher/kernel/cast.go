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

// CastOdd converts 64-bit integers to float64, rounding those that do not fit
// it to odd: of the two neighbours, to the one whose last bit is 1. Another
// rounding, to fewer bits, then gives what one rounding alone would.
func CastOdd[S int64 | uint64](dst []float64, src []S) {
	for i, v := range src[:len(dst)] {
		mag := magnitude(v)
		if over := bits.Len64(mag) - 53; over > 0 {
			sticky := mag & (1<<over - 1)
			mag &^= 1<<over - 1
			if sticky != 0 {
				mag |= 1 << over
			}
		}
		dst[i] = float64(mag)
		if v < 0 {
			dst[i] = -dst[i]
		}
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
// infinite. NaN becomes NaN.
func CastChecked[S, D Number](dst []D, src []S, validity []byte, bit int) CheckResult {
	switch {
	case !isFloat[D]():
		return castInteger(dst, src[:len(dst)], validity, bit)
	case isFloat[S]():
		if d, ok := any(dst).([]float32); ok {
			if s, ok := any(src).([]float64); ok {
				return castDoubles(d, s[:len(d)], validity, bit)
			}
		}
		Cast(dst, src) // to the same or a wider type
		return CheckResult{OutOfRange: -1, FirstInexact: -1}
	default:
		return castIntegerToFloat(dst, src[:len(dst)], validity, bit)
	}
}

func isValid(validity []byte, bit int) bool {
	return validity == nil || validity[bit>>3]&(1<<(bit&7)) != 0
}

// castIntegerToFloat: an integer is exact in a binary float when its magnitude
// without trailing zeros fits the mantissa.
func castIntegerToFloat[S, D Number](dst []D, src []S, validity []byte, bit int) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	mantissa := mantissaBits[D]()
	for i, v := range src {
		dst[i] = D(v)
		mag := magnitude(v)
		if mag>>mantissa == 0 || bits.Len64(mag)-bits.TrailingZeros64(mag) <= mantissa || !isValid(validity, bit+i) {
			continue
		}
		if res.Inexact == 0 {
			res.FirstInexact = i
		}
		res.Inexact++
	}
	return res
}

// castInteger converts to an integer: every value is exact or out of range.
func castInteger[S, D Number](dst []D, src []S, validity []byte, bit int) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	lo, hi := integerRange[D]()
	fromFloat := isFloat[S]()
	for i, v := range src {
		var d D
		var ok bool
		if fromFloat {
			// Compared in float64 before converting, because Go leaves the
			// result of an out-of-range conversion to the machine.
			wide := float64(v)
			if ok = wide >= lo && wide < hi && wide == math.Trunc(wide); ok {
				d = D(v)
			}
		} else {
			d = D(v)
			ok = S(d) == v && (d < 0) == (v < 0)
		}
		dst[i] = d
		if !ok && res.OutOfRange < 0 && isValid(validity, bit+i) {
			res.OutOfRange = i
		}
	}
	return res
}

func isFloat[T Number]() bool {
	// A fraction survives in a floating type alone. A variable, because the
	// conversion of a constant would not compile for integers.
	half := 0.5
	return T(half) != 0
}

func isSigned[T Number]() bool {
	minusOne := -1.0
	return T(int64(minusOne)) < 0
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
// both ends are exact. Of a floating type it means nothing.
func integerRange[D Number]() (lo, hi float64) {
	var d D
	width := int(unsafe.Sizeof(d)) * 8
	if isSigned[D]() {
		return -math.Ldexp(1, width-1), math.Ldexp(1, width-1)
	}
	return 0, math.Ldexp(1, width)
}
