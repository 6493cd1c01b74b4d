package filter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"
)

// plainRow is a row of the property test's columns; nil is null.
type plainRow struct {
	i *int64
	u *uint64
	f *float64
	s *string
	b *bool
}

var plainSchema = arrow.NewSchema([]arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "u", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
	{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "s", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
}, nil)

// Values that rows and expressions share, so that they meet.
var (
	plainInts   = []int64{math.MinInt64, -1, 0, 1, 2, 7, 1<<53 + 1, math.MaxInt64}
	plainUints  = []uint64{0, 1, 7, 1<<53 + 1, math.MaxUint64}
	plainFloats = []float64{math.Inf(-1), -1.5, 0, 0.5, 2, 1 << 60, math.NaN()}
	plainTexts  = []string{"", "a", "ab", "b", "é"}
)

func orNull[T any](t *rapid.T, values []T) *T {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return nil
	}
	v := rapid.SampledFrom(values).Draw(t, "value")
	return &v
}

func drawRow(t *rapid.T) plainRow {
	return plainRow{orNull(t, plainInts), orNull(t, plainUints), orNull(t, plainFloats), orNull(t, plainTexts), orNull(t, []bool{true, false})}
}

func recordOf(rows []plainRow) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, plainSchema)
	defer b.Release()
	for _, r := range rows {
		for k, null := range []bool{r.i == nil, r.u == nil, r.f == nil, r.s == nil, r.b == nil} {
			switch f := b.Field(k).(type) {
			case *array.Int64Builder:
				appendTo(null, f.AppendNull, func() { f.Append(*r.i) })
			case *array.Uint64Builder:
				appendTo(null, f.AppendNull, func() { f.Append(*r.u) })
			case *array.Float64Builder:
				appendTo(null, f.AppendNull, func() { f.Append(*r.f) })
			case *array.BinaryDictionaryBuilder:
				appendTo(null, f.AppendNull, func() { _ = f.AppendString(*r.s) })
			case *array.BooleanBuilder:
				appendTo(null, f.AppendNull, func() { f.Append(*r.b) })
			}
		}
	}
	return b.NewRecordBatch()
}

func appendTo(null bool, appendNull, appendValue func()) {
	if null {
		appendNull()
	} else {
		appendValue()
	}
}

// plain is an expression and what it is in a row.
type plain struct {
	text string
	of   func(r plainRow) trivalent
}

func fromBool(b bool) trivalent {
	if b {
		return isTrue
	}
	return isFalse
}

// compared is x op y by Go's own operators.
func compared[T int64 | uint64 | float64 | string](op string, x, y T) trivalent {
	switch op {
	case "==":
		return fromBool(x == y)
	case "!=":
		return fromBool(x != y)
	case "<":
		return fromBool(x < y)
	case "<=":
		return fromBool(x <= y)
	case ">":
		return fromBool(x > y)
	default:
		return fromBool(x >= y)
	}
}

// known is unknown for a null, and else what f says of the value.
func known[T any](v *T, f func(T) trivalent) trivalent {
	if v == nil {
		return isUnknown
	}
	return f(*v)
}

