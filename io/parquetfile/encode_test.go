package parquetfile

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

func memoryOf(testing.TB) memory.Allocator { return memory.NewGoAllocator() }

// packBitsOf appends values of width bits each, least significant bit first.
func packBitsOf(b []byte, values []uint32, width int) []byte {
	acc, n := uint64(0), 0
	for _, v := range values {
		acc |= uint64(v) << n
		for n += width; n >= 8; n -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		b = append(b, byte(acc))
	}
	return b
}

// packedRuns is a hybrid of n random values below limit, in groups of up to 504
// as Arrow C++ writes them.
func packedRuns(rng *rand.Rand, n, width, limit int) (b []byte) {
	for n > 0 {
		k := min(n, 504)
		values := make([]uint32, (k+7)/8*8)
		for i := range values {
			values[i] = uint32(rng.IntN(limit))
		}
		b = binary.AppendUvarint(b, uint64(len(values)/8)<<1|1)
		b = packBitsOf(b, values, width)
		n -= k
	}
	return b
}

// runsOf encodes n levels of one bit as Arrow C++ does: groups of 8 equal ones
// and those after them become a run.
func runsOf(bits []byte, n int) (b []byte) {
	bit := func(i int) byte { return bits[i>>3] >> (i & 7) & 1 }
	var packed []byte
	flush := func() {
		for len(packed) > 0 {
			k := min(len(packed), 63)
			b = append(binary.AppendUvarint(b, uint64(k)<<1|1), packed[:k]...)
			packed = packed[k:]
		}
	}
	for i := 0; i < n; {
		run := 1
		for i+run < n && bit(i+run) == bit(i) {
			run++
		}
		if run >= 8 {
			flush()
			b = append(binary.AppendUvarint(b, uint64(run)<<1), bit(i))
			i += run
			continue
		}
		var group byte
		for j := range min(8, n-i) {
			group |= bit(i+j) << j
		}
		packed = append(packed, group)
		i += 8
	}
	flush()
	return b
}
