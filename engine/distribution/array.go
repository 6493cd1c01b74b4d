package distribution

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/half"
)

// Kind says what a column's values are.
type Kind string

// The kinds.
const (
	Number Kind = "number" // floating
	Label  Kind = "label"  // an integer, a text or a truth value
	List   Kind = "list"   // several values a row, which are only counted
)

func kindOf(t arrow.DataType) Kind {
	switch {
	case arrow.IsFloating(t.ID()):
		return Number
	case arrow.IsInteger(t.ID()), t.ID() == arrow.BOOL, t.ID() == arrow.STRING, t.ID() == arrow.LARGE_STRING, t.ID() == arrow.STRING_VIEW:
		return Label
	default:
		return List
	}
}

// Add takes in the next rows of the column, which it borrows. A type that a column of
// predictions does not have is counted, and not looked at.
func (t *Tally) Add(column arrow.Array) {
	t.rows += int64(column.Len())
	t.nulls += int64(column.NullN())
	switch a := column.(type) {
	case *array.Float32:
		eachRun(a, func(from, to int) { addFloats(t, a.Float32Values()[from:to]) })
	case *array.Float64:
		eachRun(a, func(from, to int) { addFloats(t, a.Float64Values()[from:to]) })
	case *array.Float16:
		values := make([]float32, a.Len())
		for i, v := range a.Values() {
			values[i] = half.Float32(v)
		}
		eachRun(a, func(from, to int) { addFloats(t, values[from:to]) })
	case *array.Int64:
		addInts(&t.labels, a, a.Int64Values())
	case *array.Int32:
		addInts(&t.labels, a, a.Int32Values())
	case *array.Int16:
		addInts(&t.labels, a, a.Int16Values())
	case *array.Int8:
		addInts(&t.labels, a, a.Int8Values())
	case *array.Uint32:
		addInts(&t.labels, a, a.Uint32Values())
	case *array.Uint16:
		addInts(&t.labels, a, a.Uint16Values())
	case *array.Uint8:
		addInts(&t.labels, a, a.Uint8Values())
	default:
		t.addTexts(column)
	}
}

// addTexts takes in labels that are counted by their texts.
func (t *Tally) addTexts(column arrow.Array) {
	if t.kind != Label {
		return
	}
	text := column.ValueStr
	if s, ok := column.(array.StringLike); ok {
		text = s.Value
	}
	for i := range column.Len() {
		if column.IsValid(i) {
			t.labels.addText(text(i), 1)
		}
	}
}

type integers interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32
}

func addInts[I integers](l *labels, a arrow.Array, values []I) {
	eachRun(a, func(from, to int) {
		for _, v := range values[from:to] {
			l.addInt(int64(v), 1)
		}
	})
}

// eachRun gives the rows of an array that are not null, those side by side at once.
func eachRun(a arrow.Array, add func(from, to int)) {
	n := a.Len()
	if a.NullN() == 0 {
		add(0, n)
		return
	}
	for i := 0; i < n; i++ {
		from := i
		for i < n && a.IsValid(i) {
			i++
		}
		if i > from {
			add(from, i)
		}
	}
}
