package lines

import (
	"unicode/utf8"

	"github.com/millrace/millrace/internal/ascii"
)

// validUTF8 says that a text is UTF-8; one that goes on may end within a character. ASCII is
// passed over eight bytes at a time wherever it stands.
func validUTF8(text []byte, goesOn bool) bool {
	for {
		text = text[ascii.Prefix(text):]
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
