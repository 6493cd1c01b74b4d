package kernel

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
)

// spreadBlock is how many slots the kernels take at a time: a word of the bitmap.
const spreadBlock = 64

// Spread moves the k dense values at the front of b to the n slots whose bits
// are set, k of them, and zeroes the others. b holds n values of width bytes.
func Spread(b []byte, width int, set []byte, k, n int) { spread(best, b, width, set, k, n) }

func spread(l *level, b []byte, width int, set []byte, k, n int) {
	b, set = b[:n*width], set[:(n+7)/8]
	whole := n &^ (spreadBlock - 1)
	if width >= len(l.spreads) || l.spreads[width] == nil || whole == 0 {
		spreadPlain(b, width, set, k, n)
		return
	}
	// The kernels trust that there are as many values as bits.
	last := CountBits(set, whole, n)
	if k != last+CountBits(set, 0, whole) {
		panic("kernel: values to spread and bits differ in number")
	}
	k -= last
	if tail := b[whole*width:]; len(tail) > 0 {
		copy(tail, b[k*width:(k+last)*width])
		spreadPlain(tail, width, set[whole/8:], last, n-whole)
	}
	l.spreads[width](&b[0], &set[0], k, whole)
}

// spreadPlain goes from the last slot to the first.
func spreadPlain(b []byte, width int, bits []byte, k, n int) {
	switch width {
	case 1:
		spreadOf(b[:n], bits, k)
	case 2:
		spreadOf(arrow.Uint16Traits.CastFromBytes(b)[:n], bits, k)
	case 4:
		spreadOf(arrow.Uint32Traits.CastFromBytes(b)[:n], bits, k)
	case 8:
		spreadOf(arrow.Uint64Traits.CastFromBytes(b)[:n], bits, k)
	case 16:
		spreadPairs(arrow.Uint64Traits.CastFromBytes(b)[:2*n], bits, k)
	default:
		for i := n - 1; i >= 0; i-- {
			slot := b[i*width : (i+1)*width]
			if bits[i>>3]>>(i&7)&1 == 0 {
				clear(slot)
				continue
			}
			if k--; k == i {
				return // the rest is in place
			}
			copy(slot, b[k*width:(k+1)*width])
		}
	}
}

// spreadOf does not branch on single bits: with nulls strewn in, a mispredicted
// branch costs more than the work it saves. It takes 8 slots at a time, from
// their last 8 values; an unset slot takes the value before it, masked to zero.
func spreadOf[T uint8 | uint16 | uint32 | uint64](v []T, bits []byte, k int) {
	i := len(v)
	for ; i&7 != 0 && k > 0; i-- { // up to whole bytes
		set := bits[(i-1)>>3] >> ((i - 1) & 7) & 1
		v[i-1] = v[k-1] & -T(set)
		k -= int(set)
	}
	for i >= 8 && k >= 8 && k < i {
		b := T(bits[i>>3-1])
		in := (*[8]T)(v[k-8:])
		out := (*[8]T)(v[i-8:])
		if b == 0xff {
			if i >= 64 && k >= 64 && binary.LittleEndian.Uint64(bits[i>>3-8:]) == math.MaxUint64 {
				copy(v[i-64:i], v[k-64:k])
				k, i = k-64, i-64
				continue
			}
			v0, v1, v2, v3, v4, v5, v6, v7 := in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]
			out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = v0, v1, v2, v3, v4, v5, v6, v7
			k, i = k-8, i-8
			continue
		}
		at := uint(7) // the last value not yet placed, of in
		v7 := in[at&7] & -(b >> 7)
		at -= uint(b >> 7)
		v6 := in[at&7] & -(b >> 6 & 1)
		at -= uint(b >> 6 & 1)
		v5 := in[at&7] & -(b >> 5 & 1)
		at -= uint(b >> 5 & 1)
		v4 := in[at&7] & -(b >> 4 & 1)
		at -= uint(b >> 4 & 1)
		v3 := in[at&7] & -(b >> 3 & 1)
		at -= uint(b >> 3 & 1)
		v2 := in[at&7] & -(b >> 2 & 1)
		at -= uint(b >> 2 & 1)
		v1 := in[at&7] & -(b >> 1 & 1)
		at -= uint(b >> 1 & 1)
		v0 := in[at&7] & -(b & 1)
		at -= uint(b & 1)
		out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = v0, v1, v2, v3, v4, v5, v6, v7
		k, i = k-int(7-at), i-8
	}
	for ; i > k && k > 0; i-- {
		set := bits[(i-1)>>3] >> ((i - 1) & 7) & 1
		v[i-1] = v[k-1] & -T(set)
		k -= int(set)
	}
	if k == 0 {
		clear(v[:i])
	}
}

// spreadPairs is spreadOf for values of two words each, one slot at a time.
func spreadPairs(v []uint64, bits []byte, k int) {
	i := len(v) / 2
	for ; i > k && k > 0; i-- {
		set := bits[(i-1)>>3] >> ((i - 1) & 7) & 1
		in, mask := (*[2]uint64)(v[2*k-2:]), -uint64(set)
		low, high := in[0]&mask, in[1]&mask
		*(*[2]uint64)(v[2*i-2:]) = [2]uint64{low, high}
		k -= int(set)
	}
	if k == 0 {
		clear(v[:2*i])
	}
}
