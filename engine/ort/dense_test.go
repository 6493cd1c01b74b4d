package ort_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// mlp is a model of dense layers as an exporter writes it.
type mlp struct {
	*rand.Rand
	nodes        []*pb.NodeProto
	initializers []*pb.TensorProto
	last         string
	layers       []mlpLayer
	ones         bool // all weights and biases are 1
}

// mlpLayer is what the plain loop computes.
type mlpLayer struct {
	weights    [][]float32 // [outputs][inputs]
	bias       []float32
	activation func(float64) float64
}

func (m *mlp) value() float32 {
	if m.ones {
		return 1
	}
	return float32(m.NormFloat64())
}

func (m *mlp) node(op string, inputs []string, attributes ...*pb.AttributeProto) {
	out := fmt.Sprintf("v%d", len(m.nodes))
	m.nodes = append(m.nodes, onnxtest.Node(op, append([]string{m.last}, inputs...), onnxtest.Names(out), attributes...))
	m.last = out
}

func (m *mlp) constant(dims []int64, values ...float32) string {
	name := fmt.Sprintf("c%d", len(m.initializers))
	m.initializers = append(m.initializers, onnxtest.Floats32(name, dims, values...))
	return name
}

// layer appends a dense layer: "MatMul" with an Add behind, "Gemm" as PyTorch
// writes it, or "GemmNN", its weights not turned.
func (m *mlp) layer(form string, inputs, outputs int, biased bool) {
	l := mlpLayer{bias: make([]float32, outputs), activation: func(v float64) float64 { return v }}
	for n := range outputs {
		l.weights = append(l.weights, make([]float32, inputs))
		for k := range l.weights[n] {
			l.weights[n][k] = m.value() / float32(math.Sqrt(float64(inputs)))
		}
		if biased {
			l.bias[n] = m.value()
		}
	}
	turned := make([]float32, 0, inputs*outputs)
	for k := range inputs {
		for n := range outputs {
			turned = append(turned, l.weights[n][k])
		}
	}
	m.layers = append(m.layers, l)
	in, out := int64(inputs), int64(outputs)
	bias := func(dims ...int64) []string {
		if biased {
			return onnxtest.Names(m.constant(dims, l.bias...))
		}
		return nil
	}
	switch form {
	case "MatMul":
		m.node("MatMul", onnxtest.Names(m.constant([]int64{in, out}, turned...)))
		if biased {
			m.node("Add", bias(1, out))
		}
	case "Gemm":
		w := m.constant([]int64{out, in}, slices.Concat(l.weights...)...)
		m.node("Gemm", append(onnxtest.Names(w), bias(out)...), onnxtest.Int("transB", 1), onnxtest.Float("alpha", 1), onnxtest.Float("beta", 1))
	case "GemmNN":
		w := m.constant([]int64{in, out}, turned...)
		m.node("Gemm", append(onnxtest.Names(w), bias(1, out)...))
	}
}

// activate appends an activation, or nothing.
func (m *mlp) activate(op string) {
	l := &m.layers[len(m.layers)-1]
	switch op {
	case "Relu":
		m.node(op, nil)
		l.activation = func(v float64) float64 { return max(v, 0) }
	case "LeakyRelu":
		m.node(op, nil, onnxtest.Float("alpha", 0.25))
		l.activation = func(v float64) float64 { return max(v, v/4) }
	case "Clip":
		m.node(op, onnxtest.Names(m.constant(nil, 0), m.constant(nil, 6)))
		l.activation = func(v float64) float64 { return min(max(v, 0), 6) }
	}
}

func (m *mlp) model(tb testing.TB, inputs, outputs int) *models.Model {
	tb.Helper()
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", inputs)),
		onnxtest.Values(onnxtest.Tensor(m.last, pb.TensorProto_FLOAT, "N", outputs)), m.nodes...)
	g.Initializer = m.initializers
	return openModel(tb, onnxtest.Model(g))
}

// exact computes a row in float64 and bounds how far float32 may be off: each
// product and sum of a layer is rounded once, and what is off already is
// multiplied by the weights.
func (m *mlp) exact(x []float32) (y, off []float64) {
	y, off = make([]float64, len(x)), make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	for _, l := range m.layers {
		next, nextOff := make([]float64, len(l.weights)), make([]float64, len(l.weights))
		for n, weights := range l.weights {
			sum, size := float64(l.bias[n]), math.Abs(float64(l.bias[n]))
			for k, w := range weights {
				sum += y[k] * float64(w)
				size += (math.Abs(y[k]) + off[k]) * math.Abs(float64(w))
				nextOff[n] += off[k] * math.Abs(float64(w))
			}
			next[n] = l.activation(sum)
			nextOff[n] += size * float64(len(weights)+3) * 0x1p-24
		}
		y, off = next, nextOff
	}
	return y, off
}

