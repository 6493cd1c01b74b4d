package feature_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/batcher/feature"
)

const sklearnFolder = "../../testdata/features"

// TestScikitLearn: features as the exporter writes them give what scikit-learn itself
// gave for each row, within one float32 step, and a bad row where it raised an error.
func TestScikitLearn(t *testing.T) {
	rows, expected := readParquet(t, "rows.parquet"), readParquet(t, "expected.parquet")
	defer rows.Release()
	defer expected.Release()
	files, err := filepath.Glob(filepath.Join(sklearnFolder, "fitted", "*.json"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d fitted files (%v); want 50 or more", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			var fitted struct{ Features []feature.Feature }
			data, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(data, &fitted)
			}
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name, fitted.Features, rows, expected)
		})
	}
}

func readParquet(t *testing.T, name string) arrow.RecordBatch {
	t.Helper()
	r, err := file.OpenParquetFile(filepath.Join(sklearnFolder, name), false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 1 << 20}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	records, err := reader.GetRecordReader(context.Background(), nil, nil)
	if err != nil || !records.Next() {
		t.Fatalf("%s: %v", name, err)
	}
	defer records.Release()
	record := records.RecordBatch()
	record.Retain()
	return record
}

func compare(t *testing.T, name string, specs []feature.Feature, rows, expected arrow.RecordBatch) {
	t.Helper()
	programs, err := feature.Compile(specs, rows.Schema())
	if err != nil {
		t.Fatal(err)
	}
	matrix, bad := evaluateAll(t, programs, rows)
	list := expected.Column(expected.Schema().FieldIndices(name)[0]).(*array.FixedSizeList)
	want, outcome := list.ListValues().(*array.Float64), expected.Column(expected.Schema().FieldIndices(name + ".outcome")[0])
	width := int(list.DataType().(*arrow.FixedSizeListType).Len())
	wrong := 0
	for r := range int(rows.NumRows()) {
		switch outcome.ValueStr(r) {
		case "error":
			if !bad[r] {
				t.Errorf("row %d is %v; scikit-learn raises an error", r, matrix[r])
				wrong++
			}
		case "values":
			if len(matrix[r]) != width {
				t.Fatalf("row %d has %d values; want %d", r, len(matrix[r]), width)
			}
			for k, got := range matrix[r] {
				if w := want.Value(r*width + k); bad[r] || !within(got, w) {
					t.Errorf("row %d, value %d = %v (bad: %v); want %v", r, k, got, bad[r], w)
					wrong++
				}
			}
		}
		if wrong > 5 {
			return
		}
	}
}

// within says that two numbers are within one float32 step of each other.
func within(got, want float64) bool {
	g, w := float32(got), float32(want)
	if g == w || g != g && w != w {
		return true
	}
	return math.Nextafter32(g, w) == w
}

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
