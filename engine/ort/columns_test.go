package ort_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/internal/cpulevel/leveltest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// guardedColumns are how many columns of a segment end where memory may not be read.
const guardedColumns = 40

// cut makes columns of rows of a matrix: of values that begin anywhere, and bitmaps
// that begin at any bit. A value may be null where it is the column's fill.
func cut(g *leveltest.Guards, r *rand.Rand, x []float32, width int, fills []float32) []ort.Column {
	rows := len(x) / width
	all := make([]ort.Column, width)
	for k := range all {
		c := &all[k]
		c.Fill = fills[k]
		isFill := func(i int) bool {
			v := x[i*width+k]
			return math.Float32bits(v) == math.Float32bits(c.Fill)
		}
		before := r.IntN(3)
		c.Bit = r.IntN(70)
		values, validity, null := make([]float32, rows), make([]byte, (c.Bit+rows+7)/8), 0
		if k < guardedColumns && rows > 0 {
			values, validity = leveltest.Slice[float32](g, before+rows)[before:], leveltest.Slice[byte](g, len(validity))
		}
		for i := range validity {
			validity[i] = byte(r.Uint32())
		}
		for i := range rows {
			values[i] = x[i*width+k]
			at := c.Bit + i
			validity[at/8] |= 1 << (at % 8)
			if isFill(i) && r.IntN(4) > 0 {
				null++
				validity[at/8] &^= 1 << (at % 8)
				values[i] = 12345 // which nobody may see
			}
		}
		if c.Values = values; null == rows && r.IntN(2) == 0 {
			c.Values = nil
		}
		if null > 0 || r.IntN(2) == 0 {
			c.Validity = validity
		}
	}
	return all
}

// runColumns gives the bytes of every output of a model that takes columns, of a matrix
// that is cut into segments of so many rows; of the matrix as it lies where there are none.
func runColumns(tb testing.TB, t fatal, m *models.Model, x []float32, width int, segments [][]ort.Column, rows []int) [][]byte {
	tb.Helper()
	t.Helper()
	var c ort.Columns
	defer func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	}()
	if len(segments) > 0 {
		in, err := c.SetColumns(rows, segments)
		if err != nil {
			t.Fatal(err)
		}
		return runInput(tb, t, m, in)
	}
	of, err := ort.Of(models.Float32, []int64{int64(len(x))}, x)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(tb, of)
	in, err := c.SetMatrix(len(x)/width, width, of.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return runInput(tb, t, m, in)
}

// differs is the first float32 of which two have other bits; -1 where none has. Which NaN
// the sum of two is, nothing says.
func differs(got, want []byte) int {
	if len(got) != len(want) {
		return 0
	}
	for i := 0; i < len(got); i += 4 {
		a, b := binary.LittleEndian.Uint32(got[i:]), binary.LittleEndian.Uint32(want[i:])
		if a != b && !(math.IsNaN(float64(math.Float32frombits(a))) && math.IsNaN(float64(math.Float32frombits(b)))) {
			return i / 4
		}
	}
	return -1
}

// Operators of ours give the same bits of columns that lie anywhere as of the matrix
// that is made of them, at every level, and read nothing behind them.
func TestColumns(t *testing.T) {
	orttest.Library(t)
	guards := leveltest.NewGuards(t, 3*guardedColumns*2)
	rapid.Check(t, func(rt *rapid.T) {
		guards.Reset()
		var m *models.Model
		var width int
		switch rapid.SampledFrom([]string{"linear", "dense", "regressor", "classifier"}).Draw(rt, "model") {
		case "linear":
			of, l := drawLinear(t, rt)
			m, width = of, l.g.width
		case "dense":
			of, widths := drawMLP(rt)
			m, width = of.model(t, widths[0], widths[len(widths)-1]), widths[0]
		case "regressor":
			of, g := drawRegressor(t, rt)
			m, width = of, g.width
		default:
			of, g := drawClassifier(t, rt)
			if of == nil {
				return
			}
			m, width = of, g.width
		}
		k, changed, err := models.UseKernels(m)
		if err != nil || !changed {
			rt.Fatalf("UseKernels() = %v, %v; want it changed", changed, err)
		}
		can, err := models.ColumnInputs(k)
		if err != nil || len(can) != 1 || !can[0] {
			rt.Fatalf("ColumnInputs() = %v, %v; want true", can, err)
		}
		taking, err := models.TakeColumns(k, can)
		if err != nil {
			rt.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 2))
		var x []float32
		var rows []int
		for range rapid.IntRange(1, 3).Draw(rt, "segments") {
			n := rapid.SampledFrom([]int{0, 1, 5, 16, 47, 48, 64, 65, 127, 128, 200, 2100 / width}).Draw(rt, "rows")
			rows = append(rows, n)
			for range n * width {
				x = append(x, float32(r.NormFloat64()))
			}
		}
		fills := make([]float32, width)
		for i := range fills {
			fills[i] = special[r.IntN(len(special))]
		}
		for i := range x {
			if r.IntN(10) == 0 {
				x[i] = fills[i%width]
			} else if r.IntN(10) == 0 {
				x[i] = special[r.IntN(len(special))]
			}
		}
		var segments [][]ort.Column
		at := 0
		for _, n := range rows {
			segments = append(segments, cut(guards, r, x[at:at+n*width], width, fills))
			at += n * width
		}
		for level, name := range ort.KernelLevels() {
			ort.ForceKernelLevel(t, level)
			want := runRows(t, rt, k, x, width)
			for _, form := range [][][]ort.Column{segments, nil} {
				got := runColumns(t, rt, taking, x, width, form, rows)
				numbers := len(want) - 1 // labels come before
				if at := differs(got[numbers], want[numbers]); at >= 0 {
					rt.Fatalf("level %s, %d segments: other bits than of the matrix at %d", name, len(form), at)
				}
				if len(want) == 2 && !bytes.Equal(got[0], want[0]) {
					rt.Fatalf("level %s, %d segments: other labels than of the matrix", name, len(form))
				}
			}
		}
	})
}

