package parquetfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// deltaBlockBytes are what a block takes at most, and what packing writes beyond
// it: the least difference, the widths, all of the values.
const deltaBlockBytes = binary.MaxVarintLen64 + kernel.BlockValues/kernel.MiniValues + 8*kernel.BlockValues + 8

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
	n           int          // of differences
	differences kernel.Block // to come
}

func (e *deltaEncoder) reset() { e.count, e.first, e.last, e.n = 0, 0, 0, 0 }

// appendDifferences appends the blocks that values fill to dst, which has room
// for them: deltaBlockBytes each. Differences wrap in the values' type.
func appendDifferences[T int32 | int64](e *deltaEncoder, dst []byte, values []T) []byte {
	if len(values) == 0 {
		return dst
	}
	if e.count == 0 {
		e.first = int64(values[0])
	} else {
		e.differences.Values[e.n] = uint64(int64(values[0] - T(e.last)))
		e.n++
	}
	e.count += len(values)
	e.last = int64(values[len(values)-1])
	for {
		if e.n == kernel.BlockValues {
			dst = e.block(dst)
		}
		k := min(kernel.BlockValues-e.n, len(values)-1)
		if k == 0 {
			return dst
		}
		kernel.Differences(e.differences.Values[e.n:e.n+k], values[:k+1])
		e.n += k
		values = values[k:]
	}
}

// finish appends the last block.
func (e *deltaEncoder) finish(dst []byte) []byte {
	if e.n == 0 {
		return dst
	}
	return e.block(dst)
}

func (e *deltaEncoder) header() []byte {
	h := binary.AppendUvarint(nil, kernel.BlockValues)
	h = binary.AppendUvarint(h, kernel.BlockValues/kernel.MiniValues)
	h = binary.AppendUvarint(h, uint64(e.count))
	return binary.AppendVarint(h, e.first)
}

// block appends a block of the differences that there are.
func (e *deltaEncoder) block(dst []byte) []byte {
	values := &e.differences.Values
	n := e.n
	e.n = 0
	for i := n; i < len(values); i++ {
		values[i] = values[0] // no new least one
	}
	least, set := e.differences.Rebase()
	if n < len(values) {
		// The last miniblock is filled up with zeros; those after it are left out.
		clear(values[n:])
		for m := n / kernel.MiniValues; m < len(set); m++ {
			set[m] = 0
			for _, v := range values[m*kernel.MiniValues : (m+1)*kernel.MiniValues] {
				set[m] |= v
			}
		}
	}
	dst = binary.AppendVarint(dst, least)
	widths := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for m, or := range set {
		width := bits.Len64(or)
		dst[widths+m] = byte(width)
		pack(dst[len(dst):cap(dst)], (*[kernel.MiniValues]uint64)(values[m*kernel.MiniValues:]), width)
		dst = dst[:len(dst)+width*kernel.MiniValues/8]
	}
	return dst
}

// pack writes values of width bits each, least significant bit first, and up to 8
// bytes beyond them.
func pack(dst []byte, values *[kernel.MiniValues]uint64, width int) {
	switch {
	case width == 0:
	case width <= 8:
		// 8 values take as many bytes as one has bits: a word, of which the next
		// covers the rest.
		w := uint(width)
		for i := 0; i < kernel.MiniValues; i += 8 {
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
