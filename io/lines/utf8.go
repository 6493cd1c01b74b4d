package lines

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// IsASCII says that a text has no byte above 127.
func IsASCII(text []byte) bool { return asciiPrefix(text) == len(text) }

// asciiPrefix is how many bytes of a text come before the first one above 127.
func asciiPrefix(text []byte) int {
	const tops = 0x80 * ones
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
		if c >= utf8.RuneSelf {
			return len(text) - len(rest) + i
		}
	}
	return len(text)
}

// validUTF8 says that a text is UTF-8; one that goes on may end within a character. ASCII is
// passed over eight bytes at a time wherever it stands.
func validUTF8(text []byte, goesOn bool) bool {
	for {
		text = text[asciiPrefix(text):]
		for len(text) > 0 && text[0] >= utf8.RuneSelf {
			size := 2
			if len(text) < 2 || text[0] < 0xc2 || text[0] > 0xdf || text[1]&0xc0 != 0x80 {
				var c rune
				if c, size = utf8.DecodeRune(text); c == utf8.RuneError && size == 1 {
					return goesOn && !utf8.FullRune(text)
				}
			}
			text = text[size:]
		}
		if len(text) == 0 {
			return true
		}
	}
}
