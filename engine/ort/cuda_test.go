package ort_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
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
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// runOnDevice is runRows for the operators on fake devices; it gives the kernels
// that were launched too.
func runOnDevice(tb testing.TB, t fatal, m *models.Model, x []float32, width int, sizes cuda.Sizes) (all [][]byte, launched []string) {
	tb.Helper()
	t.Helper()
	end := ort.StandIn(cuda.FakeDriver(sizes), 0)
	defer end()
	all = runRows(tb, t, m, x, width)
	if left := cuda.Left(); left.Allocations != 0 {
		t.Fatalf("%+v left after the session's end", left)
	}
	for _, call := range cuda.Calls() {
		if rest, ok := strings.CutPrefix(call, "cuLaunchKernel "); ok {
			launched = append(launched, strings.Fields(rest)[0])
		}
	}
	return all, launched
}

// sameBitsOnDevice is sameBits for the operators on fake devices.
func sameBitsOnDevice(tb testing.TB, t fatal, m *models.Model, x []float32, width int, sizes cuda.Sizes) (launched []string) {
	tb.Helper()
	t.Helper()
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		t.Fatalf("UseKernels() = %v, %v; want it changed", changed, err)
	}
	want := runRows(tb, t, m, x, width)
	got, launched := runOnDevice(tb, t, k, x, width, sizes)
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%v, output %d: other bits than ONNX Runtime's:\ngot  %x\nwant %x", launched, i,
				got[i][:min(64, len(got[i]))], want[i][:min(64, len(want[i]))])
		}
	}
	return launched
}

// drawSizes draws a device, whose shared memory decides which kernel is chosen.
func drawSizes(rt *rapid.T) cuda.Sizes {
	kib := rapid.SampledFrom([]int{227, 64, 32, 20, 2}).Draw(rt, "KiB of shared memory")
	processors := rapid.SampledFrom([]int{1, 2, 132}).Draw(rt, "processors")
	return cuda.Sizes{Processors: processors, SharedProcessor: (kib + 1) << 10, SharedBlock: kib << 10}
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

func TestCUDAAffine(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, g, rows := drawAffine(t, rt)
		sameBitsOnDevice(t, rt, m, g.rows(rows), g.width, drawSizes(rt))
	})
}

// Each kernel is chosen where it should be, and right there.
func TestCUDATreesKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and about code that is not Go")
	}
	orttest.Library(t)
	le := []string{"BRANCH_LEQ", "BRANCH_GT"}
	busy := cuda.H100 // with so few rows
	busy.Processors = 1
	for _, c := range []struct {
		name                          string
		width, trees, leaves, targets int
		modes                         []string
		device                        cuda.Sizes
		kernel                        string
	}{
		{"a forest as most are", 32, 60, 256, 1, le, busy, "mr_trees_staged_one_le"},
		{"so, and few rows", 32, 60, 256, 1, le, cuda.H100, "mr_trees_direct_one_le"},
		{"small trees", 32, 61, 63, 1, le, busy, "mr_trees_staged_one_le"},
		{"small trees, and few rows", 32, 61, 63, 1, le, cuda.H100, "mr_trees_staged_one_le"},
		{"splits on equality", 32, 10, 100, 1, []string{"BRANCH_EQ", "BRANCH_LT"}, busy, "mr_trees_staged_one"},
		{"so, and few rows", 32, 10, 100, 1, []string{"BRANCH_EQ", "BRANCH_LT"}, cuda.H100, "mr_trees_direct"},
		{"several targets", 32, 21, 31, 3, le, cuda.H100, "mr_trees_staged"},
		{"more targets than sums in shared memory", 8, 40, 20, 40, le, cuda.T4, "mr_trees_staged"},
		{"the most targets", 3, 3, 5, 4096, le, cuda.H100, "mr_trees_staged"},
		{"trees that are leaves", 4, 9, 1, 1, le, cuda.T4, "mr_trees_staged_one_le"},
		{"trees larger than a group", 9, 11, 4000, 1, le, cuda.H100, "mr_trees_direct_one_le"},
		{"so, and many rows", 9, 11, 4000, 1, le, busy, "mr_trees_pairs_one_le"},
		{"so, and of several targets", 9, 11, 4000, 3, le, busy, "mr_trees_pairs"},
		{"a tree larger than shared memory", 9, 3, 8000, 1, le, cuda.T4, "mr_trees_direct_one_le"},
		{"so, and of several targets", 9, 3, 8000, 2, le, cuda.T4, "mr_trees_direct"},
		{"so, and on equality", 9, 3, 8000, 1, []string{"BRANCH_NEQ"}, cuda.T4, "mr_trees_direct"},
		{"as many nodes as 16 bits number", 9, 1, 32768, 1, le, cuda.H100, "mr_trees_direct_one_le"},
		{"more nodes than 16 bits number", 9, 1, 32769, 1, le, cuda.H100, "mr_trees_general"},
		{"more nodes, of several targets", 9, 1, 33000, 2, le, cuda.H100, "mr_trees_general"},
		{"features too many for shared memory", 2000, 40, 200, 1, le, cuda.T4, "mr_trees_wide"},
		{"so, and trees larger than a group", 2000, 3, 1000, 1, le, cuda.T4, "mr_trees_wide"},
		{"so, and several targets", 2000, 40, 200, 5, le, cuda.T4, "mr_trees_wide"},
		{"more features than 13 bits number", 9000, 60, 250, 2, le, cuda.H100, "mr_trees_general"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &forestGen{Rand: rand.New(rand.NewPCG(7, 8)), width: c.width, modes: c.modes, missing: true}
			for range 300 {
				g.thresholds = append(g.thresholds, float32(g.IntN(40)))
			}
			for id := range int64(c.trees) {
				for _, leaf := range g.tree(id, c.leaves) {
					for k := range c.targets {
						if id%2 == 0 || k == int(id)%c.targets {
							g.trees.Weight(id, leaf, int64(k), g.weight())
						}
					}
				}
			}
			m := openModel(t, g.trees.Regressor(g.width, c.targets))
			if got := sameBitsOnDevice(t, t, m, g.rows(600), g.width, c.device); !slices.Equal(got, []string{c.kernel}) {
				t.Errorf("launched %v; want %s", got, c.kernel)
			}
			sameBitsOnDevice(t, t, m, g.rows(1), g.width, c.device)
			if got := sameBitsOnDevice(t, t, m, nil, g.width, c.device); len(got) != 0 {
				t.Errorf("launched %v for no rows", got)
			}
		})
	}
}

