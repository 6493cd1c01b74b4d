package main

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/onnxpb"
)

// writeFixtures makes the small files that scripts use:
//
//	sum.onnx       x float32[N,2] -> y float32[N,1] = x0 + x1
//	named.onnx     the same, with feature_names a,b
//	total.onnx     the same with an output float32[] before it, the greatest of all x
//	outside.onnx   the same, its weights in ../outside.bin
//	external.onnx  the same behind a Scaler, its weights in weights.bin beside it
//	truncated.onnx the first half of sum.onnx
//	good.parquet   id int64, a float32, b float32, s string; 3 rows
//	good.arrow     the same
//	good.arrows    the same twice, a stream of two record batches
//	nulls.arrows   nulls.parquet and good.parquet, a stream of two
//	nulls.parquet  the same with a null in a, row 1
//	nan.parquet    the same with a NaN in b, row 2
//	wide.parquet   a and b are float64
//	bad.parquet    good.parquet with its middle overwritten
func writeFixtures(t *testing.T, dir string) {
	t.Helper()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("sum.onnx"), encode(t, sumModel(nil)))
	named := sumModel(nil)
	named.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: new("feature_names"), Value: new(`["a","b"]`)}}
	write(t, path("named.onnx"), encode(t, named))
	total := sumModel(nil)
	total.Graph.Node = append(total.Graph.Node, &onnxpb.NodeProto{OpType: new("ReduceMax"), Input: []string{"x"}, Output: []string{"total"}, Attribute: []*onnxpb.AttributeProto{{Name: new("keepdims"), Type: new(onnxpb.AttributeProto_INT), I: new(int64(0))}}})
	scalar := &onnxpb.TypeProto_Tensor{ElemType: new(int32(models.Float32)), Shape: &onnxpb.TensorShapeProto{}}
	total.Graph.Output = append([]*onnxpb.ValueInfoProto{{Name: new("total"), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: scalar}}}}, total.Graph.Output...)
	write(t, path("total.onnx"), encode(t, total))
	unread := sumModel(nil)
	unread.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: new("feature_names"), Value: new("['b', 'a']")}}
	write(t, path("unread.onnx"), encode(t, unread))
	write(t, path("outside.onnx"), encode(t, sumModel([]string{"location", "../outside.bin"})))
	external := sumModel([]string{"location", "weights.bin"})
	external.OpsetImport = append(external.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: new("ai.onnx.ml"), Version: new(int64(3))})
	external.Graph.Node[0].Input[0] = "scaled"
	external.Graph.Node = append([]*onnxpb.NodeProto{{
		OpType: new("Scaler"), Domain: new("ai.onnx.ml"), Input: []string{"x"}, Output: []string{"scaled"},
		Attribute: []*onnxpb.AttributeProto{floatsAttribute("scale", 2), floatsAttribute("offset", 1)},
	}}, external.Graph.Node...)
	write(t, path("external.onnx"), encode(t, external))
	write(t, path("weights.bin"), []byte{0, 0, 128, 63, 0, 0, 128, 63})
	whole := encode(t, named)
	write(t, path("truncated.onnx"), whole[:len(whole)/2])
	write(t, path("text.onnx"), []byte("id,a,b\n1,2,3\n"))

	good := record(t, arrow.PrimitiveTypes.Float32, nil)
	defer good.Release()
	save(t, path("good.parquet"), good, newParquet)
	save(t, path("good.arrow"), good, newArrow)
	nulls := record(t, arrow.PrimitiveTypes.Float32, []bool{true, false, true})
	defer nulls.Release()
	save(t, path("nulls.parquet"), nulls, newParquet)
	write(t, path("good.arrows"), streamOf(t, good, good))
	write(t, path("nulls.arrows"), streamOf(t, nulls, good))
	nan := record(t, arrow.PrimitiveTypes.Float32, nil)
	defer nan.Release()
	nan.Column(2).(*array.Float32).Float32Values()[2] = float32(math.NaN())
	save(t, path("nan.parquet"), nan, newParquet)
	wide := record(t, arrow.PrimitiveTypes.Float64, nil)
	defer wide.Release()
	save(t, path("wide.parquet"), wide, newParquet)
	damaged, err := os.ReadFile(path("good.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	copy(damaged[len(damaged)/2:], make([]byte, len(damaged)/4))
	write(t, path("bad.parquet"), damaged)
}

// streamOf are the bytes of an Arrow IPC stream.
func streamOf(t *testing.T, records ...arrow.RecordBatch) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := arrowfile.StartStream(&b, records[0].Schema(), format.WriteOptions{})
	for i := 0; err == nil && i < len(records); i++ {
		err = w.Write(records[i])
	}
	if err == nil {
		err = w.End()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newParquet(f *os.File, s *arrow.Schema) (format.Writer, error) {
	return parquetfile.NewWriter(f, s, format.WriteOptions{})
}

func newArrow(f *os.File, s *arrow.Schema) (format.Writer, error) {
	return arrowfile.NewWriter(f, s, format.WriteOptions{})
}

func save(t *testing.T, path string, r arrow.RecordBatch, newWriter func(*os.File, *arrow.Schema) (format.Writer, error)) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWriter(f, r.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, number arrow.DataType, valid []bool) arrow.RecordBatch {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "a", Type: number, Nullable: true},
		{Name: "b", Type: number, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{10, 11, 12}, nil)
	for i, values := range [][]float64{{1, 2, 3}, {0.5, 0.25, 0.1}} {
		ok := valid
		if i == 1 {
			ok = nil
		}
		switch c := b.Field(1 + i).(type) {
		case *array.Float32Builder:
			narrow := make([]float32, len(values))
			for j, v := range values {
				narrow[j] = float32(v)
			}
			c.AppendValues(narrow, ok)
		case *array.Float64Builder:
			c.AppendValues(values, ok)
		}
	}
	b.Field(3).(*array.StringBuilder).AppendValues([]string{"x", "y", "z"}, nil)
	return b.NewRecordBatch()
}

// sumModel multiplies [N,2] by a column of ones. external, when given, names
// where the ones lie as key and value of external_data.
func sumModel(external []string) *onnxpb.ModelProto {
	weights := &onnxpb.TensorProto{
		Name: new("w"), Dims: []int64{2, 1}, DataType: new(int32(models.Float32)), FloatData: []float32{1, 1},
	}
	if external != nil {
		weights.FloatData = nil
		weights.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		weights.ExternalData = []*onnxpb.StringStringEntryProto{{Key: new(external[0]), Value: new(external[1])}}
	}
	return &onnxpb.ModelProto{
		IrVersion:    new(int64(8)),
		ProducerName: new("millrace tests"),
		OpsetImport:  []*onnxpb.OperatorSetIdProto{{Domain: new(""), Version: new(int64(17))}},
		Graph: &onnxpb.GraphProto{
			Name:        new("sum"),
			Input:       []*onnxpb.ValueInfoProto{tensorInfo("x", 2)},
			Output:      []*onnxpb.ValueInfoProto{tensorInfo("y", 1)},
			Initializer: []*onnxpb.TensorProto{weights},
			Node: []*onnxpb.NodeProto{{
				OpType: new("MatMul"), Name: new("sum"), Input: []string{"x", "w"}, Output: []string{"y"},
			}},
		},
	}
}

func floatsAttribute(name string, values ...float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: new(name), Type: onnxpb.AttributeProto_FLOATS.Enum(), Floats: values}
}

