package numerals

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Pad is how many bytes may be read before and after a number.
const Pad = 8

// Surround puts a number into a buffer, alone, where it lies from one offset to another as Pad wants it.
func Surround(buffer, number []byte) (text []byte, from, to int) {
	var none [Pad]byte
	text = append(append(append(buffer[:0], none[:]...), number...), none[:]...)
	return text, Pad, len(text) - Pad
}

// eight reads eight digits, the first of which lies in the lowest byte. ok is false
// unless all are digits.
//
// Source: D. Lemire, "Quickly parsing eight digits" (2018): neighbours are joined to
// numbers of two digits, then of four, then of eight.
func eight(w uint64) (v uint64, ok bool) {
	return joined(w - '0'*Ones), notDigits(w) == 0
}

// Ones has the value 1 in each byte.
const Ones = 0x0101010101010101

// notDigits has the top bit of each byte that is no digit, up to the first at least.
func notDigits(w uint64) uint64 { return ((w + 0x46*Ones) | (w - '0'*Ones)) & (0x80 * Ones) }

// joined is the number of eight digits, given by their values.
func joined(w uint64) uint64 {
	w = w*10 + w>>8
	const mask = 0x000000ff000000ff
	return ((w&mask)*(100+1000000<<32) + (w>>16&mask)*(1+10000<<32)) >> 32
}

// upToEight reads n digits, 1 to 8, that end before an offset.
func upToEight(text []byte, to, n int) (uint64, bool) {
	w := binary.LittleEndian.Uint64(text[to-8 : to])
	gone := 64 - 8*uint(n) // bits of what stands before them, which become zeros
	return eight(w>>gone<<gone | 0x3030303030303030&(1<<gone-1))
}

// Digits reads the digits from one offset to another, at least one.
func Digits(text []byte, from, to int) (v uint64, ok bool) {
	switch n := to - from; {
	case n <= 0:
		return 0, false
	case n <= 8:
		return upToEight(text, to, n)
	case n <= 16:
		high, a := upToEight(text, to-8, n-8)
		low, b := upToEight(text, to, 8)
		return high*1e8 + low, a && b
	case n <= 19:
		high, a := upToEight(text, to-16, n-16)
		middle, b := upToEight(text, to-8, 8)
		low, c := upToEight(text, to, 8)
		return high*1e16 + middle*1e8 + low, a && b && c
	}
	for from < to-19 && text[from] == '0' {
		from++
	}
	for ; from < to; from++ {
		d := uint64(text[from]) - '0'
		high, low := bits.Mul64(v, 10)
		sum, carry := bits.Add64(low, d, 0)
		if d > 9 || high+carry != 0 {
			return 0, false
		}
		v = sum
	}
	return v, true
}

// Int64 reads an integer with or without a sign.
func Int64(text []byte, from, to int) (int64, bool) {
	negative := text[from] == '-'
	if negative || text[from] == '+' {
		from++
	}
	v, ok := Digits(text, from, to)
	if negative {
		return -int64(v), ok && v <= 1<<63
	}
	return int64(v), ok && v <= math.MaxInt64
}

// Uint64 reads an integer that is not negative.
func Uint64(text []byte, from, to int) (uint64, bool) {
	if text[from] == '+' {
		from++
	}
	return Digits(text, from, to)
}

// SmallInt reads integers of a smaller type.
func SmallInt[T int8 | int16 | int32](text []byte, from, to int) (T, bool) {
	v, ok := Int64(text, from, to)
	return T(v), ok && int64(T(v)) == v
}

// SmallUint reads integers of a smaller type that are not negative.
func SmallUint[T uint8 | uint16 | uint32](text []byte, from, to int) (T, bool) {
	v, ok := Uint64(text, from, to)
	return T(v), ok && uint64(T(v)) == v
}
