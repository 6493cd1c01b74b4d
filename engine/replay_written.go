package engine

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/rowtext"
)

// written is what the place of an output makes of values. Text has no types, and databases
// have others than Arrow: what is read back may be of another type than what was written,
// and is compared as the place has it.
type written struct {
	text    bool
	guarded bool // texts that look like formulas begin with an apostrophe
	json    bool // NaN and infinities are null
	// singles are columns of 32 bits, which a database may keep as 64.
	singles map[string]bool
	table   bool // where char(n) has no blanks at its end
}

// name is a column's name as it stands there.
func (w written) name(column string) string {
	if w.guarded {
		return rowtext.Guard(column)
	}
	return column
}

// guard is a text as it stands there.
func (w written) guard(text string) string {
	switch {
	case w.guarded:
		return rowtext.Guard(text)
	case w.json:
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return text
}

// keeps says that the i-th value of one array, which was read back, is what the place makes
// of the j-th of another.
func (w written) keeps(was arrow.Array, i int, is arrow.Array, j int) bool {
	text, isText := textOf(was, i)
	switch {
	case is.IsNull(j):
		return was.IsNull(i) || w.text && isText && text == "" // a file of one column has "" for both
	case was.IsNull(i):
		v, ok := number(is, j)
		return w.json && ok && (math.IsNaN(v) || math.IsInf(v, 0))
	case !isText:
		encoded := table.Encode(was, i)
		return encoded != nil && bytes.Equal(encoded, table.Encode(is, j)) || was.ValueStr(i) == is.ValueStr(j) || isDecimal(was) && sameFloat(was.ValueStr(i), is, j) || sameNumber(was, i, is, j)
	}
	if other, ok := textOf(is, j); ok {
		return text == w.guard(other) || w.table && text == strings.TrimRight(other, " ")
	}
	return text == is.ValueStr(j) || text == bareText(is, j) || text == jsonText(is, j) || sameMoment(text, is, j) || !w.text && sameFloat(text, is, j)
}

// isDecimal says that an array is of decimals, as databases keep floats in columns of numeric.
func isDecimal(a arrow.Array) bool {
	_, ok := a.DataType().(arrow.DecimalType)
	return ok
}

// sameNumber says that two floats are one number: a zero may have lost its sign, and a float16
// may be kept as the shortest decimal of the same float32.
func sameNumber(was arrow.Array, i int, is arrow.Array, j int) bool {
	v, ok := number(was, i)
	w, both := number(is, j)
	if is.DataType().ID() == arrow.FLOAT16 {
		v = float64(float32(v))
	}
	return ok && both && (v == w || math.IsNaN(v) && math.IsNaN(w))
}

// sameFloat says that a text is a float, in whatever way it is written.
func sameFloat(text string, a arrow.Array, i int) bool {
	is, ok := number(a, i)
	if !ok {
		return false
	}
	was, err := strconv.ParseFloat(text, floatBits(a))
	return err == nil && (was == is || math.IsNaN(was) && math.IsNaN(is))
}

// textOf is a value that is text.
func textOf(a arrow.Array, i int) (text string, ok bool) {
	switch a := a.(type) {
	case array.StringLike:
		return a.Value(i), true
	case *array.Dictionary:
		if a.IsNull(i) {
			return "", false
		}
		return textOf(a.Dictionary(), a.GetValueIndex(i))
	case array.ExtensionArray:
		return textOf(a.Storage(), i)
	}
	return "", false
}

// bareText is a value as CSV has it, and jsonText as JSON does, without quotes.
func bareText(a arrow.Array, i int) string { return rendered(rowtext.Bare, a, i) }

func jsonText(a arrow.Array, i int) string { return strings.Trim(rendered(rowtext.JSON, a, i), `"`) }

func rendered(of func(arrow.Array) (rowtext.Append, error), a arrow.Array, i int) string {
	value, err := of(a)
	if err != nil {
		return ""
	}
	return string(value(nil, i))
}

// momentForms are times as SQLite has them.
var momentForms = []string{"2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"}

// sameMoment says that a text is a time.
func sameMoment(text string, a arrow.Array, i int) bool {
	times, ok := a.(*array.Timestamp)
	if !ok {
		return false
	}
	is := times.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit)
	return slices.ContainsFunc(momentForms, func(form string) bool {
		was, err := time.Parse(form, text)
		return err == nil && was.Equal(is)
	})
}

// compare compares a prediction that was read back with one that was scored again, of one
// row each.
func (w written) compare(recorded arrow.Array, again arrow.Array, j int, tolerance float64) ReplayedValue {
	null := recorded.IsNull(0) || again.IsNull(j)
	_, isText := textOf(recorded, 0)
	if !null && !isText && arrow.TypeEqual(recorded.DataType(), again.DataType()) {
		return compareValues(recorded, 0, again, j, tolerance)
	}
	if w.keeps(recorded, 0, again, j) {
		return ReplayedValue{Recorded: ownText(recorded, 0), Again: ownText(again, j)}
	}
	if !null {
		if same := asTypeOf(again, recorded); same != nil {
			defer same.Release()
			recorded = same
		}
	}
	return compareValues(recorded, 0, again, j, tolerance)
}

// asTypeOf is a value that was read back, of the type of another; nil where it is none, or
// loses something.
func asTypeOf(again, recorded arrow.Array) arrow.Array {
	t := again.DataType()
	text, isText := textOf(recorded, 0)
	wide, _ := number(recorded, 0)
	if isDecimal(recorded) {
		text, isText = recorded.ValueStr(0), true
	}
	if !isText {
		if t.ID() != arrow.FLOAT32 && t.ID() != arrow.FLOAT16 || recorded.DataType().ID() != arrow.FLOAT64 {
			return nil
		}
		text = fmt.Sprint(wide)
	}
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	err := guarded(func() error { return b.AppendValueFromString(text) }) // of anybody's text
	if err != nil || b.Len() != 1 || b.NullN() > 0 {
		return nil
	}
	same := b.NewArray()
	if narrow, _ := number(same, 0); !isText && narrow != wide && !math.IsNaN(wide) {
		same.Release()
		return nil
	}
	return same
}
