package kernel

// FillNulls overwrites the values whose validity bit is 0. bit is the bitmap's
// bit of dst[0].
func FillNulls[D any](dst []D, validity []byte, bit int, fill D) {
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
	for i := range dst {
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
