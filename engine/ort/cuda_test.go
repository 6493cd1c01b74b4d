package ort_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// sameBitsOnDevice is sameBits for the operators on fake devices, and gives the
// kernels that were launched.
func sameBitsOnDevice(tb testing.TB, t fatal, m *models.Model, x []float32, width int, sizes cuda.Sizes) (launched []string) {
	tb.Helper()
	t.Helper()
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		t.Fatalf("UseKernels() = %v, %v; want it changed", changed, err)
	}
	want := runRows(tb, t, m, x, width)
	end := ort.StandInUntil(cuda.FakeDriver(sizes))
	defer end()
	got := runRows(tb, t, k, x, width)
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("output %d: other bits than ONNX Runtime's:\ngot  %x\nwant %x", i, got[i][:min(64, len(got[i]))], want[i][:min(64, len(want[i]))])
		}
	}
	if n := cuda.Allocations(); n != 0 {
		t.Fatalf("%d allocations left after the session's end", n)
	}
	for _, call := range cuda.Calls() {
		if rest, ok := strings.CutPrefix(call, "cuLaunchKernel "); ok {
			launched = append(launched, strings.Fields(rest)[0])
		}
	}
	return launched
}

func drawSizes(rt *rapid.T) cuda.Sizes {
	s := rapid.SampledFrom([]cuda.Sizes{cuda.H100, cuda.T4}).Draw(rt, "device")
	s.Processors = rapid.SampledFrom([]int{1, 2, 132}).Draw(rt, "processors")
	return s
}

func TestCUDATreesRegressor(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, g := drawRegressor(t, rt)
		sameBitsOnDevice(t, rt, m, g.rows(drawRows(rt)), g.width, drawSizes(rt))
	})
}

func TestCUDATreesClassifier(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		if m, g := drawClassifier(t, rt); m != nil {
			sameBitsOnDevice(t, rt, m, g.rows(drawRows(rt)), g.width, drawSizes(rt))
		}
	})
}

// The PTX that is linked was made of the kernels that stand here.
func TestCUDAKernelsAreCompiled(t *testing.T) {
	want, err := cuda.Digest()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("cuda_ptx.c")
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^// sources: sha256 ([0-9a-f]{64})$`).FindStringSubmatch(string(text))
	if !slices.Contains(got, want) {
		t.Errorf("cuda_ptx.c was made of %q; want %s: run engine/ort/cuda/compile.sh", got, want)
	}
}
