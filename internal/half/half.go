// Package half gives the values of float16.
package half

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Float32 is the value of n. Arrow-go's own Float32 keeps the fraction of a number that is not
// normal, below 2^-14, for a float32 that is not normal either, which is some 10^33 times smaller
// (18.8.0).
func Float32(n float16.Num) float32 {
	const sign, fraction, exponent = 1 << 15, 1<<10 - 1, 31 << 10
	bits := n.Uint16()
	if bits&exponent != 0 {
		return n.Float32()
	}
	magnitude := float32(bits&fraction) / (1 << 24)
	return math.Float32frombits(math.Float32bits(magnitude) | uint32(bits&sign)<<16)
}
