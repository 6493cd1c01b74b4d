// Package ascii passes over text of bytes below 128, 32 at a time, as most text is.
package ascii

import (
	"encoding/binary"
	"math/bits"
)

// first is the least byte that is no character of ASCII.
const first = 0x80

// Is says that a text has no byte above 127.
func Is(text []byte) bool { return Prefix(text) == len(text) }

// Prefix is how many bytes of a text come before the first one above 127.
func Prefix(text []byte) int {
	const tops = 0x8080808080808080
	rest := text
	for ; len(rest) >= 32; rest = rest[32:] {
		a, b := binary.LittleEndian.Uint64(rest[:8]), binary.LittleEndian.Uint64(rest[8:16])
		c, d := binary.LittleEndian.Uint64(rest[16:24]), binary.LittleEndian.Uint64(rest[24:32])
		if (a|b|c|d)&tops != 0 {
			break
		}
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		if w := binary.LittleEndian.Uint64(rest[:8]) & tops; w != 0 {
			return len(text) - len(rest) + bits.TrailingZeros64(w)/8
		}
	}
	for i, c := range rest {
		if c >= first {
			return len(text) - len(rest) + i
		}
	}
	return len(text)
}
