package ort_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// drawChain makes a model of Imputers, Scalers and operators that do nothing.
func drawChain(rt *rapid.T, g *forestGen) (nodes []*pb.NodeProto, last string) {
	last = "x"
	list := func(what string) []float32 {
		n := rapid.SampledFrom([]int{1, g.width}).Draw(rt, what)
		all := make([]float32, n)
		for i := range all {
			all[i] = g.weight()
		}
		return all
	}
	for i := range rapid.IntRange(1, 5).Draw(rt, "operators") {
		next := string(rune('a' + i))
		in, out := onnxtest.Names(last), onnxtest.Names(next)
		switch rapid.SampledFrom([]string{"imputer", "scaler", "identity", "cast"}).Draw(rt, "operator") {
		case "imputer":
			missing := special[g.IntN(len(special))]
			nodes = append(nodes, onnxtest.DomainNode("ai.onnx.ml", "Imputer", in, out,
				onnxtest.Floats("imputed_value_floats", list("imputed")...), onnxtest.Float("replaced_value_float", missing)))
		case "scaler":
			scale := list("scale")
			offset := make([]float32, len(scale))
			for i := range offset {
				offset[i] = g.weight()
			}
			nodes = append(nodes, onnxtest.DomainNode("ai.onnx.ml", "Scaler", in, out, onnxtest.Floats("scale", scale...), onnxtest.Floats("offset", offset...)))
		case "identity":
			nodes = append(nodes, onnxtest.Node("Identity", in, out))
		case "cast":
			nodes = append(nodes, onnxtest.Node("Cast", in, out, onnxtest.Int("to", int64(pb.TensorProto_FLOAT))))
		}
		last = next
	}
	return nodes, last
}

func drawWidth(rt *rapid.T) *forestGen {
	g := &forestGen{Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
	g.width = rapid.SampledFrom([]int{1, 2, 3, 7, 8, 15, 16, 17, 32, 40, 300, 5000}).Draw(rt, "width")
	return g
}

func works(nodes []*pb.NodeProto) bool {
	for _, n := range nodes {
		if n.GetDomain() == "ai.onnx.ml" {
			return true
		}
	}
	return false
}

func TestAffine(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, g, rows := drawAffine(t, rt)
		sameBits(t, rt, m, g.rows(rows), g.width)
	})
}

func drawAffine(tb testing.TB, rt *rapid.T) (m *models.Model, g *forestGen, rows int) {
	tb.Helper()
	g = drawWidth(rt)
	nodes, last := drawChain(rt, g)
	if !works(nodes) {
		rt.Skip("nothing to replace")
	}
	m = openModel(tb, onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", g.width)),
		onnxtest.Values(onnxtest.Tensor(last, pb.TensorProto_FLOAT, "N", g.width)), nodes...)))
	rows = rapid.IntRange(0, 70).Draw(rt, "rows")
	if g.width <= 40 && rapid.Bool().Draw(rt, "many") {
		rows += 3000
	}
	return m, g, rows
}

// linear is a Scaler and a LinearRegressor.
type linear struct {
	g                           *forestGen
	coefficients, offset, scale []float32
	intercept                   float32
}

func drawLinear(tb testing.TB, rt *rapid.T) (*models.Model, linear) {
	tb.Helper()
	g := drawWidth(rt)
	coefficients, offset, scale := make([]float32, g.width), make([]float32, g.width), make([]float32, g.width)
	for i := range coefficients {
		coefficients[i], offset[i], scale[i] = float32(g.NormFloat64()), float32(g.NormFloat64()), float32(g.NormFloat64())
	}
	intercept := float32(g.NormFloat64())
	attributes := []*pb.AttributeProto{onnxtest.Floats("coefficients", coefficients...)}
	if rapid.Bool().Draw(rt, "intercept") {
		attributes = append(attributes, onnxtest.Floats("intercepts", intercept))
	} else {
		intercept = 0
	}
	m := openModel(tb, onnxtest.Model(onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", g.width)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("s"), onnxtest.Floats("scale", scale...), onnxtest.Floats("offset", offset...)),
		onnxtest.DomainNode("ai.onnx.ml", "LinearRegressor", onnxtest.Names("s"), onnxtest.Names("y"), attributes...))))
	return m, linear{g, coefficients, offset, scale, intercept}
}

