package numerals

import (
	"math"
	"math/big"
	"math/bits"
	"sync"
)

// Exponents of ten for which there are floating numbers of 64 bits, with digits of up
// to 19 places before them, and those of what makes digits of such numbers.
const (
	leastPower = -342
	mostPower  = 324
)

// PowerTable has, for each exponent, the first 128 bits of that power of ten, cut off:
// high and low.
type PowerTable [mostPower - leastPower + 1][2]uint64

// Powers are made when somebody reads numbers.
func Powers() *PowerTable { return powers() }

var powers = sync.OnceValue(func() *PowerTable {
	all := &PowerTable{}
	ten, word := big.NewInt(10), new(big.Int).SetUint64(math.MaxUint64)
	for i := range all {
		e := i + leastPower
		v := new(big.Int).Exp(ten, big.NewInt(int64(max(e, -e))), nil)
		if e < 0 { // its reciprocal
			v = new(big.Int).Quo(new(big.Int).Lsh(big.NewInt(1), uint(v.BitLen())+127), v)
		}
		if n := v.BitLen(); n > 128 {
			v.Rsh(v, uint(n-128))
		} else {
			v.Lsh(v, uint(128-n))
		}
		all[i] = [2]uint64{new(big.Int).Rsh(v, 64).Uint64(), new(big.Int).And(v, word).Uint64()}
	}
	return all
})

// rounded is the float64 nearest to a decimal, where 128 bits of a power of ten decide
// which that is; ok is false where they do not.
//
// Source: D. Lemire, "Number Parsing at a Gigabyte per Second" (2021), the algorithm of
// M. Eisel, as Go's strconv has it (strconv/eisel_lemire.go).
func (t *PowerTable) rounded(d *Decimal) (float64, bool) {
	if d.digits == 0 || d.Exponent < leastPower || d.Exponent > mostPower {
		return 0, false
	}
	power := &t[d.Exponent-leastPower]
	shift := bits.LeadingZeros64(d.digits)
	digits := d.digits << shift
	exponent := uint64(217706*d.Exponent>>16+64+1023) - uint64(shift) // 217706/2^16 is log2(10)

	high, low := bits.Mul64(digits, power[0])
	if high&0x1ff == 0x1ff && low+digits < digits { // more bits of the power may matter
		high2, low2 := bits.Mul64(digits, power[1])
		merged, low3 := high, low+high2
		if low3 < low {
			merged++
		}
		if merged&0x1ff == 0x1ff && low3+1 == 0 && low2+digits < digits {
			return 0, false
		}
		high, low = merged, low3
	}
	top := high >> 63
	mantissa := high >> (top + 9)
	exponent -= 1 ^ top
	if low == 0 && high&0x1ff == 0 && mantissa&3 == 1 { // halfway between two
		return 0, false
	}
	mantissa += mantissa & 1
	mantissa >>= 1
	if mantissa>>53 > 0 {
		mantissa >>= 1
		exponent++
	}
	if exponent-1 >= 0x7ff-1 { // subnormal, or too large
		return 0, false
	}
	return math.Float64frombits(d.sign<<63 | exponent<<52 | mantissa&(1<<52-1)), true
}
