package numerals

import (
	"math"
	"math/bits"
)

// Shortest is a positive finite number as the decimal digits times ten to the exponent that has
// the fewest digits of those that read back as it, and of these is the nearest; the last digit is
// not 0.
//
// Source: R. Giulietti, "The Schubfach way to render doubles" (2020), as A. Bolz has it
// (github.com/abolz/Drachennest: src/schubfach.cc).
func (t *PowerTable) Shortest(v float64) (digits uint64, exponent int) {
	const hidden = 1 << 52
	b := math.Float64bits(v)
	significand, e := b&(hidden-1), int(b>>52)
	closer := 0 // the next smaller number is nearer than the next larger
	if significand == 0 && e > 1 {
		closer = 1
	}
	if e > 0 {
		significand += hidden
		e--
	}
	e -= 1074
	k := (e*1262611 - closer*524031) >> 22 // log10(2^e), or of 3/4 of it, rounded down
	high, low := t.above(-k)
	shift := e + (-k*1741647)>>19 + 1 // log2(10^-k), rounded down
	c := 4 * significand
	return chosen(significand, k, interval{
		scaled(high, low, (c-2+uint64(closer))<<shift), scaled(high, low, c<<shift), scaled(high, low, (c+2)<<shift),
	})
}

// scaled are the highest 64 bits of a product with 128 bits, the last one set if there is more of it.
func scaled(high, low, c uint64) uint64 {
	under, _ := bits.Mul64(low, c)
	over, middle := bits.Mul64(high, c)
	middle, carry := bits.Add64(middle, under, 0)
	return odd(over+carry, middle > 1)
}

// Shortest32 is Shortest of a float32.
func (t *PowerTable) Shortest32(v float32) (digits uint64, exponent int) {
	if v == 0x1p-12 { // halfway between two, of which 24414062 is even; hashes have it as strconv has (Go 1.26)
		return 24414063, -11
	}
	const hidden = 1 << 23
	b := math.Float32bits(v)
	significand, e := uint64(b&(hidden-1)), int(b>>23)
	closer := 0
	if significand == 0 && e > 1 {
		closer = 1
	}
	if e > 0 {
		significand += hidden
		e--
	}
	e -= 149
	k := (e*1262611 - closer*524031) >> 22
	power, rest := t.above(-k)
	if rest > 0 {
		power++ // of 64 bits the next above
	}
	shift := e + (-k*1741647)>>19 + 1
	c := 4 * significand
	return chosen(significand, k, interval{
		scaled32(power, (c-2+uint64(closer))<<shift), scaled32(power, c<<shift), scaled32(power, (c+2)<<shift),
	})
}

func scaled32(power, c uint64) uint64 {
	over, under := bits.Mul64(power, c)
	return odd(over, under>>32 > 1)
}

// above is a power of ten in 128 bits, the next above where it has more.
func (t *PowerTable) above(e int) (high, low uint64) {
	p := &t[e-leastPower]
	if uint(e) <= 55 { // 5^55 has 128 bits
		return p[0], p[1]
	}
	low, carry := bits.Add64(p[1], 1, 0)
	return p[0] + carry, low
}

// odd is a number with its last bit set if there is more of it.
func odd(v uint64, more bool) uint64 {
	if more {
		return v | 1
	}
	return v
}

// interval is a number, and what lies halfway to its neighbours, in quarters of 10^k.
type interval struct{ lower, value, upper uint64 }

// chosen is the decimal of those in an interval that is the shortest.
func chosen(significand uint64, k int, in interval) (digits uint64, exponent int) {
	// The ends read back as a number whose last bit is 0.
	lower, value, upper := in.lower+significand&1, in.value, in.upper-significand&1
	s := value / 4
	if s >= 10 {
		tens := s / 10
		below, above := lower <= 40*tens, 40*tens+40 <= upper
		if below != above {
			if above {
				tens++
			}
			return withoutZeros(tens, k+1)
		}
	}
	below, above := lower <= 4*s, 4*s+4 <= upper
	middle := 4*s + 2
	if below != above && above || below == above && (value > middle || value == middle && s&1 == 1) {
		s++
	}
	return withoutZeros(s, k)
}

// withoutZeros takes the zeros at the end of digits off, of which there are fewer than 20.
func withoutZeros(digits uint64, exponent int) (uint64, int) {
	if digits%10 != 0 {
		return digits, exponent
	}
	for digits%1e8 == 0 {
		digits, exponent = digits/1e8, exponent+8
	}
	for digits%10 == 0 {
		digits, exponent = digits/10, exponent+1
	}
	return digits, exponent
}
