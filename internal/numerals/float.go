package numerals

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// exactPowers are those of ten that are exact as a float64.
var exactPowers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Decimal is a number in decimal digits, as it is written: digits times ten to the
// exponent.
type Decimal struct {
	digits   uint64
	Exponent int
	sign     uint64 // 1 of a negative one
	exact    bool   // no digits were left out
}

// ScanDecimal reads [+-] digits [. digits] [e [+-] digits], with a digit on one side of
// the point; ok is false for other texts.
func ScanDecimal(text []byte, from, to int) (d Decimal, ok bool) {
	// '+' and '-' are two apart. Signs cannot be foreseen, so they are no branch.
	c := text[from] - '+'
	signed := uint64(uint32(c&^2)-1) >> 31
	d.sign = signed & uint64(c>>1)
	from += int(signed)
	d.exact = true
	if n := to - from; n <= 8 {
		if d.digits, d.Exponent, ok = shortDecimal(binary.LittleEndian.Uint64(text[from:from+8]), n); ok {
			return d, true
		}
	}
	begin := from
	w := binary.LittleEndian.Uint64(text[from : from+8])
	n := min(bits.TrailingZeros64(notDigits(w))/8, to-from)
	v := joined((w - '0'*Ones) << (64 - 8*n))
	if from += n; n == 8 {
		v, from = whileDigits(text, from, to, v)
		n = from - begin
	}
	if from < to && text[from] == '.' {
		point := from + 1
		v, from = whileDigits(text, point, to, v)
		d.Exponent = point - from
		n += from - point
	}
	if n == 0 {
		return d, false
	}
	if n > 19 && n-leadingZeros(text[begin:from]) > 19 {
		v, d.exact = firstDigits(text[begin:from], &d.Exponent)
	}
	d.digits = v
	if from < to && text[from]|0x20 == 'e' {
		e, ok := scanExponent(text, from+1, to)
		if !ok {
			return d, false
		}
		d.Exponent += e
		from = to
	}
	return d, from == to
}

// shortDecimal reads n bytes of a word that are digits and at most one point, which is
// taken out of them, so that nothing depends on where it stands but the exponent.
func shortDecimal(w uint64, n int) (digits uint64, exponent int, ok bool) {
	found := w ^ '.'*Ones
	found = (found - Ones) &^ found & (0x80 * Ones) & (1<<(8*n) - 1) // the first is one
	if found != 0 {
		at := bits.TrailingZeros64(found) / 8
		before := uint64(1)<<(8*at) - 1
		w = w&before | w>>8&^before
		n--
		exponent = at - n
	}
	w = w<<(64-8*n) | '0'*Ones>>(8*n)
	return joined(w - '0'*Ones), exponent, notDigits(w) == 0 && n > 0
}

// whileDigits goes on with a number through the digits that follow, which may be too
// many for it. Whether eight are digits can be foreseen, since columns have numbers of one
// length; how many of the last eight are cannot, and is no branch.
func whileDigits(text []byte, from, to int, v uint64) (uint64, int) {
	for from < to {
		w := binary.LittleEndian.Uint64(text[from : from+8])
		others := notDigits(w)
		if others == 0 && from+8 <= to {
			v, from = v*1e8+joined(w-'0'*Ones), from+8
			continue
		}
		n := min(bits.TrailingZeros64(others)/8, to-from)
		return v*tens[n] + joined((w-'0'*Ones)<<(64-8*n)), from + n
	}
	return v, from
}

// tens are the powers of ten of 64 bits.
var tens = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// PowerOfTen is 10^n, of n up to 19.
func PowerOfTen(n int) uint64 { return tens[n] }

// leadingZeros counts those of digits with a point.
func leadingZeros(text []byte) (n int) {
	for _, c := range text {
		switch c {
		case '0':
			n++
		case '.':
		default:
			return n
		}
	}
	return n
}

