package numerals

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// AppendInt appends an integer in decimal digits, as strconv.AppendInt does.
func AppendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return AppendUint(append(dst, '-'), -uint64(v))
	}
	return AppendUint(dst, uint64(v))
}

// AppendUint is AppendInt of an integer that is not negative.
func AppendUint(dst []byte, v uint64) []byte {
	n := len(dst)
	dst = slices.Grow(dst, 3*8)[:n+3*8]
	room := dst[n:]
	if v < 1e8 {
		return dst[:n+putFirst(room, v)]
	}
	high := v / 1e8
	low := v - high*1e8
	if high < 1e8 {
		first := putFirst(room, high)
		binary.LittleEndian.PutUint64(room[first:], apart(low))
		return dst[:n+first+8]
	}
	top := high / 1e8
	first := putFirst(room, top)
	binary.LittleEndian.PutUint64(room[first:], apart(high-top*1e8))
	binary.LittleEndian.PutUint64(room[first+8:], apart(low))
	return dst[:n+first+16]
}

// Put17 writes the 17 digits of a number below 1e17, zeros before it included.
func Put17(room []byte, v uint64) {
	first := v / 1e16
	v -= first * 1e16
	high := v / 1e8
	room[0] = '0' + byte(first)
	binary.LittleEndian.PutUint64(room[1:], apart(high))
	binary.LittleEndian.PutUint64(room[9:], apart(v-high*1e8))
}

// PutFraction writes so many millionths without the zeros at their end, and returns how many digits
// that are. Eight bytes are written.
func PutFraction(room []byte, millionths uint64) (digits int) {
	w := apart(millionths) >> 16
	binary.LittleEndian.PutUint64(room, w)
	return (bits.Len64(w^'0'*Ones>>16) + 7) / 8
}

// putFirst writes a number below 1e8, and returns how many digits that are. Eight bytes are
// written.
func putFirst(room []byte, v uint64) (digits int) {
	w := apart(v)
	zeros := bits.TrailingZeros64(w^'0'*Ones|1<<63) / 8
	binary.LittleEndian.PutUint64(room, w>>(8*zeros))
	return 8 - zeros
}

// apart are the eight digits of a number below 1e8, the first in the lowest byte: joined the
// other way round. Each step divides halves of a word by products with the reciprocal, which are
// right for numbers as small.
func apart(v uint64) uint64 {
	high := v / 1e4
	w := high | (v-high*1e4)<<32
	q := w * 10486 >> 20 & (0x7f<<32 | 0x7f) // of 100
	w = q | (w-q*100)<<16
	q = w * 103 >> 10 & (0xf * 0x0001000100010001) // of 10
	return (q | (w-q*10)<<8) + '0'*Ones
}
