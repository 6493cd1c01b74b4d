package kernel

import (
	"encoding/binary"
	"math/bits"
)

// pairBytes are read of a pair of runs: three, and eight for its groups.
const pairBytes = 3 + 8

// Pairs decodes the runs of levels of one bit, as they are where nulls are strewn
// in, into a bitmap from bit at on, up to n of them:
//
//	count<<1 u8, the level u8, groups<<1|1 u8, the groups
//
// It takes pairs of a repeated run of up to 63 levels and a packed one of up to
// 7 groups of 8, for as long as they come, and returns how many levels there
// were, of how many bytes. word is what the bitmap's word of 64 has before at,
// last what it then has before at+levels; the words before it are stored.
// bitmap has room for n levels in whole words.
func Pairs(bitmap []byte, at, n int, word uint64, runs []byte) (levels, bytes int, last uint64) {
	return pairs(best, bitmap, at, n, word, runs)
}

func pairs(l *level, bitmap []byte, at, n int, word uint64, runs []byte) (levels, bytes int, last uint64) {
	if len(runs) < pairBytes || n < 8 {
		return 0, 0, word
	}
	bitmap = bitmap[:(at+n+63)/64*8] // or it panics
	if l.pairs == nil {
		return pairsPlain(bitmap, at, n, word, runs)
	}
	return l.pairs(&bitmap[0], at, n, word, &runs[0], len(runs))
}

func pairsPlain(bitmap []byte, at, n int, word uint64, runs []byte) (levels, bytes int, last uint64) {
	i, from, end := 0, at, at+n
	push := func(w uint64, k int) {
		word |= w << (at & 63)
		if at&63+k >= 64 {
			binary.LittleEndian.PutUint64(bitmap[at>>6<<3:], word)
			word = w >> (64 - at&63) // what did not fit; Go shifts by 64 to 0
		}
		at += k
	}
	for i+pairBytes <= len(runs) {
		pair := binary.LittleEndian.Uint32(runs[i:])
		groups := int(pair >> 17 & 7)
		// The level is 0 or 1, the counts are no more than those above.
		if pair&0xf1fe81 != 1<<16 || groups == 0 {
			break
		}
		repeated, level := int(pair>>1&63), uint64(pair>>8&1)
		if repeated+8*groups > end-at {
			break
		}
		push(-level&(1<<repeated-1), repeated)
		push(binary.LittleEndian.Uint64(runs[i+3:])&(1<<(8*groups)-1), 8*groups)
		i += 3 + groups
	}
	return at - from, i, word
}

// CountBits is how many bits of set are 1, of those from from to to.
func CountBits(set []byte, from, to int) (count int) {
	for ; from&63 != 0 && from < to; from++ {
		count += int(set[from>>3] >> (from & 7) & 1)
	}
	for ; from+64 <= to; from += 64 {
		count += bits.OnesCount64(binary.LittleEndian.Uint64(set[from>>3:]))
	}
	for ; from < to; from++ {
		count += int(set[from>>3] >> (from & 7) & 1)
	}
	return count
}