// sameButRounding runs a model as ONNX Runtime does it, and with kernels of ours
// at every level, and wants the same labels, and numbers as near to each other as
// sums of float32 in another order are; near is for those that cancel to nothing.
func sameButRounding(tb testing.TB, t fatal, m *models.Model, x []float32, width int, near float64) {
	tb.Helper()
	t.Helper()
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		t.Fatalf("UseKernels() = %v, %v; want it changed", changed, err)
	}
	want := runRows(tb, t, m, x, width)
	for level, name := range ort.KernelLevels() {
		ort.ForceKernelLevel(tb, level)
		for i, got := range runRows(tb, t, k, x, width) {
			if len(got) != len(want[i]) {
				t.Fatalf("level %s, output %d: %d bytes; want %d", name, i, len(got), len(want[i]))
			}
			if m.Outputs[i].Elem != models.Float32 {
				if !bytes.Equal(got, want[i]) {
					t.Fatalf("level %s, output %d: other labels than ONNX Runtime's", name, i)
				}
				continue
			}
			for at := 0; at < len(got); at += 4 {
				a, b := math.Float32frombits(binary.LittleEndian.Uint32(want[i][at:])), math.Float32frombits(binary.LittleEndian.Uint32(got[at:]))
				if a != b && (a == a || b == b) && !(math.Abs(float64(a-b)) <= near+2e-5*math.Abs(float64(a))) {
					t.Fatalf("level %s, output %d, value %d = %v; want %v", name, i, at/4, b, a)
				}
			}
		}
	}
}

// drawMLP draws a chain that is replaced.
func drawMLP(rt *rapid.T) (m *mlp, widths []int) {
	m = &mlp{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), last: "x"}
	width := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 300))
	widths = []int{width.Draw(rt, "inputs")}
	for i := range rapid.IntRange(2, 4).Draw(rt, "layers") {
		widths = append(widths, width.Draw(rt, "outputs"))
		m.layer(rapid.SampledFrom([]string{"MatMul", "Gemm", "GemmNN"}).Draw(rt, "form"), widths[i], widths[i+1], rapid.Bool().Draw(rt, "biased"))
		m.activate(rapid.SampledFrom([]string{"", "Relu", "LeakyRelu", "Clip"}).Draw(rt, "activation"))
	}
	return m, widths
}

// useDense is UseKernels of a model that is nothing but one chain.
func useDense(t fatal, m *models.Model) *models.Model {
	t.Helper()
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed || len(k.Operators) != 1 || k.Operators[0] != (models.Operator{Domain: models.KernelDomain, Name: "Dense", Nodes: 1}) {
		t.Fatalf("UseKernels() = %v, %v, operators %v; want one Dense", changed, err, k.Operators)
	}
	return k
}

// Chains are compared with the exact result, at every level and with ONNX
// Runtime's own operators. All levels give the same bits, and a row has them
// whatever rows are in the batch with it.
func TestDense(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, widths := drawMLP(rt)
		inputs, outputs := widths[0], widths[len(widths)-1]
		exported := m.model(t, inputs, outputs)
		k := useDense(rt, exported)
		rows := rapid.SampledFrom([]int{0, 1, 2, 15, 16, 17, 33, 47, 48, 49, 101}).Draw(rt, "rows")
		x := make([]float32, rows*inputs)
		for i := range x {
			x[i] = m.value()
		}
		var first []byte
		for level, name := range ort.KernelLevels() {
			ort.ForceKernelLevel(t, level)
			got := runRows(t, rt, k, x, inputs)[0]
			if first == nil {
				first = got
			}
			if !bytes.Equal(got, first) {
				rt.Fatalf("level %s gives other bits than level plain", name)
			}
			if at := rapid.IntRange(0, rows).Draw(rt, "from"); at < rows {
				rest := runRows(t, rt, k, x[at*inputs:], inputs)[0]
				if !bytes.Equal(rest, first[4*at*outputs:]) {
					rt.Fatalf("level %s: rows from %d on have other bits in a batch of their own", name, at)
				}
			}
		}
		theirs := runRows(t, rt, exported, x, inputs)[0]
		for r := range rows {
			want, off := m.exact(x[r*inputs : (r+1)*inputs])
			for n := range want {
				at := 4 * (r*outputs + n)
				for who, all := range map[string][]byte{"Dense": first, "ONNX Runtime": theirs} {
					if got := float64(math.Float32frombits(binary.LittleEndian.Uint32(all[at:]))); math.Abs(got-want[n]) > off[n] {
						rt.Fatalf("%s: row %d, output %d = %v; want %v within %v", who, r, n, got, want[n], off[n])
					}
				}
			}
		}
	})
}

