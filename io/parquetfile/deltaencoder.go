package parquetfile

import (
	"encoding/binary"
	"math/bits"
)

const (
	deltaBlock = 128 // differences in a block
	deltaMini  = 32  // in a miniblock
	// deltaBlockBytes are what a block takes at most, and what packing writes
	// beyond it: the least difference, the widths, all of the values.
	deltaBlockBytes = binary.MaxVarintLen64 + deltaBlock/deltaMini + 8*deltaBlock + 8
)

// deltaEncoder encodes integers as DELTA_BINARY_PACKED: blocks of differences,
//
//	the least zigzag varint, 4 widths u8, 4 miniblocks
//
// a miniblock is 32 differences less the least one, of its width in bits each. A
// header with the number of values, and the first, comes before them. Source:
// parquet-format:Encodings.md.
type deltaEncoder struct {
	count       int
	first, last int64
	n           int                // of differences
	differences [deltaBlock]uint64 // of the block to come
}

func (e *deltaEncoder) reset() { e.count, e.first, e.last, e.n = 0, 0, 0, 0 }

// appendDifferences appends the blocks that values fill to dst, which has room
// for them: deltaBlockBytes each. Differences wrap in the values' type.
func appendDifferences[T int32 | int64](e *deltaEncoder, dst []byte, values []T) []byte {
	if len(values) == 0 {
		return dst
	}
	if e.count == 0 {
		e.first, e.last = int64(values[0]), int64(values[0])
		e.count, values = 1, values[1:]
	}
	e.count += len(values)
	last := T(e.last)
	for len(values) > 0 {
		k := min(deltaBlock-e.n, len(values))
		into := e.differences[e.n : e.n+k]
		for i, v := range values[:len(into)] {
			into[i] = uint64(int64(v - last))
			last = v
		}
		values = values[k:]
		if e.n += k; e.n == deltaBlock {
			dst = e.block(dst)
		}
	}
	e.last = int64(last)
	return dst
}

// finish appends the last block.
func (e *deltaEncoder) finish(dst []byte) []byte {
	if e.n == 0 {
		return dst
	}
	return e.block(dst)
}

func (e *deltaEncoder) header() []byte {
	h := binary.AppendUvarint(nil, deltaBlock)
	h = binary.AppendUvarint(h, deltaBlock/deltaMini)
	h = binary.AppendUvarint(h, uint64(e.count))
	return binary.AppendVarint(h, e.first)
}

// block appends a block of the differences that there are.
func (e *deltaEncoder) block(dst []byte) []byte {
	least := int64(e.differences[0])
	for _, d := range e.differences[:e.n] {
		least = min(least, int64(d))
	}
	// The last miniblock is filled up; those after it are left out.
	minis := (e.n + deltaMini - 1) / deltaMini
	for i := e.n; i < minis*deltaMini; i++ {
		e.differences[i] = uint64(least)
	}
	e.n = 0
	dst = binary.AppendVarint(dst, least)
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for m := range minis {
		mini := (*[deltaMini]uint64)(e.differences[m*deltaMini:])
		var or [4]uint64
		for i := 0; i < deltaMini; i += 4 {
			mini[i] -= uint64(least)
			mini[i+1] -= uint64(least)
			mini[i+2] -= uint64(least)
			mini[i+3] -= uint64(least)
			or[0] |= mini[i]
			or[1] |= mini[i+1]
			or[2] |= mini[i+2]
			or[3] |= mini[i+3]
		}
		width := bits.Len64(or[0] | or[1] | or[2] | or[3])
		dst[widths+m] = byte(width)
		pack(dst[len(dst):cap(dst)], mini, width)
		dst = dst[:len(dst)+width*deltaMini/8]
	}
	return dst
}

// pack writes values of width bits each, least significant bit first, and up to 8
// bytes beyond them.
func pack(dst []byte, values *[deltaMini]uint64, width int) {
	switch {
	case width == 0:
	case width <= 8:
		// 8 values take as many bytes as one has bits: a word, of which the next
		// covers the rest.
		w := uint(width)
		for i := 0; i < deltaMini; i += 8 {
			v := (*[8]uint64)(values[i:])
			low := v[0] | v[1]<<(w&63) | v[2]<<(2*w&63) | v[3]<<(3*w&63)
			high := v[4] | v[5]<<(w&63) | v[6]<<(2*w&63) | v[7]<<(3*w&63)
			binary.LittleEndian.PutUint64(dst[i/8*width:], low|high<<(4*w&63))
		}
	default:
		at, used, word := 0, uint(0), uint64(0)
		for _, v := range values {
			word |= v << used
			if used += uint(width); used >= 64 {
				binary.LittleEndian.PutUint64(dst[at:], word)
				at, used = at+8, used-64
				word = v >> (uint(width) - used) // Go shifts by 64 to 0
			}
		}
		if used > 0 {
			binary.LittleEndian.PutUint64(dst[at:], word)
		}
	}
}
