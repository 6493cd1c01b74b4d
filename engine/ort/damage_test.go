package ort_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// A layout is made in memory by models alone, and still checked where it is
// read: damaged, it gives an error or some result, and nothing else.
func TestDamagedLayouts(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and about code that is not Go")
	}
	lib := orttest.Library(t)
	for _, c := range []struct{ path, magic string }{
		{"testdata/lgb-three.onnx", "MRF1"},
		{"testdata/skl-forest-words.onnx", "MRF1"},
		{"reference/flights_linear.onnx", "MRA1"},
		{"testdata/skl-mlp-words.onnx", "MRD1"},
	} {
		m, err := models.Open(filepath.Join("..", "..", "models", c.path), models.Options{})
		if err != nil {
			t.Fatal(err)
		}
		width := int(m.Inputs[0].Shape[1].Size)
		g := &forestGen{Rand: rand.New(rand.NewPCG(5, 6)), width: width}
		x := g.rows(100)
		refused, ran := 0, 0
		for range 300 {
			k, changed, err := models.UseKernels(m)
			if err != nil || !changed {
				t.Fatal(changed, err)
			}
			data := k.Data() // of this model alone
			start := bytes.Index(data, []byte(c.magic))
			for range 1 + g.IntN(3) {
				at := start + g.IntN(min(len(data)-start, 1400))
				if g.IntN(2) == 0 {
					at = start + g.IntN(100)
				}
				data[at] = []byte{0, 1, 2, 0x7f, 0xff, byte(g.IntN(256))}[g.IntN(6)]
			}
			ort.ForceKernelLevel(t, g.IntN(len(ort.KernelLevels())))
			end := func() {}
			if g.IntN(2) == 0 {
				end = ort.StandIn(cuda.FakeDriver(cuda.H100), 0)
			}
			s, err := ort.NewSession(lib, k, ort.SessionOptions{})
			if err != nil {
				refused++
				end()
				continue
			}
			in := tensor(t, models.Float32, []int64{100, int64(width)}, x)
			outputs := make([]*ort.Tensor, len(s.Outputs()))
			if err := s.Run(t.Context(), []*ort.Tensor{in}, outputs); err == nil {
				ran++
				closeAll(t, outputs...)
			}
			closeAll(t, in)
			closeAll(t, s)
			end()
		}
		t.Logf("%s: %d refused, %d ran", c.path, refused, ran)
		if refused == 0 || ran == 0 {
			t.Errorf("%s: %d refused, %d ran; want some of both", c.path, refused, ran)
		}
	}
}
