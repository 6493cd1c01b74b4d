package filter

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// Equals tests values of a field, one at a time and none of them null, for the one that a text
// stands for, which may be written in any way that an expression takes: of decimals, dates,
// times, timestamps and durations. For fields of other types it gives nil. It is for one
// goroutine.
func Equals(text string, field arrow.Field) (is func(a arrow.Array, row int) bool, err error) {
	col := newColumn(0, field)
	value := &literal{kind: literalTime, text: text}
	switch {
	case !arrow.TypeEqual(col.typ, field.Type):
		return nil, nil // a dictionary, or an extension
	case col.kind == kindDecimal:
		number, ok := parseNumber(text)
		if !ok {
			return nil, fmt.Errorf("column %s is %s, and %q is no number", col, col.typ, text)
		}
		value = number
	case !col.kind.isTime():
		return nil, nil
	}
	equal, err := testOf(opEqual, col, value)
	if err != nil {
		return nil, err
	}
	var one tile
	return func(a arrow.Array, row int) bool {
		one.reset(mark{})
		one.from, one.rows = row, 1
		return equal.eval(&one, a).yes[0]&1 != 0
	}, nil
}
