package rowtext

import (
	"bytes"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Fields is how CSV separates and quotes fields.
type Fields struct {
	Delimiter byte // one that no number, date or base64 has: , ; | or a tab
	// Guarded has texts that a spreadsheet would take for a formula begin with an
	// apostrophe.
	Guarded bool
	// Alone says that there is one column: a null is "" then, where readers would take
	// an empty line for none.
	Alone bool
}

// CSV is how values of an array, which it borrows, stand in fields.
func CSV(a arrow.Array, f Fields) (Append, error) {
	c, err := csvStyle.cellOf(a)
	if err != nil {
		return nil, err
	}
	return remembered(a, f.of(c)), nil
}

// of is how a cell's values stand in fields.
func (f Fields) of(c cell) Append {
	value := c.value
	switch c.kind {
	case textKind:
		value = func(dst []byte, row int) []byte { return f.Append(dst, c.text(row)) }
	case jsonKind:
		value = func(dst []byte, row int) []byte {
			start := len(dst)
			return f.quoteFrom(c.value(dst, row), start)
		}
	case base64Kind:
		value = f.guardedValue(func(dst []byte, row int) []byte {
			start := len(dst)
			if dst = c.value(dst, row); len(dst) == start { // else no bytes would be a null
				dst = append(dst, `""`...)
			}
			return dst
		})
	case codeKind:
		value = f.guardedValue(value)
	}
	if c.null == nil {
		return value
	}
	missing := ""
	if f.Alone {
		missing = `""`
	}
	return func(dst []byte, row int) []byte {
		if c.null(row) {
			return append(dst, missing...)
		}
		return value(dst, row)
	}
}

// guardedValue guards what needs no quotes: a date before the year 0 and base64 may begin like
// a formula.
func (f Fields) guardedValue(value Append) Append {
	if !f.Guarded {
		return value
	}
	return func(dst []byte, row int) []byte {
		start := len(dst)
		dst = value(append(dst, '\''), row)
		if !formula(dst[start+1:]) {
			dst = append(dst[:start], dst[start+1:]...)
		}
		return dst
	}
}

// Append appends a text as a field. `\.` is quoted since PostgreSQL takes it for the
// end of the data.
func (f Fields) Append(dst []byte, s string) []byte {
	if f.Guarded && formula(s) {
		return append(appendQuoted(append(dst, `"'`...), s), '"')
	}
	if s != "" && s != `\.` && !f.special(s) {
		return append(dst, s...)
	}
	return append(appendQuoted(append(dst, '"'), s), '"')
}

// special says whether a text must be quoted: it holds the delimiter, a quote, CR or
// LF. It looks at eight bytes at a time (https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord).
func (f Fields) special(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if b := s[i]; b == f.Delimiter || b == '"' || b == '\n' || b == '\r' {
				return true
			}
		}
		return false
	}
	delimiter := ones * uint64(f.Delimiter)
	last := s[len(s)-8:]
	for ; len(s) > 8; s = s[8:] {
		if special8(s, delimiter) {
			return true
		}
	}
	return special8(last, delimiter)
}

// ones and tops are the lowest and the highest bit of each of eight bytes.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// special8 is special of the first eight bytes. A byte of v^c is 0 where v has c.
func special8(s string, delimiter uint64) bool {
	v := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	d, q, n, r := v^delimiter, v^ones*'"', v^ones*'\n', v^ones*'\r'
	return ((d-ones)&^d|(q-ones)&^q|(n-ones)&^n|(r-ones)&^r)&tops != 0
}

// appendQuoted appends a text with its quotes doubled.
func appendQuoted(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
}

// quoteFrom makes a field of the text from start on, where it is: its quotes are
// doubled from the end.
func (f Fields) quoteFrom(dst []byte, start int) []byte {
	text := dst[start:]
	quotes := bytes.Count(text, []byte{'"'})
	if quotes == 0 && bytes.IndexByte(text, f.Delimiter) < 0 { // JSON has no line ends
		return dst
	}
	from := len(dst)
	for range quotes + 2 {
		dst = append(dst, '"')
	}
	to := len(dst) - 1 // where the closing quote is
	for from > start {
		from--
		to--
		dst[to] = dst[from]
		if dst[from] == '"' {
			to--
			dst[to] = '"'
		}
	}
	dst[start] = '"'
	return dst
}

// formulas begin what a spreadsheet may take for a formula; wide forms of four of
// them too, which some take for the same. https://owasp.org/www-community/attacks/CSV_Injection
var formulas = []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}

// formula says whether a spreadsheet may take a text for one.
func formula[T string | []byte](s T) bool {
	if len(s) == 0 || s[0] > '@' && s[0] < 0x80 {
		return false
	}
	for _, f := range formulas {
		if len(s) >= len(f) && string(s[:len(f)]) == f {
			return true
		}
	}
	return false
}