// firstDigits are the first 19 digits that count of digits with a point, and whether
// all others are zeros; the exponent grows by those that are left out.
func firstDigits(text []byte, exponent *int) (v uint64, exact bool) {
	exact = true
	n := 0
	for _, c := range text {
		switch {
		case c == '.':
		case n < 19:
			v = v*10 + uint64(c-'0')
			if v > 0 {
				n++
			}
		default:
			exact = exact && c == '0'
			*exponent++
		}
	}
	return v, exact
}

// mostExponent is more than any float64 has, with whatever digits come before it.
const mostExponent = 1 << 20

func scanExponent(text []byte, from, to int) (e int, ok bool) {
	negative := false
	if from < to && (text[from] == '-' || text[from] == '+') {
		negative = text[from] == '-'
		from++
	}
	if from == to {
		return 0, false
	}
	for ; from < to; from++ {
		c := int(text[from]) - '0'
		if c < 0 || c > 9 {
			return 0, false
		}
		e = min(e*10+c, mostExponent)
	}
	if negative {
		e = -e
	}
	return e, true
}

// Float64 reads a float64 as strconv.ParseFloat does: the nearest, ties to even.
// Besides numbers in decimal digits it knows nan and inf; one that is beyond all
// float64 is none.
func (t *PowerTable) Float64(text []byte, from, to int) (float64, bool) {
	d, ok := ScanDecimal(text, from, to)
	if !ok {
		return NotFinite(text[from:to])
	}
	if v, ok := t.nearest(&d); ok {
		return v, true
	}
	v, err := strconv.ParseFloat(string(text[from:to]), 64)
	return v, err == nil
}

// nearest is the float64 nearest to a decimal; ok is false where that is not plain.
func (t *PowerTable) nearest(d *Decimal) (v float64, ok bool) {
	if !d.exact {
		return 0, false
	}
	// Both are exact as float64, below 2^53, so that one operation rounds once (Clinger, "How
	// to read floating point numbers accurately", 1990). Columns have either all their digits
	// or few, so that which way is taken can be foreseen.
	if d.digits < 1e15 && d.Exponent >= -22 && d.Exponent <= 22 {
		v = float64(d.digits)
		if d.Exponent < 0 {
			v /= exactPowers[-d.Exponent]
		} else {
			v *= exactPowers[d.Exponent]
		}
		return math.Float64frombits(math.Float64bits(v) | d.sign<<63), true
	}
	return t.rounded(d)
}

// Float32 is Float64 for float32, rounded once. It goes by the nearest float64, which lies on the
// same side of what is halfway between two float32 as the decimal does, unless it is just that.
func (t *PowerTable) Float32(text []byte, from, to int) (float32, bool) {
	d, ok := ScanDecimal(text, from, to)
	if !ok {
		v, ok := NotFinite(text[from:to])
		return float32(v), ok
	}
	const smallest, halfway = 0x1p-126, 1 << 28 // of normal ones; of the 29 bits that go
	if v, ok := t.nearest(&d); ok && math.Float64bits(v)&(2*halfway-1) != halfway && (math.Abs(v) >= smallest || v == 0) {
		near := float32(v)
		return near, !math.IsInf(float64(near), 0)
	}
	v, err := strconv.ParseFloat(string(text[from:to]), 32)
	return float32(v), err == nil
}

// NotFinite reads nan, inf and infinity, in any case, the last two with a sign.
func NotFinite(text []byte) (float64, bool) {
	sign, word := 1, text
	if len(word) > 0 && (word[0] == '-' || word[0] == '+') {
		if word[0] == '-' {
			sign = -1
		}
		word = word[1:]
	} else if bytes.EqualFold(word, []byte("nan")) {
		return math.NaN(), true
	}
	if bytes.EqualFold(word, []byte("inf")) || bytes.EqualFold(word, []byte("infinity")) {
		return math.Inf(sign), true
	}
	return 0, false
}
