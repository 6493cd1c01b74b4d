package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// writeVectors writes an uncompressed Arrow file of id and profile
// FixedSizeList<float32>[64], in spans of 4,096 rows.
func writeVectors(tb testing.TB, path string, spans int) {
	tb.Helper()
	const rows, width = 4096, 64
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "profile", Type: arrow.FixedSizeListOfNonNullable(width, arrow.PrimitiveTypes.Float32)},
	}, nil)
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := arrowfile.NewWriter(f, schema, format.WriteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for s := range spans {
		list := b.Field(1).(*array.FixedSizeListBuilder)
		values := list.ValueBuilder().(*array.Float32Builder)
		for r := range rows {
			b.Field(0).(*array.Int64Builder).Append(int64(s*rows + r))
			list.Append(true)
			for k := range width {
				values.Append(float32(r%17) + float32(k))
			}
		}
		record := b.NewRecordBatch()
		if err := w.Write(record); err != nil {
			tb.Fatal(err)
		}
		record.Release()
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		tb.Fatal(err)
	}
}

// A mapped file that is cut while ONNX Runtime reads views of it ends the run
// with an error that says so; the process lives, and nothing is published. The
// file is cut at several moments, to the middle, so that some views are behind
// the cut and some before it.
func TestTruncatedWhileRead(t *testing.T) {
	lib := orttest.Library(t)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.arrow")
	writeVectors(t, whole, 60)
	bytes, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int64{0, 4096, 5 * 4096, 20 * 4096} {
		path := filepath.Join(dir, "cut.arrow")
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		opts := engine.Options{
			Model: "../models/reference/embed.onnx", Inputs: []string{path}, Output: filepath.Join(dir, "out"),
			IDs: []string{"id"}, MaxRejects: -1, Workers: 2, BatchRows: 256,
		}
		plan, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		progress := plan.NewProgress()
		cut := make(chan error, 1)
		go func() {
			for progress.RowsScored.Load() < rows {
				time.Sleep(50 * time.Microsecond)
			}
			cut <- os.Truncate(path, int64(len(bytes)/2))
		}()
		summary, err := plan.Run(t.Context(), lib, progress)
		if cutErr := <-cut; cutErr != nil {
			t.Fatal(cutErr)
		}
		if !errors.Is(err, format.ErrChanged) || summary != nil {
			t.Errorf("cut after %d rows: Run() = %v, %v; want an error that wraps %v", rows, summary, err, format.ErrChanged)
		}
		if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cut after %d rows: the output exists", rows)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkCopies counts the bytes that assembly writes per row: 0 where a
// view is true or columns are taken where they lie, F x 4 for a matrix of F float32
// features that is made.
//
//	go test ./engine -run '^$' -bench Copies -benchtime 1x
func BenchmarkCopies(b *testing.B) {
	lib := orttest.Library(b)
	vectors := filepath.Join(b.TempDir(), "vectors.arrow")
	writeVectors(b, vectors, 8)
	for _, c := range []struct {
		name, model, input string
		kernels            engine.Kernels
		want               int64 // bytes a row
	}{
		{"model=embed/format=arrow", "embed", vectors, engine.KernelsAuto, 0},
		{"model=embed/format=parquet", "embed", "../testdata/embed-sample.parquet", engine.KernelsAuto, 0},
		{"model=flights_gbdt/format=arrow-zstd", "flights_gbdt", "../testdata/flights-sample.arrow", engine.KernelsAuto, 0},
		{"model=flights_gbdt/format=parquet", "flights_gbdt", "../testdata/flights-sample.parquet", engine.KernelsAuto, 0},
		{"model=flights_linear/kernels=onnxruntime", "flights_linear", "../testdata/flights-sample.parquet", engine.KernelsONNXRuntime, 32 * 4},
	} {
		b.Run(c.name, func(b *testing.B) {
			opts := engine.Options{
				Model: "../models/reference/" + c.model + ".onnx", Inputs: []string{c.input}, Output: filepath.Join(b.TempDir(), "out"),
				IDs: []string{"id"}, Nulls: nanPolicy, MaxRejects: -1, IfExists: "replace", Kernels: c.kernels,
			}
			var copied, rows int64
			var seconds float64
			for b.Loop() {
				plan, err := engine.NewPlan(b.Context(), opts)
				if err != nil {
					b.Fatal(err)
				}
				summary, err := plan.Run(b.Context(), lib, plan.NewProgress())
				if err := errors.Join(err, plan.Close()); err != nil {
					b.Fatal(err)
				}
				copied += summary.BytesCopied
				rows += summary.Rows.Read
				seconds += summary.Seconds
			}
			if copied != rows*c.want {
				b.Errorf("%d bytes copied for %d rows; want %d a row", copied, rows, c.want)
			}
			b.ReportMetric(float64(copied)/float64(rows), "copied-B/row")
			b.ReportMetric(float64(rows)/seconds, "rows/s")
		})
	}
}
