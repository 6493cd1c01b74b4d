package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
)

// reference is one entry of models/reference/reference.json, which the scripts
// that train the models write.
type reference struct {
	Name          string `json:"name"`
	ONNX          string `json:"onnx"`
	Golden        string `json:"golden"`
	SampleParquet string `json:"sample_parquet"`
	SampleArrow   string `json:"sample_arrow"`
	Outputs       []struct {
		Golden     string `json:"golden"`
		ONNXOutput string `json:"onnx_output"`
		Index      *int   `json:"index"`
		MapKey     *int64 `json:"map_key"`
		Exact      bool   `json:"exact"`
	} `json:"outputs"`
	Nulls         string            `json:"nulls"`
	NullConstants map[string]string `json:"null_constants"`
	AbsTolerance  float64           `json:"atol"`
	RelTolerance  float64           `json:"rtol"`
}

func references(t *testing.T) []reference {
	t.Helper()
	text, err := os.ReadFile("../models/reference/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Models []reference `json:"models"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Models
}

// Every reference model gives its training library's own predictions, within
// the tolerance that reference.json states and explains, from Parquet and from
// Arrow, into each output format that is read back, with one worker and with
// three.
func TestReferenceModels(t *testing.T) {
	if testing.Short() {
		t.Skip("of numbers, which other tests race for")
	}
	lib := orttest.Library(t)
	for _, ref := range references(t) {
		for _, sample := range []string{ref.SampleParquet, ref.SampleArrow} {
			for _, run := range []struct {
				output  string
				workers int
				batch   int
			}{{"out", 1, 0}, {"out.parquet", 3, 1000}, {"out.arrow", 2, 777}} {
				name := fmt.Sprintf("%s/%s/%s", ref.Name, filepath.Ext(sample)[1:], run.output)
				t.Run(name, func(t *testing.T) {
					opts := engine.Options{
						Model: "../" + ref.ONNX, Inputs: []string{"../" + sample}, Output: filepath.Join(t.TempDir(), run.output),
						IDs: []string{"id"}, Nulls: policies(ref), MaxRejects: -1,
						Workers: run.workers, BatchRows: run.batch, PartRows: 20000,
					}
					summary := score(t, lib, opts)
					compareGolden(t, &ref, opts.Output)
					if summary.Rows.Scored == 0 || summary.Rows.Scored != summary.Rows.Read {
						t.Errorf("rows = %+v; want all scored", summary.Rows)
					}
				})
			}
		}
	}
}

var nanPolicy = batcher.NullPolicies{Default: batcher.ParseNullPolicy("nan")}

func policies(ref reference) batcher.NullPolicies {
	p := batcher.NullPolicies{Default: batcher.ParseNullPolicy(ref.Nulls), ByColumn: map[string]batcher.NullPolicy{}}
	for column, constant := range ref.NullConstants {
		p.ByColumn[column] = batcher.NullPolicy{Action: batcher.NullFill, Value: constant}
	}
	return p
}

func score(t *testing.T, lib *ort.Library, opts engine.Options) *engine.Summary {
	t.Helper()
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	summary, err := plan.Run(t.Context(), lib, plan.NewProgress())
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// readColumns reads whole columns as float64, and list columns as their
// elements, row by row.
func readColumns(t *testing.T, path string, columns []string) map[string][]float64 {
	t.Helper()
	paths, err := dataset.Resolve([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(context.Background(), paths, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = data.Close() }()
	all := map[string][]float64{}
	for _, part := range data.Parts(math.MaxInt64) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, columns, func(b arrow.RecordBatch) error {
				for i, name := range columns {
					all[name] = appendFloats(t, all[name], b.Column(i))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

func appendFloats(t *testing.T, to []float64, a arrow.Array) []float64 {
	t.Helper()
	if a.NullN() > 0 {
		t.Fatalf("%d nulls in predictions", a.NullN())
	}
	switch a := a.(type) {
	case *array.Float32:
		for _, v := range a.Float32Values() {
			to = append(to, float64(v))
		}
	case *array.Float64:
		to = append(to, a.Float64Values()...)
	case *array.Int64:
		for _, v := range a.Int64Values() {
			to = append(to, float64(v))
		}
	case *array.Int32:
		for _, v := range a.Int32Values() {
			to = append(to, float64(v))
		}
	case *array.FixedSizeList:
		start, _ := a.ValueOffsets(0)
		_, end := a.ValueOffsets(a.Len() - 1)
		values := array.NewSlice(a.ListValues(), start, end)
		defer values.Release()
		to = appendFloats(t, to, values)
	default:
		t.Fatalf("predictions are %s", a.DataType())
	}
	return to
}

// compareGolden compares an output with the golden predictions, row by row by
// id.
func compareGolden(t *testing.T, ref *reference, output string) {
	t.Helper()
	compareGoldenOf(t, ref, output, 1)
}

// compareGoldenOf compares an output of the rows whose id is a multiple of one in so many.
func compareGoldenOf(t *testing.T, ref *reference, output string, oneIn int) {
	t.Helper()
	columns := append(make([]string, 0, len(ref.Outputs)+1), "id")
	golden := append(make([]string, 0, len(ref.Outputs)+1), "id")
	elements := map[string]int{} // of a list column, by golden column
	for _, o := range ref.Outputs {
		column := o.ONNXOutput
		switch {
		case o.MapKey != nil:
			column = fmt.Sprintf("%s_%d", column, *o.MapKey)
		case o.Index != nil && ref.Name == "embed":
			elements[o.Golden] = *o.Index
		case o.Index != nil:
			column = fmt.Sprintf("%s_%d", column, *o.Index)
		}
		columns, golden = append(columns, column), append(golden, o.Golden)
	}
	got := readColumns(t, output, distinct(columns))
	want := readColumns(t, "../"+ref.Golden, golden)
	ids := want["id"]
	for column, values := range want {
		kept := make([]float64, 0, len(values))
		for r, v := range values {
			if int64(ids[r])%int64(oneIn) == 0 {
				kept = append(kept, v)
			}
		}
		want[column] = kept
	}
	rows := len(want["id"])
	if rows == 0 || len(got["id"]) != rows {
		t.Fatalf("%d rows; want %d", len(got["id"]), rows)
	}
	worst := 0.0
	for i, o := range ref.Outputs {
		g, w := got[columns[i+1]], want[o.Golden]
		stride, offset := len(g)/rows, 0
		if n, ok := elements[o.Golden]; ok {
			offset = n
		}
		compare(t, ref, o.Golden, o.Exact, rows, func(r int) (float64, float64) { return g[r*stride+offset], w[r] }, &worst)
	}
	for r, id := range want["id"] {
		if got["id"][r] != id {
			t.Fatalf("row %d has id %v; want %v", r, got["id"][r], id)
		}
	}
	t.Logf("largest difference %.3g over %d rows", worst, rows)
}

func compare(t *testing.T, ref *reference, column string, exact bool, n int, at func(int) (got, want float64), worst *float64) {
	t.Helper()
	for r := range n {
		got, want := at(r)
		diff := math.Abs(got - want)
		*worst = max(*worst, diff)
		if exact && got != want || !(diff <= ref.AbsTolerance+ref.RelTolerance*math.Abs(want)) {
			t.Fatalf("%s row %d = %v; want %v (off by %g)", column, r, got, want, diff)
		}
	}
}

func distinct(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
