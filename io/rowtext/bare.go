package rowtext

import "github.com/apache/arrow-go/v18/arrow"

// Bare is the text of the values of an array, which it borrows, as readers of CSV have it:
// without quotes, and empty for a null.
func Bare(a arrow.Array) (Append, error) {
	c, err := csvStyle.cellOf(a)
	if err != nil {
		return nil, err
	}
	value := c.value
	if c.kind == textKind {
		value = func(dst []byte, row int) []byte { return append(dst, c.text(row)...) }
	}
	return func(dst []byte, row int) []byte {
		if c.isNull(row) {
			return dst
		}
		return value(dst, row)
	}, nil
}

// Guard is a text as Fields.Guarded has it.
func Guard(text string) string {
	if formula(text) {
		return "'" + text
	}
	return text
}
