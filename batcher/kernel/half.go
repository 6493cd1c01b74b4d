package kernel

import "math"

// HalfFormat is a binary floating format of 16 bits: a sign, exponent bits and
// mantissa bits, from the top.
type HalfFormat struct {
	mantissa int // bits stored
	bias     int
}

// The formats: IEEE 754 binary16, and bfloat16, the upper half of a binary32.
var (
	Float16  = HalfFormat{mantissa: 10, bias: 15}
	BFloat16 = HalfFormat{mantissa: 7, bias: 127}
)

// Layout of the float64 that values come from and go to.
const (
	doubleMantissa = 52
	doubleBias     = 1023
	doubleInf      = 0x7ff << doubleMantissa
)

// Narrow converts to the format, as bits, rounding to nearest, ties to even,
// and reports like CastChecked what it met.
func (f HalfFormat) Narrow(dst []uint16, src []float64, validity []byte, bit int) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	for i, v := range src[:len(dst)] {
		half, exact := f.narrow(v)
		dst[i] = half
		if exact {
			continue
		}
		if validity != nil && validity[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			continue
		}
		if uint64(half&0x7fff) == f.inf() {
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

// Widen converts bits of the format, which loses nothing.
func (f HalfFormat) Widen(dst []float64, src []uint16) {
	for i, b := range src[:len(dst)] {
		dst[i] = f.widen(b)
	}
}

// inf is the format's infinity.
func (f HalfFormat) inf() uint64 { return 0x7fff >> f.mantissa << f.mantissa }

// narrow rounds a value, and reports whether there was nothing to round.
func (f HalfFormat) narrow(v float64) (half uint16, exact bool) {
	b := math.Float64bits(v)
	sign := uint16(b >> 48 & 0x8000)
	b &^= 1 << 63
	switch {
	case b > doubleInf:
		return sign | uint16(f.inf()) | 1<<(f.mantissa-1), true // quiet NaN
	case b == doubleInf:
		return sign | uint16(f.inf()), true
	}
	shift := doubleMantissa - f.mantissa
	exponent := int(b>>doubleMantissa) - doubleBias + f.bias
	mantissa := b & (1<<doubleMantissa - 1)
	if exponent > 0 {
		// Rounding up may carry into the exponent, as it should.
		mantissa |= uint64(exponent) << doubleMantissa
	} else {
		// The result has no implicit bit: the mantissa moves right until its
		// exponent is the smallest one.
		shift += 1 - exponent
		if shift > doubleMantissa+1 {
			return sign, b == 0 // below half of the smallest value
		}
		mantissa |= 1 << doubleMantissa
	}
	mag := mantissa >> shift
	rest, tie := mantissa&(1<<shift-1), uint64(1)<<(shift-1)
	if rest > tie || rest == tie && mag&1 == 1 {
		mag++
	}
	if mag >= f.inf() {
		return sign | uint16(f.inf()), false
	}
	return sign | uint16(mag), rest == 0
}

func (f HalfFormat) widen(half uint16) float64 {
	sign := uint64(half&0x8000) << 48
	b := uint64(half & 0x7fff)
	inf := f.inf()
	switch {
	case b >= inf:
		return math.Float64frombits(sign | doubleInf | (b-inf)<<(doubleMantissa-f.mantissa))
	case b>>f.mantissa == 0:
		smallest := math.Float64frombits(uint64(doubleBias+1-f.bias-f.mantissa) << doubleMantissa)
		return math.Float64frombits(math.Float64bits(float64(b)*smallest) | sign)
	default:
		return math.Float64frombits(sign | (b<<(doubleMantissa-f.mantissa) + uint64(doubleBias-f.bias)<<doubleMantissa))
	}
}
