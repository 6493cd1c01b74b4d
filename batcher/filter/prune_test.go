package filter

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// What a comparison may be of integers between two bounds is what it is of each of them.
func TestBoundsOfComparisonsAreExact(t *testing.T) {
	for text, op := range comparisons {
		for low := int64(-2); low <= 2; low++ {
			for high := low; high <= 2; high++ {
				for with := int64(-3); with <= 3; with++ {
					var want outcomes
					for v := low; v <= high; v++ {
						if op.of(sign(v, with)) {
							want |= mayBeTrue
						} else {
							want |= mayBeFalse
						}
					}
					if got := (ints{op, with}).outcomes(Stats{Min: low, Max: high}); got != want {
						t.Errorf("%d to %d %s %d may be %03b; want %03b", low, high, text, with, got, want)
					}
				}
			}
		}
	}
}

// Bounds say nothing of NaN, and what contradicts itself says nothing at all.
func TestWhatStatisticsDoNotSay(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "f", Type: arrow.PrimitiveTypes.Float64},
		{Name: "i", Type: arrow.PrimitiveTypes.Int64},
		{Name: "s", Type: arrow.BinaryTypes.String},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64)},
	}, nil)
	for _, c := range []struct {
		why, text string
		stats     Stats
		want      Verdict
	}{
		{"a NaN differs from all that there is", "f != 2", Stats{Rows: 9, Min: 2.0, Max: 2.0}, Some},
		{"and lies below nothing", "f < 3", Stats{Rows: 9, Min: 1.0, Max: 2.0}, Some},
		{"nor above it", "f > 3", Stats{Rows: 9, Min: 1.0, Max: 2.0}, None},
		{"a NaN is no bound", "f > 3", Stats{Rows: 9, Min: math.NaN(), Max: 2.0}, Some},
		{"a lower bound above the upper one", "i > 3", Stats{Rows: 9, Min: int64(2), Max: int64(1)}, Some},
		{"bounds of another type", "i > 3", Stats{Rows: 9, Min: 1.0, Max: 2.0}, Some},
		{"one bound alone", "i > 3", Stats{Rows: 9, Max: int64(2)}, Some},
		{"nulls may be there", "i < 3", Stats{Rows: 9, Nulls: -1, Min: int64(1), Max: int64(2)}, Some},
		{"or not", "i < 3", Stats{Rows: 9, Min: int64(1), Max: int64(2)}, All},
		{"nothing but nulls passes nothing", "i < 3", Stats{Rows: 9, Nulls: 9}, None},
		{"negated neither", "!(i < 3)", Stats{Rows: 9, Nulls: 9}, None},
		{"but is null", "l == nil", Stats{Rows: 9, Nulls: 9}, All},
		{"a prefix between bounds", `s startsWith "b"`, Stats{Rows: 9, Min: "a", Max: "c"}, Some},
		{"above them", `s startsWith "d"`, Stats{Rows: 9, Min: "a", Max: "c"}, None},
		{"below them", `s startsWith "a"`, Stats{Rows: 9, Min: "b", Max: "c"}, None},
		{"of the lower one", `s startsWith "b"`, Stats{Rows: 9, Min: "bb", Max: "c"}, Some},
		{"of both", `s startsWith "b"`, Stats{Rows: 9, Min: "ba", Max: "bz"}, All},
		{"an end", `s endsWith "b"`, Stats{Rows: 9, Min: "a", Max: "a"}, Some},
		{"what is computed", "i + 0 > 3", Stats{Rows: 9, Min: int64(1), Max: int64(2)}, Some},
		{"a long list", "i in [5, 6, 7, 8]", Stats{Rows: 9, Min: int64(1), Max: int64(4)}, None},
		{"around a gap", "i in [1, 2, 8, 9]", Stats{Rows: 9, Min: int64(3), Max: int64(7)}, None},
		{"not in it", "i not in [1, 2, 8, 9]", Stats{Rows: 9, Min: int64(3), Max: int64(7)}, All},
	} {
		f, err := Parse(c.text, schema)
		if err != nil {
			t.Fatalf("%s: %v", c.why, err)
		}
		if got := f.Prune(func(int) Stats { return c.stats }); got != c.want {
			t.Errorf("%s: %s with %+v: verdict %d; want %d", c.why, c.text, c.stats, got, c.want)
		}
	}
}

// Each dictionary is looked at, also where the next has as many values.
func TestDictionariesThatFollowEachOther(t *testing.T) {
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{{Name: "code", Type: typ, Nullable: true}}, nil)
	f, err := Parse(`code == "AA"`, schema)
	if err != nil {
		t.Fatal(err)
	}
	e := f.NewEvaluator()
	defer e.Close()
	for _, c := range []struct {
		values, indices string
		want            []int
	}{
		{`["AA", "UA"]`, `[0, 1, null, 0]`, []int{0, 3}},
		{`["UA", "AA"]`, `[0, 1, null, 0]`, []int{1}},
		{`[null, "AA"]`, `[0, 1, 0, 1]`, []int{1, 3}},
		{`["UA", "DL"]`, `[0, 1, 1, 0]`, nil},
	} {
		indices, values := fromJSON(t, typ.IndexType, c.indices), fromJSON(t, typ.ValueType, c.values)
		a := array.NewDictionaryArray(typ, indices, values)
		passed, _ := e.Eval([]arrow.Array{a}, a.Len())
		if got := slices.Collect(passed.Rows); !slices.Equal(got, c.want) {
			t.Errorf("%s of %s: rows %v pass; want %v", c.indices, c.values, got, c.want)
		}
		a.Release()
		indices.Release()
		values.Release()
	}
}

func fromJSON(t *testing.T, dt arrow.DataType, values string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	return a
}