// Many rows are cut into parts, which threads share.
func TestDenseOnThreads(t *testing.T) {
	lib := orttest.Library(t)
	m := &mlp{Rand: rand.New(rand.NewPCG(1, 2)), last: "x"}
	m.layer("Gemm", 64, 700, true) // wide enough for tiles on the heap
	m.activate("Relu")
	m.layer("Gemm", 700, 5, true)
	k := useDense(t, m.model(t, 64, 5))
	x := make([]float32, 1001*64)
	for i := range x {
		x[i] = m.value()
	}
	want := runRows(t, t, k, x, 64)[0]
	s, err := ort.NewSession(lib, k, ort.SessionOptions{IntraOpThreads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, s)
	in := tensor(t, models.Float32, []int64{1001, 64}, x)
	defer closeAll(t, in)
	out := make([]*ort.Tensor, 1)
	if err := s.Run(t.Context(), []*ort.Tensor{in}, out); err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, out...)
	if !bytes.Equal(out[0].Bytes(), want) {
		t.Error("three threads give other bits than one")
	}
}

// NaN and infinities come out where ONNX Runtime's operators have them, and zeros
// have its signs.
func TestDenseSpecialValues(t *testing.T) {
	orttest.Library(t)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 1, -1, 7, math.MaxFloat32, -math.MaxFloat32, 1e-45, -1e-45}
	for _, activation := range []string{"", "Relu", "LeakyRelu", "Clip"} {
		for _, form := range []string{"MatMul", "Gemm"} {
			for _, biased := range []bool{false, true} {
				m := &mlp{ones: true, last: "x"}
				for range 2 {
					m.layer(form, 1, 1, biased)
					m.activate(activation)
				}
				exported := m.model(t, 1, 1)
				want := runRows(t, t, exported, x, 1)[0]
				for level, name := range ort.KernelLevels() {
					ort.ForceKernelLevel(t, level)
					got := runRows(t, t, useDense(t, exported), x, 1)[0]
					for i := range x {
						a, b := binary.LittleEndian.Uint32(want[4*i:]), binary.LittleEndian.Uint32(got[4*i:])
						if v, w := math.Float32frombits(a), math.Float32frombits(b); a != b && (v == v || w == w) {
							t.Errorf("%s %s, biased %t, level %s: %v gives %v; want %v", form, activation, biased, name, x[i], w, v)
						}
					}
				}
			}
		}
	}
}

// A layout whose sizes are wrong is refused when a session is made.
func TestDenseRefusesLayouts(t *testing.T) {
	lib := orttest.Library(t)
	m := &mlp{Rand: rand.New(rand.NewPCG(1, 2)), last: "x"}
	m.layer("Gemm", 3, 5, true)
	m.layer("Gemm", 5, 2, true)
	exported := m.model(t, 3, 2)
	second := 2 + 5 + 5 + 15 // its first word: behind the head, the first layer's, bias and weights
	for _, c := range []struct {
		what  string
		word  int
		value uint32
	}{
		{"another magic", 0, 1},
		{"no layers", 1, 0},
		{"more layers than there are", 1, 3},
		{"fewer layers than there are", 1, 1},
		{"very many layers", 1, 1 << 30},
		{"more inputs than weights", 2, 4},
		{"no inputs", 2, 0},
		{"very many inputs", 2, 1 << 31},
		{"more outputs than weights", 3, 6},
		{"very many outputs", 3, math.MaxUint32},
		{"an unknown activation", 4, 4},
		{"a second layer of other inputs", second, 4},
		{"a second layer of more outputs", second + 1, 3},
		{"a second layer of no outputs", second + 1, 0},
	} {
		k := useDense(t, exported)
		start := bytes.Index(k.Data(), []byte("MRD1"))
		binary.LittleEndian.PutUint32(k.Data()[start+4*c.word:], c.value)
		s, err := ort.NewSession(lib, k, ort.SessionOptions{})
		if err == nil {
			closeAll(t, s)
		}
		if err == nil || !strings.Contains(err.Error(), "not a chain of dense layers") {
			t.Errorf("%s: NewSession = %v; want the layout refused", c.what, err)
		}
	}
}
