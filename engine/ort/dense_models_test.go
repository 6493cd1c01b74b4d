package ort_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

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
	case "LeakyRelu by default":
		m.node("LeakyRelu", nil)
		l.activation = func(v float64) float64 { return max(v, v*float64(float32(0.01))) }
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

// drawMLP draws a chain that is replaced.
func drawMLP(rt *rapid.T) (m *mlp, widths []int) {
	m = &mlp{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), last: "x"}
	width := rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 300))
	layers := rapid.IntRange(2, 4).Draw(rt, "layers")
	widths = append(make([]int, 0, layers+1), width.Draw(rt, "inputs"))
	for i := range layers {
		widths = append(widths, width.Draw(rt, "outputs"))
		m.layer(rapid.SampledFrom([]string{"MatMul", "Gemm", "GemmNN"}).Draw(rt, "form"), widths[i], widths[i+1], rapid.Bool().Draw(rt, "biased"))
		m.activate(rapid.SampledFrom([]string{"", "Relu", "LeakyRelu", "LeakyRelu by default", "Clip"}).Draw(rt, "activation"))
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
