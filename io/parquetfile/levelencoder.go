package parquetfile

import (
	"encoding/binary"
	"math/bits"
)

// longestPacked is how many groups of 8 levels a packed run has at most: as many
// as a header of one byte counts.
const longestPacked = 63

// levelBytes is how many bytes n levels take at most: two for 8 of them, as a
// packed run of 8 or a repeated one, and a longer header for long runs.
func levelBytes(n int) int { return 2*(n/8+1) + n/64 + 8 }

// appendLevels appends n levels of one bit, valid of them 1, as the hybrid of
// repeated runs and packed groups of 8 that Parquet has: 8 equal ones and those
// after them become a run. levels has 9 bytes from the last bit on.
func appendLevels(dst, levels []byte, n, valid int) []byte {
	if valid == n {
		return append(binary.AppendUvarint(dst, uint64(n)<<1), 1)
	}
	header, groups := 0, 0 // of the last packed run
	for i := 0; i < n; {
		word := wordAt(levels, i)
		level := word & 1
		if run := min(runOf(word, level), n-i); run >= 8 {
			for whole := run == 64; whole && i+run < n; {
				more := runOf(wordAt(levels, i+run), level)
				run, whole = min(run+more, n-i), more == 64
			}
			dst = append(binary.AppendUvarint(dst, uint64(run)<<1), byte(level))
			groups, i = 0, i+run
			continue
		}
		if groups == 0 || groups == longestPacked {
			header, groups = len(dst), 0
			dst = append(dst, 0)
		}
		groups++
		dst[header] = byte(groups<<1 | 1)
		if left := n - i; left < 8 {
			word &= 1<<left - 1
		}
		dst = append(dst, byte(word))
		i += 8
	}
	return dst
}

// runOf is how many bits of word, from the first on, equal level.
func runOf(word, level uint64) int { return bits.TrailingZeros64(word ^ -level) }
