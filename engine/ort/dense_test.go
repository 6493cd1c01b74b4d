package ort_test

import (
	"bytes"
	"encoding/binary"
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

// A chain of Imputer and Scaler before the layers is computed with them, and gives
// the bits that it gives alone.
func TestDenseBehindChain(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := &forestGen{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
		g.width = rapid.SampledFrom([]int{1, 3, 8, 17, 40}).Draw(rt, "width")
		nodes, last := drawChain(rt, g)
		if !works(nodes) {
			rt.Skip("nothing to replace")
		}
		x, y := onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", g.width), onnxtest.Tensor(last, pb.TensorProto_FLOAT, "N", g.width)
		before := openModel(t, onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y), nodes...)))
		m := &mlp{Rand: g.Rand, last: "x"}
		m.layer("Gemm", g.width, 9, true)
		m.activate("Relu")
		m.layer("Gemm", 9, 2, true)
		behind := m.model(t, g.width, 2)
		m.nodes[0].Input[0] = last
		m.nodes = append(nodes, m.nodes...)
		whole, _, err := models.UseKernels(m.model(t, g.width, 2))
		if err != nil || slices.ContainsFunc(whole.Operators, func(o models.Operator) bool { return o.Name == "Affine" || o.Name == "Gemm" }) {
			rt.Fatalf("UseKernels() = %v, %v; want one kernel", whole.Operators, err)
		}
		rows := g.rows(rapid.SampledFrom([]int{0, 1, 16, 50}).Draw(rt, "rows"))
		for level, name := range ort.KernelLevels() {
			ort.ForceKernelLevel(t, level)
			between := runRows(t, rt, before, rows, g.width)[0]
			scaled := make([]float32, len(rows))
			for i := range scaled {
				scaled[i] = math.Float32frombits(binary.LittleEndian.Uint32(between[4*i:]))
			}
			want := runRows(t, rt, useDense(rt, behind), scaled, g.width)[0]
			if got := runRows(t, rt, whole, rows, g.width)[0]; !bytes.Equal(got, want) {
				rt.Fatalf("level %s: other bits than one after the other:\ngot  %x\nwant %x", name, got, want)
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
	m := &mlp{Rand: rand.New(rand.NewPCG(1, 2)), last: "s"}
	m.nodes = append(m.nodes, onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("s"),
		onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 3)))
	m.layer("Gemm", 3, 5, true)
	m.layer("Gemm", 5, 2, true)
	exported := m.model(t, 3, 2)
	const layers, stages = "MRD1", "MRA1"
	second := 2 + 5 + 5 + 15 // its first word: behind the head, the first layer's, bias and weights
	for _, c := range []struct {
		what, layout string
		word         int
		values       []uint32
	}{
		{"another magic", layers, 0, []uint32{1}},
		{"no layers", layers, 1, []uint32{0}},
		{"more layers than there are", layers, 1, []uint32{3}},
		{"fewer layers than there are", layers, 1, []uint32{1}},
		{"very many layers", layers, 1, []uint32{1 << 30}},
		{"more inputs than weights", layers, 2, []uint32{4}},
		{"no inputs", layers, 2, []uint32{0}},
		{"very many inputs", layers, 2, []uint32{1 << 31}},
		{"more outputs than weights", layers, 3, []uint32{6}},
		{"very many outputs", layers, 3, []uint32{math.MaxUint32}},
		{"an unknown activation", layers, 4, []uint32{4}},
		{"a second layer of other inputs", layers, second, []uint32{4}},
		{"a second layer of other inputs, in as many words", layers, second, []uint32{3, 3}},
		{"a second layer of more outputs", layers, second + 1, []uint32{3}},
		{"a second layer of no outputs", layers, second + 1, []uint32{0}},
		{"stages of another magic", stages, 0, []uint32{1}},
		{"stages for fewer columns than the layers", stages, 1, []uint32{2}},
		{"more stages than there are", stages, 2, []uint32{2}},
	} {
		k := useDense(t, exported)
		start := bytes.Index(k.Data(), []byte(c.layout))
		for i, v := range c.values {
			binary.LittleEndian.PutUint32(k.Data()[start+4*(c.word+i):], v)
		}
		s, err := ort.NewSession(lib, k, ort.SessionOptions{})
		if err == nil {
			closeAll(t, s)
		}
		if err == nil || !strings.Contains(err.Error(), "not a chain of dense layers") {
			t.Errorf("%s: NewSession = %v; want the layout refused", c.what, err)
		}
	}
}
