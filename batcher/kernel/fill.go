package kernel

import "github.com/apache/arrow-go/v18/arrow/bitutil"

// FillNulls overwrites the values whose validity bit is 0. bit is the bitmap's
// bit of dst[0].
func FillNulls[D Number](dst []D, validity []byte, bit int, fill D) {
	copyFill(best, dst, dst, validity, bit, fill)
}

// CopyFill copies len(dst) values, and writes fill where the validity bit is 0.
// bit is the bitmap's bit of src[0].
func CopyFill[D Number](dst, src []D, validity []byte, bit int, fill D) {
	copyFill(best, dst, src[:len(dst)], validity, bit, fill)
}

func copyFill[D Number](l *level, dst, src []D, validity []byte, bit int, fill D) {
	n := len(dst) &^ (block - 1)
	k := l.fills[sizeOf[D]()]
	if k == nil {
		n = 0
	}
	if n > 0 {
		from, at := bitsFrom(validity, bit, n)
		k(pointer(dst), pointer(src), n, from, at, bitsOf(fill))
	}
	copy(dst[n:], src[n:])
	fillPlain(dst[n:], validity, bit+n, fill)
}

// fillPlain is FillNulls by a plain loop.
func fillPlain[D any](dst []D, validity []byte, bit int, fill D) {
	i := 0
	for ; i < len(dst) && (bit+i)&7 != 0; i++ {
		if validity[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			dst[i] = fill
		}
	}
	for ; i+8 <= len(dst); i += 8 {
		b := validity[(bit+i)>>3]
		if b == 0xff {
			continue
		}
		for j := range 8 {
			if b&(1<<j) == 0 {
				dst[i+j] = fill
			}
		}
	}
	for ; i < len(dst); i++ {
		if validity[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			dst[i] = fill
		}
	}
}

// Fill sets every value.
func Fill[D any](dst []D, value D) {
	for i := range dst {
		dst[i] = value
	}
}

// Bools spreads a bitmap into values of 1 and 0. bit is the bitmap's bit of
// dst[0].
func Bools[D Number](dst []D, bitmap []byte, bit int) {
	bools(best, dst, bitmap, bit)
}

func bools[D Number](l *level, dst []D, bitmap []byte, bit int) {
	n := len(dst) &^ (block - 1)
	k := l.spreads[sizeOf[D]()]
	if k == nil {
		n = 0
	}
	if n > 0 {
		from, at := bitsFrom(bitmap, bit, n)
		k(pointer(dst), n, from, at, bitsOf(D(1)))
	}
	for i := n; i < len(dst); i++ {
		dst[i] = D(bitmap[(bit+i)>>3] >> ((bit + i) & 7) & 1)
	}
}

// Gather takes src[index[i]] for every i. Indexes of null slots may be
// anything; those outside src give the zero value.
func Gather[S any, I Integer](dst []S, src []S, index []I) {
	var zero S
	for i, k := range index[:len(dst)] {
		if u := uint64(k); u < uint64(len(src)) {
			dst[i] = src[u]
		} else {
			dst[i] = zero
		}
	}
}

// CountOnes counts the 1 bits among n, from bit on.
func CountOnes(bitmap []byte, bit, n int) int { return countOnes(best, bitmap, bit, n) }

func countOnes(l *level, bitmap []byte, bit, n int) int {
	end, count := bit+n, 0
	bit64 := (bit + 63) &^ 63 // no address, so any place in the bitmap will do
	if l.ones != nil && end-bit64 >= countBits {
		whole := (end - bit64) &^ (countBits - 1)
		count = l.ones(&bitmap[bit64>>3 : (bit64+whole)>>3][0], whole/64)
		if bit64 > bit {
			count += countOnesPlain(bitmap, bit, bit64-bit)
		}
		if bit, n = bit64+whole, end-bit64-whole; n == 0 {
			return count
		}
	}
	return count + countOnesPlain(bitmap, bit, n)
}

func countOnesPlain(bitmap []byte, bit, n int) int { return bitutil.CountSetBits(bitmap, bit, n) }

// FirstZeroBit is the index, counted from bit, of the first 0 among n bits; -1
// when all are 1.
func FirstZeroBit(bitmap []byte, bit, n int) int {
	for i := 0; i < n; {
		if (bit+i)&7 == 0 && n-i >= 8 && bitmap[(bit+i)>>3] == 0xff {
			i += 8
			continue
		}
		if bitmap[(bit+i)>>3]&(1<<((bit+i)&7)) == 0 {
			return i
		}
		i++
	}
	return -1
}
