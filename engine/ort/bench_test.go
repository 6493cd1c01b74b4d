package ort_test

// go test -run '^$' -bench . -benchtime 1s ./engine/ort

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// BenchmarkRun is the cost of a Run that computes next to nothing: one node
// over one row, tensors reused or made anew, cancellable or not.
func BenchmarkRun(b *testing.B) {
	s := newSession(b, onnxtest.Identity(pb.TensorProto_FLOAT, "N"), ort.SessionOptions{})
	in, out := []float32{1}, []float32{0}
	cancellable, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, ctx := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a case of the benchmark
	}{{"none", context.Background()}, {"cancellable", cancellable}} {
		b.Run("tensors=reused/context="+ctx.name, func(b *testing.B) {
			x, y := tensor(b, models.Float32, []int64{1}, in), tensor(b, models.Float32, []int64{1}, out)
			defer closeAll(b, x, y)
			inputs, outputs := []*ort.Tensor{x}, []*ort.Tensor{y}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Run(ctx.ctx, inputs, outputs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("tensors=new/context=none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x, y := tensor(b, models.Float32, []int64{1}, in), tensor(b, models.Float32, []int64{1}, out)
			if err := s.Run(context.Background(), []*ort.Tensor{x}, []*ort.Tensor{y}); err != nil {
				b.Fatal(err)
			}
			closeAll(b, x, y)
		}
	})
	b.Run("tensors=ort/context=none", func(b *testing.B) {
		x := tensor(b, models.Float32, []int64{1}, in)
		defer closeAll(b, x)
		inputs, outputs := []*ort.Tensor{x}, []*ort.Tensor{nil}
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Run(context.Background(), inputs, outputs); err != nil {
				b.Fatal(err)
			}
			closeAll(b, outputs[0])
			outputs[0] = nil
		}
	})
}

// BenchmarkStrings fills a tensor of 8192 strings: from Arrow's layout, new or
// refilled, and as the binding does it from Go strings (FillStringTensor).
func BenchmarkStrings(b *testing.B) {
	orttest.Library(b)
	const rows = 8192
	for _, length := range []int{4, 24} {
		values := make([]string, rows)
		for i := range values {
			values[i] = strings.Repeat("x", length-1) + string(rune('a'+i%26))
		}
		offsets, data := arrow[int32](values)
		report := func(b *testing.B) {
			b.Helper()
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrow/s")
		}
		b.Run(fmt.Sprintf("from=arrow/bytes=%d", length), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x, err := ort.NewStringTensor([]int64{rows}, offsets, data)
				if err != nil {
					b.Fatal(err)
				}
				closeAll(b, x)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("from=arrow-refill/bytes=%d", length), func(b *testing.B) {
			x, err := ort.NewStringTensor([]int64{rows}, offsets, data)
			if err != nil {
				b.Fatal(err)
			}
			defer closeAll(b, x)
			b.ReportAllocs()
			for b.Loop() {
				if err := ort.RefillStrings(x, offsets, data); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
		b.Run(fmt.Sprintf("from=binding/bytes=%d", length), func(b *testing.B) {
			x, err := onnx.NewStringTensor(onnx.NewShape(rows))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := x.SetContents(values); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
			if err := x.Destroy(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkZipMap decodes 8192 rows of 3 classes.
func BenchmarkZipMap(b *testing.B) {
	const rows = 8192
	for name, p := range map[string]*pb.ModelProto{
		"int64":  zipMaps(onnxtest.Ints("classlabels_int64s", 0, 1, 2), pb.TensorProto_INT64),
		"string": zipMaps(onnxtest.Strings("classlabels_strings", "a", "b", "c"), pb.TensorProto_STRING),
	} {
		s := newSession(b, p, ort.SessionOptions{})
		x := tensor(b, models.Float32, []int64{rows, 3}, make([]float32, rows*3))
		inputs, outputs := []*ort.Tensor{x}, []*ort.Tensor{nil}
		for _, decode := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%s/decode=%v", name, decode), func(b *testing.B) {
				for b.Loop() {
					if err := s.Run(context.Background(), inputs, outputs); err != nil {
						b.Fatal(err)
					}
					if decode {
						if _, _, err := ort.DecodeSequenceOfMaps(outputs[0]); err != nil {
							b.Fatal(err)
						}
					}
					closeAll(b, outputs[0])
					outputs[0] = nil
				}
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/rows*1e9, "ns/row")
			})
		}
		closeAll(b, x)
	}
}

// BenchmarkReference runs the repository's reference models that take one
// float32 matrix, over zeros.
func BenchmarkReference(b *testing.B) {
	lib := orttest.Library(b)
	paths, err := filepath.Glob(filepath.Join("..", "..", "models", "reference", "*.onnx"))
	if err != nil || len(paths) == 0 {
		b.Skip("no reference models here")
	}
	for _, path := range paths {
		m, err := models.Open(path, models.Options{})
		if err != nil {
			b.Fatal(err)
		}
		m, _, err = models.StripZipMap(m)
		if err != nil {
			b.Fatal(err)
		}
		if len(m.Inputs) != 1 || m.Inputs[0].Elem != models.Float32 || len(m.Inputs[0].Shape) != 2 || m.Inputs[0].Shape[1].Size < 1 {
			continue
		}
		s, err := ort.NewSession(lib, m, ort.SessionOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, rows := range []int64{256, 4096} {
			b.Run(fmt.Sprintf("model=%s/rows=%d", strings.TrimSuffix(filepath.Base(path), ".onnx"), rows), func(b *testing.B) {
				width := m.Inputs[0].Shape[1].Size
				x := tensor(b, models.Float32, []int64{rows, width}, make([]float32, rows*width))
				defer closeAll(b, x)
				outputs := make([]*ort.Tensor, len(s.Outputs()))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Run(context.Background(), []*ort.Tensor{x}, outputs); err != nil {
						b.Fatal(err)
					}
					closeAll(b, outputs...)
					clear(outputs)
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
		closeAll(b, s)
	}
}
