package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
)

// bitmapOf sets bit i of bits (zero, and large enough) where levels[i] == full,
// and returns how many are set. No level is above full.
func bitmapOf(bits []byte, levels []int16, full int16) (set int) {
	i := 0
	for ; i+8 <= len(levels); i += 8 {
		l := levels[i : i+8 : i+8]
		var b byte
		for j, d := range l {
			b |= isFull(d, full) << j
		}
		bits[i>>3] = b
		set += int(popcount[b])
	}
	for ; i < len(levels); i++ {
		f := isFull(levels[i], full)
		bits[i>>3] |= f << (i & 7)
		set += int(f)
	}
	return set
}

// isFull is 1 where d == full and 0 where d < full, without a branch.
func isFull(d, full int16) byte { return byte((d-full)>>15) + 1 }

var popcount = func() (t [256]uint8) {
	for i := range t {
		t[i] = t[i>>1] + uint8(i&1)
	}
	return t
}()

// spread moves k dense values at the front of b to the n slots whose bits are
// set, last to first, and zeroes the others. b holds n values of width bytes.
func spread(b []byte, width int, bits []byte, k, n int) {
	switch width {
	case 1:
		spreadOf(b[:n], bits, k)
	case 2:
		spreadOf(arrow.Uint16Traits.CastFromBytes(b)[:n], bits, k)
	case 4:
		spreadOf(arrow.Uint32Traits.CastFromBytes(b)[:n], bits, k)
	case 8:
		spreadOf(arrow.Uint64Traits.CastFromBytes(b)[:n], bits, k)
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
// branch costs more than the store it saves. An unset slot takes the value
// before it, masked to zero.
func spreadOf[T uint8 | uint16 | uint32 | uint64](v []T, bits []byte, k int) {
	i := len(v) - 1
	for ; i >= 0 && k > 0; i-- {
		if k == i+1 {
			return // no nulls before here: the rest is in place
		}
		if i&7 == 7 && bits[i>>3] == 0xff && k >= 8 {
			copy(v[i-7:i+1], v[k-8:k])
			k -= 8
			i -= 7
			continue
		}
		set := bits[i>>3] >> (i & 7) & 1
		v[i] = v[k-1] & -T(set)
		k -= int(set)
	}
	clear(v[:i+1])
}

// packBits writes one bit per byte of src (0 or 1) to dst.
func packBits(dst, src []byte) {
	i := 0
	for ; i+8 <= len(src); i += 8 {
		// Gathers the low bits of eight bytes into the top byte.
		dst[i>>3] = byte(binary.LittleEndian.Uint64(src[i:]) * 0x0102040810204080 >> 56)
	}
	if i < len(src) {
		var b byte
		for j, v := range src[i:] {
			b |= v & 1 << j
		}
		dst[i>>3] = b
	}
}
