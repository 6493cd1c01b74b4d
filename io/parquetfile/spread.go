package parquetfile

import "encoding/binary"

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
