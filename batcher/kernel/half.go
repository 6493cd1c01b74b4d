package kernel

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Half converts to IEEE 754 binary16, as bits, and reports rounding like
// CastChecked.
func Half(dst []uint16, src []float64, validity []byte, bit int) CheckResult {
	return narrow(dst, src, validity, bit, func(v float64) (uint16, float64) {
		n := float16.New(float32(v))
		return n.Uint16(), float64(n.Float32())
	})
}

// BFloat converts to bfloat16, as bits, rounding to nearest even, and reports
// rounding like CastChecked.
func BFloat(dst []uint16, src []float64, validity []byte, bit int) CheckResult {
	return narrow(dst, src, validity, bit, func(v float64) (uint16, float64) {
		b := BFloatBits(float32(v))
		return b, float64(math.Float32frombits(uint32(b) << 16))
	})
}

// BFloatBits is the bfloat16 nearest to v, ties to even; NaN stays NaN.
func BFloatBits(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func narrow(dst []uint16, src []float64, validity []byte, bit int, to func(float64) (uint16, float64)) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	for i, v := range src[:len(dst)] {
		bits, back := to(v)
		dst[i] = bits
		if back == v || v != v {
			continue
		}
		if validity != nil && validity[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			continue
		}
		if math.IsInf(back, 0) && !math.IsInf(v, 0) {
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

// HalfToFloat converts IEEE 754 binary16 bits.
func HalfToFloat[D ~float32 | ~float64](dst []D, src []uint16) {
	for i, b := range src[:len(dst)] {
		dst[i] = D(float16.FromBits(b).Float32())
	}
}
