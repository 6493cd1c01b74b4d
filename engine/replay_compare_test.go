package engine

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func TestCompareValues(t *testing.T) {
	f32, f64, text := arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String
	pair := arrow.FixedSizeListOf(2, f32)
	tests := []struct {
		name       string
		of         arrow.DataType
		was, is    string // a JSON value each
		tolerance  float64
		want       Outcome
		difference float64 // NaN: none
		element    int     // -1: no list
	}{
		{"the same bits", f32, "0.1", "0.1", 0, OutcomeEqual, math.NaN(), -1},
		{"small numbers: an absolute share", f32, "0.001", "0.002", 1e-2, OutcomeWithin, 0.001, -1},
		{"large numbers: a relative one", f64, "1000000", "1000001", 1e-5, OutcomeWithin, 1, -1},
		{"beyond it", f64, "1000000", "1000020", 1e-5, OutcomeDifferent, 20, -1},
		{"of the published number, not of the other", f64, "1", "100", 0.99, OutcomeDifferent, 99, -1},
		{"minus zero has other bits", f32, "0", "-0.0", 0, OutcomeWithin, 0, -1},
		{"whole numbers have no tolerance", arrow.PrimitiveTypes.Int64, "100000", "100001", 1, OutcomeDifferent, math.NaN(), -1},
		{"texts", text, `"late"`, `"late"`, 0, OutcomeEqual, math.NaN(), -1},
		{"other texts", text, `"late"`, `"early"`, 1, OutcomeDifferent, math.NaN(), -1},
		{"two nulls", f32, "null", "null", 0, OutcomeEqual, math.NaN(), -1},
		{"a null and a number", f32, "null", "0", 1, OutcomeDifferent, math.NaN(), -1},
		{"lists: the worst element", pair, "[1, 2]", "[1.5, 2.25]", 1e-5, OutcomeDifferent, 0.5, 0},
		{"lists of which one element differs", pair, "[1, 2]", "[1, 2.25]", 1e-5, OutcomeDifferent, 0.25, 1},
		{"equal lists", pair, "[1, 2]", "[1, 2]", 0, OutcomeEqual, math.NaN(), 0},
		{"lists of lists", arrow.FixedSizeListOf(2, pair), "[[1, 2], [3, 4]]", "[[1, 2], [3.5, 4]]", 1e-5, OutcomeDifferent, 0.5, 2},
		{"lists of other lengths", arrow.ListOf(f32), "[1, 2]", "[1]", 1, OutcomeDifferent, math.NaN(), -1},
		{"empty lists", arrow.ListOf(f32), "[]", "[]", 0, OutcomeEqual, math.NaN(), -1},
	}
	for _, test := range tests {
		alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
		// Behind another row, so that offsets count.
		was, is := oneOf(t, alloc, test.of, test.was), oneOf(t, alloc, test.of, test.is)
		got := compareValues(was, 1, is, 1, test.tolerance)
		was.Release()
		is.Release()
		alloc.AssertSize(t, 0)
		if got.Outcome != test.want {
			t.Errorf("%s: compareValues(%s, %s, %g) = %s; want %s", test.name, test.was, test.is, test.tolerance, got.Outcome, test.want)
		}
		if none := math.IsNaN(test.difference); none != (got.Difference == nil) || !none && math.Abs(*got.Difference-test.difference) > 1e-9 {
			t.Errorf("%s: difference is %v; want %g", test.name, got.Difference, test.difference)
		}
		if none := test.element < 0; none != (got.Element == nil) || !none && *got.Element != test.element {
			t.Errorf("%s: element is %v; want %d", test.name, got.Element, test.element)
		}
	}
}

// oneOf is an array of a null and a value.
func oneOf(t *testing.T, alloc memory.Allocator, of arrow.DataType, value string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(alloc, of, strings.NewReader("[null, "+value+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// JSON has no words for these.
func TestCompareNumbersThatAreNone(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	otherNaN := math.Float64frombits(math.Float64bits(math.NaN()) ^ 2)
	b.AppendValues([]float64{math.NaN(), otherNaN, math.Inf(1), math.Inf(-1), 0, math.MaxFloat64}, nil)
	a := b.NewFloat64Array()
	defer a.Release()
	for _, test := range []struct {
		was, is int
		want    Outcome
	}{
		{0, 0, OutcomeEqual},
		{0, 1, OutcomeWithin},
		{0, 4, OutcomeDifferent},
		{4, 0, OutcomeDifferent},
		{2, 2, OutcomeEqual},
		{2, 3, OutcomeDifferent},
		{2, 5, OutcomeDifferent},
		{5, 2, OutcomeDifferent},
	} {
		if got := compareValues(a, test.was, a, test.is, 1); got.Outcome != test.want || got.Difference != nil {
			t.Errorf("compareValues(%v, %v) = %s, %v; want %s and no difference", a.Value(test.was), a.Value(test.is), got.Outcome, got.Difference, test.want)
		}
	}
}

func TestMatchers(t *testing.T) {
	tests := []struct {
		of      arrow.DataType
		value   string // as JSON
		matches string
		not     string
	}{
		{arrow.PrimitiveTypes.Int64, "4711", "4711", "471"},
		{arrow.PrimitiveTypes.Int8, "-3", "-3", "3"},
		{arrow.PrimitiveTypes.Uint64, "18446744073709551615", "18446744073709551615", "0"},
		{arrow.PrimitiveTypes.Float32, "0.1", "0.1", "0.2"},
		{arrow.PrimitiveTypes.Float64, "1.5", "1.50", "1.25"},
		{arrow.BinaryTypes.String, `"a=b"`, "a=b", "a"},
		{arrow.BinaryTypes.LargeString, `"x"`, "x", ""},
		{arrow.FixedWidthTypes.Boolean, "true", "true", "false"},
		{arrow.FixedWidthTypes.Date32, `"2026-11-27"`, "2026-11-27", "2026-11-28"},
	}
	for _, test := range tests {
		a := oneOf(t, memory.DefaultAllocator, test.of, test.value)
		record := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "c", Type: test.of, Nullable: true}}, nil), []arrow.Array{a}, 2)
		for value, want := range map[string]bool{test.matches: true, test.not: false} {
			o := ReplayOptions{Where: []Condition{{Column: "c", Value: value}}}
			_, matches, err := o.matches(record.Schema(), written{})
			if err != nil {
				t.Errorf("%s: %v", test.of, err)
				continue
			}
			if meets(record, 0, matches) || meets(record, 1, matches) != want {
				t.Errorf("%s: null meets c=%s: %v, %s does: %v; want false and %v", test.of, value, meets(record, 0, matches), test.value, meets(record, 1, matches), want)
			}
		}
		record.Release()
		a.Release()
	}
}
