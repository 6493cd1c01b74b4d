package parquetfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// leastIndexRun is from how many equal indices on a repeated run is made of them: what
// ends a packed run costs its header, and the next one's.
const leastIndexRun = 32

// indexBytes is how many bytes appendIndices makes of n indices of width bits at most.
func indexBytes(n, width int) int {
	blocks := n/kernel.MiniValues + 2
	return blocks*kernel.MiniValues/8*width + (n/leastIndexRun*2+2)*(2*binary.MaxVarintLen32+4) + 8
}

// appendIndices appends indices of width bits as the hybrid of repeated runs and packed
// groups of 8 that Parquet has, after the byte that says the width. dst has room for
// indexBytes more. Source: parquet-format:Encodings.md.
func appendIndices(dst []byte, indices []uint32, width int) []byte {
	packed := 0 // where indices begin that no run has yet
	for i := 0; i < len(indices); {
		run := equalFrom(indices[i:])
		if run < leastIndexRun {
			i += run
			continue
		}
		// A packed run has whole groups of 8: it takes the first of the equal ones.
		if over := (i - packed) % 8; over > 0 {
			i, run = i+8-over, run-8+over
		}
		dst = appendPacked(dst, indices[packed:i], width)
		dst = binary.AppendUvarint(dst, uint64(run)<<1)
		for b := 0; b < width; b += 8 {
			dst = append(dst, byte(indices[i]>>b))
		}
		i += run
		packed = i
	}
	return appendPacked(dst, indices[packed:], width)
}

// equalFrom is how many indices equal the first, from it on.
func equalFrom(indices []uint32) int {
	n := 1
	for n < len(indices) && indices[n] == indices[0] {
		n++
	}
	return n
}

// appendPacked appends one packed run, whose last group is filled up with zeros.
func appendPacked(dst []byte, indices []uint32, width int) []byte {
	if len(indices) == 0 {
		return dst
	}
	groups := (len(indices) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	var values [kernel.MiniValues]uint64
	for len(indices) > 0 {
		n := min(len(indices), len(values))
		for i, v := range indices[:n] {
			values[i] = uint64(v)
		}
		clear(values[n:])
		pack(dst[len(dst):cap(dst)], &values, width)
		dst = dst[:len(dst)+kernel.MiniValues/8*width]
		indices = indices[n:]
	}
	return dst[:end]
}

// indexWidth is how many bits an index of n values has: one at least, as other writers
// have it, though none would do for one value.
func indexWidth(n int) int { return max(bits.Len(uint(n-1)), 1) }
