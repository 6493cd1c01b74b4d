package feature_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

// evaluateAll computes all programs that are not hidden for all rows: by row the values,
// NaN for a null, and whether it is bad.
func evaluateAll(t *testing.T, programs []*feature.Program, record arrow.RecordBatch) (matrix [][]float64, bad []bool) {
	t.Helper()
	var shown []*feature.Program
	for _, p := range programs {
		if !p.Hidden() {
			shown = append(shown, p)
		}
	}
	e := feature.NewEvaluator(shown, func(column string) int { return record.Schema().FieldIndices(column)[0] })
	n := int(record.NumRows())
	matrix, bad = make([][]float64, n), make([]bool, n)
	if err := e.Open(record, 0, n); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for at := 0; at < n; at += feature.TileRows {
		e.Tile(at, min(feature.TileRows, n-at))
		for _, p := range shown {
			res, err := e.Compute(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range res.Problems {
				bad[at+problem.Row] = true
			}
			for r := range res.Numbers {
				matrix[at+r] = append(matrix[at+r], valuesOf(p, res, r)...)
			}
		}
	}
	return matrix, bad
}

func valuesOf(p *feature.Program, res *feature.Result, r int) []float64 {
	values := make([]float64, p.Width())
	if res.Marks != nil && res.Marks[r] != feature.Present {
		for k := range values {
			values[k] = math.NaN()
		}
		return values
	}
	switch p.Values() {
	case feature.OneOf:
		if slot := res.Slots[r]; slot >= 0 {
			values[slot] = 1
		}
	case feature.Pairs:
		values[0], values[1] = res.Numbers[r], res.Seconds[r]
	case feature.Integers:
		values[0] = float64(res.Ints[r])
	case feature.Unsigned:
		values[0] = float64(uint64(res.Ints[r]))
	default:
		values[0] = res.Numbers[r]
	}
	return values
}

// A truth value is 0 or 1 in the bits, too: of -0 a model would see another sign.
func TestCastToBoolOfMinusZero(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(`[{"x": -0.0}, {"x": 0}, {"x": -2.5}]`))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Release()
	programs, err := feature.Compile([]feature.Feature{{Column: "x", Transforms: []feature.Step{{Cast: &feature.Cast{To: feature.ToBool}}}}}, schema)
	if err != nil {
		t.Fatal(err)
	}
	matrix, _ := evaluateAll(t, programs, record)
	for row, want := range []float64{0, 0, 1} {
		if got := matrix[row][0]; math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("row %d: %v; want %v", row, got, want)
		}
	}
}