// A classifier of strings is the processor's, and what stands before it is the
// device's.
func TestCUDAStringsStayOnTheProcessor(t *testing.T) {
	orttest.Library(t)
	tree := &onnxtest.Trees{}
	tree.Node(0, 0, "BRANCH_LEQ", 0, 0.5, 1, 2)
	tree.Node(0, 1, "LEAF", 0, 0, 0, 0)
	tree.Node(0, 2, "LEAF", 0, 0, 0, 0)
	for class := range int64(3) {
		tree.Weight(0, 1, class, float32(class))
		tree.Weight(0, 2, class, -float32(class))
	}
	p := tree.Classifier(1, onnxtest.Strings("classlabels_strings", "a", "b", "c"))
	scaler := onnxtest.DomainNode("ai.onnx.ml", "Scaler", p.GetGraph().GetNode()[0].GetInput(), onnxtest.Names("scaled"),
		onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 0.5))
	p.GetGraph().GetNode()[0].Input = onnxtest.Names("scaled")
	p.Graph.Node = append([]*pb.NodeProto{scaler}, p.GetGraph().GetNode()...)
	got := sameBitsOnDevice(t, t, openModel(t, p), []float32{0, 1, 2}, 1, cuda.H100)
	if !slices.Equal(got, []string{"mr_affine_values"}) {
		t.Errorf("launched %v; want mr_affine_values alone", got)
	}
}

// The machine code that is linked was made of the kernels that stand here.
func TestCUDAKernelsAreCompiled(t *testing.T) {
	sources, err := cuda.Digest()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("cuda_kernels.S")
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile("cuda_kernels.fatbin")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(image)
	for name, want := range map[string]string{"sources": sources, "cuda_kernels.fatbin": hex.EncodeToString(sum[:])} {
		got := regexp.MustCompile(`(?m)^// ` + regexp.QuoteMeta(name) + `: sha256 ([0-9a-f]{64})$`).FindSubmatch(text)
		if got == nil || string(got[1]) != want {
			t.Errorf("cuda_kernels.S names %s %q; want %s: run engine/ort/cuda/compile.sh", name, got, want)
		}
	}
}

// A fat binary is a header of 16 bytes and, for each image, a header, whose
// length is at 4, the image's at 8 and generation at 28, and the image.
func TestCUDAGenerations(t *testing.T) {
	all, err := os.ReadFile("cuda_kernels.fatbin")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[uint16]string{1: "compute", 2: "sm"}
	var got []string
	for b := all[16:]; len(b) > 0; {
		got = append(got, fmt.Sprintf("%s_%d", kinds[binary.LittleEndian.Uint16(b)], binary.LittleEndian.Uint32(b[28:])))
		b = b[uint64(binary.LittleEndian.Uint32(b[4:]))+binary.LittleEndian.Uint64(b[8:]):]
	}
	slices.Sort(got)
	want := []string{"compute_75", "sm_100", "sm_120", "sm_75", "sm_80", "sm_90"}
	if !slices.Equal(got, want) {
		t.Errorf("kernels for %v; want %v", got, want)
	}
}