// What is no layout is refused, by the operator itself.
func TestColumnsRefused(t *testing.T) {
	lib := orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(1, 1)), width: 3, modes: []string{"BRANCH_LEQ"}, thresholds: []float32{1}}
	for _, leaf := range g.tree(0, 3) {
		g.trees.Weight(0, leaf, 0, 1)
	}
	k, _, err := models.UseKernels(openModel(t, g.trees.Regressor(3, 1)))
	if err != nil {
		t.Fatal(err)
	}
	taking, err := models.TakeColumns(k, []bool{true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.NewSession(lib, taking, ort.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, s)
	const magic = 0x31434c4d5243524d
	for name, words := range map[string][]int64{
		"nothing":            {},
		"another magic":      {1, 1, 3, 0, 0},
		"no width":           {magic, 1, 0, 0, 0},
		"no matrix":          {magic, 1, 3, 0},
		"a short segment":    {magic, 1, 3, 1, 1, 0, 0, 0},
		"rows that lack":     append([]int64{magic, 2, 3, 1, 1}, make([]int64, 12)...),
		"more rows":          append([]int64{magic, 1, 3, 1, 2}, make([]int64, 12)...),
		"fewer than nothing": append([]int64{magic, 1, 3, 1, -1}, make([]int64, 12)...),
		"segments by far":    append([]int64{magic, 1, 3, math.MaxInt64, 1}, make([]int64, 12)...),
	} {
		in, err := ort.Of(models.Int64, []int64{int64(len(words)), 1}, words)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context(), []*ort.Tensor{in}, make([]*ort.Tensor, 1))
		closeAll(t, in)
		if err == nil || !strings.Contains(err.Error(), "neither of float nor columns") {
			t.Errorf("%s: Run() = %v; want it refused", name, err)
		}
	}
}

// Only what nothing but an operator of ours takes is taken as columns.
func TestColumnInputs(t *testing.T) {
	scaler := onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("s"), onnxtest.Floats("scale", 1, 2), onnxtest.Floats("offset", 1, 2))
	sum := onnxtest.DomainNode("ai.onnx.ml", "LinearRegressor", onnxtest.Names("s"), onnxtest.Names("y"), onnxtest.Floats("coefficients", 1, 2))
	x, y := onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2), onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)
	z := onnxtest.Tensor("z", pb.TensorProto_FLOAT, "N", 2)
	tests := []struct {
		name  string
		model *pb.ModelProto
		want  bool
	}{
		{"a chain and a sum", onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y), scaler, sum)), true},
		{"another user", onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y, z), scaler, sum, onnxtest.Node("Neg", onnxtest.Names("x"), onnxtest.Names("z")))), false},
		{"an output", onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y, x), scaler, sum)), false},
		{"a chain alone", onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(onnxtest.Tensor("s", pb.TensorProto_FLOAT, "N", 2)), scaler)), false},
		{"fixed rows", onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, 4, 2)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, 4, 1)), scaler, sum)), false},
	}
	for _, test := range tests {
		k, changed, err := models.UseKernels(openModel(t, test.model))
		if err != nil || !changed {
			t.Fatalf("%s: UseKernels() = %v, %v", test.name, changed, err)
		}
		if got, err := models.ColumnInputs(k); err != nil || len(got) != 1 || got[0] != test.want {
			t.Errorf("%s: ColumnInputs() = %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}