// tensorInfo is a float32 [N,width] value.
func tensorInfo(name string, width int64) *onnxpb.ValueInfoProto {
	return &onnxpb.ValueInfoProto{Name: new(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{
			ElemType: new(int32(models.Float32)),
			Shape: &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{
				{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: "N"}},
				{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: width}},
			}},
		},
	}}}
}

func encode(t *testing.T, m *onnxpb.ModelProto) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// libraryPath is the ONNX Runtime that runs of this program take; the test is skipped
// without one.
func libraryPath(tb testing.TB) string {
	tb.Helper()
	library, ok := orttest.Path()
	if !ok {
		tb.Skip("SKIPPED FOR WANT OF ONNX RUNTIME: run make runtime, or set " + ort.EnvVariable)
	}
	return library
}

// slow skips a test that is to be short.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow under the race detector, and nothing runs at the same time here that other tests do not run")
	}
}

// programIn puts this program into a directory, and gives the environment to start it in.
func programIn(tb testing.TB, dir string) (program string, env []string) {
	tb.Helper()
	env = append(os.Environ(), ort.EnvVariable+"="+libraryPath(tb))
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	program = filepath.Join(dir, "millrace") // by which TestMain knows what it is to be
	if err := os.Symlink(self, program); err != nil {
		tb.Fatal(err)
	}
	return program, env
}

// canUnshare reports whether a script may make a small file system of its own.
func canUnshare() bool {
	return exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt").Run() == nil
}
