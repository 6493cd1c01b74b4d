package filter

import (
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/expr-lang/expr/parser/lexer"
)

// paired replaces, in the texts of an expression, each character beyond the first 65,536
// that is escaped as JSON does it, by two surrogates (RFC 8259, 7): the parser takes an
// escape for a character of its own, and a surrogate is none. Everything else keeps its
// place. alone is that of a surrogate without its other half; -1 where there is none.
func paired(text string, tokens []lexer.Token) (whole string, alone int) {
	if !strings.Contains(text, `\`) {
		return text, -1
	}
	runes, changed := []rune(text), false
	for _, t := range tokens {
		if t.Kind != lexer.String || t.To > len(runes) || runes[t.From] == '`' { // where nothing is escaped
			continue
		}
		var b []rune
		literal := runes[t.From:t.To]
		for at := 0; at < len(literal); {
			r, n := escaped(literal[at:])
			if !utf16.IsSurrogate(r) {
				b, at = append(b, literal[at:at+n]...), at+n
				continue
			}
			low, more := escaped(literal[at+n:])
			if r = utf16.DecodeRune(r, low); r == '\uFFFD' {
				return text, t.From + at
			}
			b, at = append(b, r), at+n+more
		}
		if len(b) < len(literal) {
			for i := copy(literal, b); i < len(literal); i++ {
				literal[i] = ' '
			}
			changed = true
		}
	}
	if !changed {
		return text, -1
	}
	return string(runes), -1
}

// escaped is what a literal's first character or escape stands for, as far as that may be a
// surrogate, and its length.
func escaped(literal []rune) (r rune, n int) {
	if len(literal) < 2 || literal[0] != '\\' {
		return 0, min(len(literal), 1)
	}
	digits, n := "", 2
	switch literal[1] {
	case 'u':
		if n = min(len(literal), 6); len(literal) > 2 && literal[2] == '{' {
			for n = 3; n < len(literal) && literal[n-1] != '}'; {
				n++
			}
			digits = strings.Trim(string(literal[2:n]), "{}")
			break
		}
		digits = string(literal[2:n])
	case 'U':
		n = min(len(literal), 10)
		digits = string(literal[2:n])
	}
	code, err := strconv.ParseUint(digits, 16, 32)
	if err != nil { // which is no surrogate in any case
		return 0, n
	}
	return rune(code), n
}