func drawLeaf(t *rapid.T) plain {
	op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
	switch rapid.IntRange(0, 9).Draw(t, "leaf") {
	case 0:
		v := rapid.SampledFrom(plainInts[1:]).Draw(t, "int")
		return plain{fmt.Sprintf("i %s %d", op, v), func(r plainRow) trivalent {
			return known(r.i, func(x int64) trivalent { return compared(op, x, v) })
		}}
	case 1:
		v := rapid.SampledFrom(plainUints).Draw(t, "uint")
		return plain{fmt.Sprintf("u %s %d", op, v), func(r plainRow) trivalent {
			return known(r.u, func(x uint64) trivalent { return compared(op, x, v) })
		}}
	case 2:
		v := rapid.SampledFrom(plainFloats[1:6]).Draw(t, "float")
		return plain{fmt.Sprintf("f %s %s", op, strconv.FormatFloat(v, 'f', -1, 64)), func(r plainRow) trivalent {
			return known(r.f, func(x float64) trivalent { return compared(op, x, v) })
		}}
	case 3:
		v := rapid.SampledFrom(plainTexts).Draw(t, "text")
		return plain{fmt.Sprintf("s %s %q", op, v), func(r plainRow) trivalent {
			return known(r.s, func(x string) trivalent { return compared(op, x, v) })
		}}
	case 4:
		v := rapid.SampledFrom(plainTexts).Draw(t, "prefix")
		return plain{fmt.Sprintf("s startsWith %q", v), func(r plainRow) trivalent {
			return known(r.s, func(x string) trivalent { return fromBool(strings.HasPrefix(x, v)) })
		}}
	case 5:
		return plain{"b", func(r plainRow) trivalent { return known(r.b, fromBool) }}
	case 6:
		return plain{"i == nil", func(r plainRow) trivalent { return fromBool(r.i == nil) }}
	case 7:
		return plain{"s != nil", func(r plainRow) trivalent { return fromBool(r.s != nil) }}
	case 8:
		return plain{`i in [0, 2, 7, 9, 9007199254740993]`, func(r plainRow) trivalent {
			return known(r.i, func(x int64) trivalent { return fromBool(x == 0 || x == 2 || x == 7 || x == 1<<53+1) })
		}}
	default:
		return plain{`s in ["a", "b", "x", "y"]`, func(r plainRow) trivalent {
			return known(r.s, func(x string) trivalent { return fromBool(x == "a" || x == "b") })
		}}
	}
}

// drawPlain combines by the tables of three-valued logic, written out.
func drawPlain(t *rapid.T, depth int) plain {
	if depth == 0 {
		return drawLeaf(t)
	}
	a := drawPlain(t, depth-1)
	switch rapid.IntRange(0, 5).Draw(t, "node") {
	case 0, 1:
		b := drawPlain(t, depth-1)
		return plain{"(" + a.text + " && " + b.text + ")", func(r plainRow) trivalent {
			x, y := a.of(r), b.of(r)
			switch {
			case x == isFalse || y == isFalse:
				return isFalse
			case x == isTrue && y == isTrue:
				return isTrue
			}
			return isUnknown
		}}
	case 2:
		b := drawPlain(t, depth-1)
		return plain{"(" + a.text + " || " + b.text + ")", func(r plainRow) trivalent {
			x, y := a.of(r), b.of(r)
			switch {
			case x == isTrue || y == isTrue:
				return isTrue
			case x == isFalse && y == isFalse:
				return isFalse
			}
			return isUnknown
		}}
	case 3:
		return plain{"!(" + a.text + ")", func(r plainRow) trivalent {
			return [...]trivalent{isTrue: isFalse, isFalse: isTrue, isUnknown: isUnknown}[a.of(r)]
		}}
	case 4:
		b, c := drawPlain(t, depth-1), drawPlain(t, depth-1)
		return plain{"((" + a.text + ") ? (" + b.text + ") : (" + c.text + "))", func(r plainRow) trivalent {
			if a.of(r) == isTrue {
				return b.of(r)
			}
			return c.of(r)
		}}
	default:
		b := drawPlain(t, depth-1)
		return plain{"((" + a.text + ") == (" + b.text + "))", func(r plainRow) trivalent {
			x, y := a.of(r), b.of(r)
			if x == isUnknown || y == isUnknown {
				return isUnknown
			}
			return fromBool(x == y)
		}}
	}
}

// bounds are a column's least and largest value that is no NaN, and its nulls.
func bounds[T int64 | uint64 | float64 | string](rows []plainRow, of func(plainRow) *T) Stats {
	s := Stats{Rows: int64(len(rows))}
	for _, r := range rows {
		switch v := of(r); {
		case v == nil:
			s.Nulls++
		case fmt.Sprint(*v) == "NaN":
		default:
			if low, ok := s.Min.(T); !ok || *v < low {
				s.Min = *v
			}
			if high, ok := s.Max.(T); !ok || *v > high {
				s.Max = *v
			}
		}
	}
	return s
}

