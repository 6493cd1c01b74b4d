package rowtext

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
)

// JSON is how values of an array, which it borrows, stand in JSON.
func JSON(a arrow.Array) (Append, error) {
	c, err := jsonStyle.cellOf(a)
	if err != nil {
		return nil, err
	}
	return remembered(a, c.json()), nil
}

// json is how values stand in JSON.
func (c cell) json() Append {
	value := c.value
	switch c.kind {
	case textKind:
		value = func(dst []byte, row int) []byte { return AppendString(dst, c.text(row)) }
	case codeKind, base64Kind, exactKind:
		value = func(dst []byte, row int) []byte { return append(c.value(append(dst, '"'), row), '"') }
	case floatKind:
		value = func(dst []byte, row int) []byte {
			start := len(dst)
			if dst = c.value(dst, row); !isNumber(dst[start:]) {
				return AppendString(dst[:start], string(dst[start:]))
			}
			return dst
		}
	case missingKind:
		value = func(dst []byte, row int) []byte {
			start := len(dst)
			dst = c.value(dst, row)
			switch text := dst[start:]; {
			case !isNumber(text):
				return append(dst[:start], null...)
			case isWhole(text): // else readers would find integers, and no sign of a zero
				return append(dst, '.', '0')
			}
			return dst
		}
	}
	if c.null == nil {
		return value
	}
	return func(dst []byte, row int) []byte {
		if c.null(row) {
			return append(dst, null...)
		}
		return value(dst, row)
	}
}

const null = "null"

// isNumber tells what appendFloat writes of numbers from NaN, inf and -inf.
func isNumber(text []byte) bool {
	last := text[len(text)-1]
	return last != 'N' && last != 'f'
}

// isWhole says that a number has neither a point nor an exponent.
func isWhole(text []byte) bool {
	for _, b := range text {
		if b == '.' || b == 'e' {
			return false
		}
	}
	return true
}

// plainJSON are the bytes that stand for themselves in a JSON string.
var plainJSON = func() (plain [256]bool) {
	for b := byte(' '); b < utf8.RuneSelf; b++ {
		plain[b] = b != '"' && b != '\\'
	}
	return plain
}()

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, since JSON cannot hold them.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // so much of s is appended
	for i := 0; i < len(s); {
		b := s[i]
		if plainJSON[b] {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = utf8.AppendRune(append(dst, s[done:i]...), utf8.RuneError)
				done = i + size
			}
			i += size
			continue
		}
		dst = append(dst, s[done:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
		i++
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}
