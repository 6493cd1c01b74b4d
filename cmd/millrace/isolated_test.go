package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/onnxpb"
)

// divideModel computes y = -2^63 / x of int64, which kills ONNX Runtime where x is -1: the
// quotient has no int64, and x86-64's idiv faults.
func divideModel() *onnxpb.ModelProto {
	value := func(name string) *onnxpb.ValueInfoProto {
		return &onnxpb.ValueInfoProto{Name: new(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
			TensorType: &onnxpb.TypeProto_Tensor{
				ElemType: new(int32(models.Int64)),
				Shape: &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{
					{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "N"}},
				}},
			},
		}}}
	}
	return &onnxpb.ModelProto{
		IrVersion:   new(int64(8)),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: new(""), Version: new(int64(14))}},
		Graph: &onnxpb.GraphProto{
			Name:  new("divide"),
			Input: []*onnxpb.ValueInfoProto{value("x")}, Output: []*onnxpb.ValueInfoProto{value("y")},
			Initializer: []*onnxpb.TensorProto{{Name: new("c"), Dims: []int64{1}, DataType: new(int32(models.Int64)), Int64Data: []int64{math.MinInt64}}},
			Node:        []*onnxpb.NodeProto{{OpType: new("Div"), Input: []string{"c", "x"}, Output: []string{"y"}}},
		},
	}
}

// writeDivisors writes rows 1, 2, ... of x in row groups of 1,000, with -1 at some rows.
func writeDivisors(t *testing.T, path string, rows int, deadly ...int) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range rows {
		x := int64(i + 1)
		if slices.Contains(deadly, i) {
			x = -1
		}
		b.Field(0).(*array.Int64Builder).Append(x)
	}
	record := b.NewRecordBatch()
	defer record.Release()
	save(t, path, record, func(f *os.File, s *arrow.Schema) (format.Writer, error) {
		return parquetfile.NewWriter(f, s, format.WriteOptions{RowGroupRows: 1000})
	})
}

// TestDeadlyModel scores a row that kills the process, until the run knows which row it
// is; then, beside that, everything else is scored. It is a real fault in ONNX Runtime.
func TestDeadlyModel(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: what dies is another process")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86-64 faults on this division")
	}
	const rows, deadly = 10_000, 6543
	for _, output := range []string{"out", "out.parquet"} {
		t.Run("output="+output, func(t *testing.T) {
			k := newKillable(t)
			writeDivisors(t, filepath.Join(k.dir, "in.parquet"), rows, deadly)
			score := func() (syscall.WaitStatus, string) {
				text, err := k.command("--model", "divide.onnx", "--ids", "x", "--part-rows", "1000", "--batch-size", "256", "--output", output).CombinedOutput()
				if exit, ok := errors.AsType[*exec.ExitError](err); !ok {
					t.Fatalf("a run that must die ends with %v: %s", err, text)
				} else {
					return exit.Sys().(syscall.WaitStatus), string(text)
				}
				return 0, ""
			}
			deaths := 0
			for range 6 { // at least two in the part, and others may be open with it
				status, text := score()
				if status.Signaled() {
					deaths++
					continue
				}
				for _, says := range []string{"it kills the process", "part 6 (rows 6000 to 6999 of in.parquet)", "at row 6543 of in.parquet", "SIGFPE", "9 of 10 parts are finished and kept"} {
					if !strings.Contains(text, says) {
						t.Errorf("exit %d says %s; want %q", status.ExitStatus(), text, says)
					}
				}
				if status.ExitStatus() != exitModel {
					t.Errorf("exit %d; want %d", status.ExitStatus(), exitModel)
				}
				if _, err := os.Stat(filepath.Join(k.dir, output)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the output exists: %v", err)
				}
			}
			if deaths != 2 {
				t.Errorf("%d starts were killed by a signal; want 2, and then none", deaths)
			}
		})
	}
}

func TestExitOfIsolatedParts(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"the process said what it was", fmt.Errorf("%w: %w", engine.ErrApart, &childError{code: exitBadRows}), exitBadRows},
		{"it died of the model", fmt.Errorf("%w: %w", engine.ErrDeadly, engine.ErrDied), exitModel},
		{"it was killed", fmt.Errorf("%w: %w: %w", engine.ErrDeadly, engine.ErrDied, engine.ErrMemory), exitDevice},
	}
	for _, test := range tests {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: exitCode(%v) = %d; want %d", test.name, test.err, got, test.want)
		}
	}
}

func TestBeginning(t *testing.T) {
	var b beginning
	for range 3 {
		if n, err := b.Write(append([]byte("\n why \n"), make([]byte, beginningBytes)...)); err != nil || n != beginningBytes+7 {
			t.Fatalf("Write() = %d, %v", n, err)
		}
	}
	if b.text.Len() != beginningBytes || b.first() != "why" {
		t.Errorf("%d bytes kept, the first line %q; want %d, %q", b.text.Len(), b.first(), beginningBytes, "why")
	}
	if got := (&beginning{}).first(); got != "it said nothing" {
		t.Errorf("first() of nothing = %q", got)
	}
}