// A LinearRegressor's sum is compared with the exact one, and has the same bits
// at every level.
func TestLinear(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, l := drawLinear(t, rt)
		g, coefficients, offset, scale, intercept := l.g, l.coefficients, l.offset, l.scale, l.intercept
		k, changed, err := models.UseKernels(m)
		if err != nil || !changed || !strings.Contains(k.Rewrites[0], "Scaler, LinearRegressor") {
			rt.Fatalf("UseKernels() = %v, %v, %v", k, changed, err)
		}
		rows := rapid.IntRange(0, 3000/g.width+5).Draw(rt, "rows")
		x := make([]float32, rows*g.width)
		for i := range x {
			x[i] = float32(g.NormFloat64())
		}
		var first []byte
		for level, name := range ort.KernelLevels() {
			ort.ForceKernelLevel(t, level)
			got := runRows(t, rt, k, x, g.width)[0]
			if first == nil {
				first = got
			}
			if string(got) != string(first) {
				rt.Fatalf("level %s gives other bits than level plain", name)
			}
		}
		if got, _ := runOnDevice(t, rt, k, x, g.width, cuda.H100); string(got[0]) != string(first) {
			rt.Fatal("a device gives other bits than level plain")
		}
		for r := range rows {
			want, size := float64(intercept), math.Abs(float64(intercept))
			for i := range g.width {
				v := float64((x[r*g.width+i] - offset[i]) * scale[i])
				want += v * float64(coefficients[i])
				size += math.Abs(v * float64(coefficients[i]))
			}
			got := math.Float32frombits(binary.LittleEndian.Uint32(first[4*r:]))
			// Each part rounds once a product and once a sum, 16 parts, then 5 sums.
			if tolerance := size * (float64(g.width)/16 + 7) * 0x1p-24; math.Abs(float64(got)-want) > tolerance {
				rt.Fatalf("row %d = %v; want %v within %v", r, got, want, tolerance)
			}
		}
	})
}

// The reference models give what they give without kernels of ours: bit for bit,
// but for sums of linear regressors and dense layers.
func TestReferenceModels(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "models", "reference", "flights_*.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no reference models: %v", err)
	}
	orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(1, 2)), width: 32}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		t.Run(name, func(t *testing.T) {
			m, err := models.Open(path, models.Options{})
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float32, 5000*g.width)
			for i := range x {
				x[i] = float32(g.NormFloat64() * 30)
				if g.IntN(20) == 0 {
					x[i] = float32(math.NaN())
				}
			}
			if name == "flights_mlp" {
				sameButRounding(t, t, m, x, g.width, 1e-3) // rows lie 30 times as far out as real ones
				return
			}
			if name != "flights_linear" {
				sameBits(t, t, m, x, g.width)
				sameBitsOnDevice(t, t, m, x[:300*g.width], g.width, cuda.H100)
				return
			}
			k, _, err := models.UseKernels(m)
			if err != nil {
				t.Fatal(err)
			}
			want, got := runRows(t, t, m, x, g.width)[0], runRows(t, t, k, x, g.width)[0]
			for i := 0; i < len(want); i += 4 {
				a, b := math.Float32frombits(binary.LittleEndian.Uint32(want[i:])), math.Float32frombits(binary.LittleEndian.Uint32(got[i:]))
				if math.Abs(float64(a-b)) > 3e-4+2e-6*math.Abs(float64(a)) { // rows lie 30 times as far out as real ones
					t.Fatalf("row %d = %v; want %v", i/4, b, a)
				}
			}
		})
	}
}

// Exported models of the training libraries, with a kernel wherever one applies.
func TestExportedModels(t *testing.T) {
	lib := orttest.Library(t)
	paths, err := filepath.Glob(filepath.Join("..", "..", "models", "testdata", "*.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	replaced := 0
	for _, path := range paths {
		m, err := models.Open(path, models.Options{})
		if err != nil {
			continue
		}
		if m, _, err = models.StripZipMap(m); err != nil {
			t.Fatal(err)
		}
		k, changed, err := models.UseKernels(m)
		if err != nil {
			t.Fatal(err)
		}
		if !changed || len(m.Inputs) != 1 {
			continue
		}
		replaced++
		t.Run(filepath.Base(path), func(t *testing.T) {
			s, err := ort.NewSession(lib, k, ort.SessionOptions{})
			if err != nil {
				t.Fatalf("NewSession: %+v", err)
			}
			defer closeAll(t, s)
			width := int(m.Inputs[0].Shape[1].Size)
			g := &forestGen{Rand: rand.New(rand.NewPCG(3, 4)), width: width, thresholds: []float32{0.3, 1.5, 5, 2.45}}
			if slices.ContainsFunc(k.Operators, func(o models.Operator) bool { return o.Name == "Dense" }) {
				sameButRounding(t, t, m, g.rows(1000), width, 2e-6)
				return
			}
			sameBits(t, t, m, g.rows(1000), width)
		})
	}
	if replaced < 8 {
		t.Errorf("kernels of ours in %d of %d models; want 8 or more", replaced, len(paths))
	}
}