// drawStats are what a file may say about rows: the truth, less of it, or wider bounds.
func drawStats(t *rapid.T, rows []plainRow) []Stats {
	stats := []Stats{
		bounds(rows, func(r plainRow) *int64 { return r.i }), bounds(rows, func(r plainRow) *uint64 { return r.u }),
		bounds(rows, func(r plainRow) *float64 { return r.f }), bounds(rows, func(r plainRow) *string { return r.s }),
		{Rows: int64(len(rows)), Nulls: bounds(rows, func(r plainRow) *string {
			if r.b == nil {
				return nil
			}
			return new(string)
		}).Nulls},
	}
	if ones := drawConstant(rows); ones != nil {
		stats[4].Min, stats[4].Max = *ones, *ones
	}
	for i := range stats {
		switch rapid.IntRange(0, 5).Draw(t, "statistics") {
		case 0:
			stats[i].Min, stats[i].Max = nil, nil
		case 1:
			stats[i].Nulls = -1
		case 2:
			if high, ok := stats[i].Max.(string); ok { // as a writer does that cuts texts short
				stats[i].Min, stats[i].Max = "", high+"\xff"
			}
		default:
		}
	}
	return stats
}

// drawConstant is the truth value of all rows that have one; nil where they differ.
func drawConstant(rows []plainRow) (one *bool) {
	for _, r := range rows {
		switch {
		case r.b == nil:
		case one == nil:
			one = r.b
		case *one != *r.b:
			return nil
		}
	}
	return one
}

// Rows pass, and fail, as a plain walk over the expression says, wherever they lie in
// their arrays; and a verdict by statistics is never wrong.
func TestFilterIsThePlainLoop(t *testing.T) {
	verdicts := map[Verdict]int{}
	rapid.Check(t, func(rt *rapid.T) {
		e := drawPlain(rt, rapid.IntRange(0, 4).Draw(rt, "depth"))
		f, err := Parse(e.text, plainSchema)
		if err != nil {
			rt.Fatalf("Parse(%q) = %v", e.text, err)
		}
		few := rapid.SliceOfN(rapid.Custom(drawRow), 1, 5).Draw(rt, "rows")
		rows := make([]plainRow, rapid.SampledFrom([]int{1, 2, 63, 64, 65, 130, tileRows + 3}).Draw(rt, "count"))
		for i := range rows {
			rows[i] = few[i*i%len(few)]
		}
		record := recordOf(rows)
		defer record.Release()
		skip := rapid.IntRange(0, min(70, len(rows)-1)).Draw(rt, "skip")
		part := record.NewSlice(int64(skip), record.NumRows())
		defer part.Release()
		columns := make([]arrow.Array, 0, len(f.Columns()))
		for _, name := range f.Columns() {
			columns = append(columns, part.Column(plainSchema.FieldIndices(name)[0]))
		}
		evaluator := f.NewEvaluator()
		defer evaluator.Close()
		passed, failed := evaluator.Eval(columns, int(part.NumRows()))
		yes, no := map[int]bool{}, map[int]bool{}
		for row := range passed.Rows {
			yes[row] = true
		}
		for row := range failed.Rows {
			no[row] = true
		}
		rows = rows[skip:]
		for i, r := range rows {
			if want := e.of(r); yes[i] != (want == isTrue) || no[i] != (want == isFalse) {
				rt.Fatalf("%s in row %d of %d: passes %t, fails %t; want %s", e.text, i, len(rows), yes[i], no[i], always(want))
			}
		}
		stats := drawStats(rt, rows)
		verdict := f.Prune(func(column int) Stats { return stats[plainSchema.FieldIndices(f.Columns()[column])[0]] })
		verdicts[verdict]++
		if verdict == None && len(yes) > 0 || verdict == All && len(yes) < len(rows) {
			rt.Fatalf("%s by %+v: verdict %d, and %d of %d rows pass", e.text, stats, verdict, len(yes), len(rows))
		}
	})
	// One in eleven is All: of a hundred draws some are, of the twenty of a short test too
	// often none.
	if !testing.Short() && (verdicts[All] == 0 || verdicts[None] == 0 || verdicts[Some] == 0) {
		t.Errorf("verdicts %v; want some of each", verdicts)
	}
}
