package ort_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// fatal is what testing.T and rapid.T share of what is used here.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// sameBits runs a model as ONNX Runtime does it, and with kernels of ours at
// every level, on x [rows,width], and wants the same bits of every output.
func sameBits(tb testing.TB, t fatal, m *models.Model, x []float32, width int) {
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
			if bytes.Equal(got, want[i]) {
				continue
			}
			at := 0
			for at < len(got) && at < len(want[i]) && got[at] == want[i][at] {
				at++
			}
			t.Fatalf("level %s, output %d: %d bytes differ from ONNX Runtime's %d at byte %d:\ngot  %x\nwant %x", name, i, len(got), len(want[i]), at,
				got[at&^3:min(len(got), at&^3+16)], want[i][at&^3:min(len(want[i]), at&^3+16)])
		}
	}
}

// runRows gives the bytes of every output; strings with their lengths.
func runRows(tb testing.TB, t fatal, m *models.Model, x []float32, width int) [][]byte {
	tb.Helper()
	t.Helper()
	in, err := ort.Of(models.Float32, []int64{int64(len(x) / width), int64(width)}, x)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(tb, in)
	return runInput(tb, t, m, in)
}

// eachOutput runs a model on a tensor and gives its outputs, one by one.
func eachOutput(tb testing.TB, t fatal, m *models.Model, in *ort.Tensor, see func(o *ort.Tensor)) {
	tb.Helper()
	t.Helper()
	s, err := ort.NewSession(orttest.Library(tb), m, ort.SessionOptions{})
	if err != nil {
		t.Fatalf("NewSession: %+v", err)
	}
	defer closeAll(tb, s)
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if err := s.Run(tb.Context(), []*ort.Tensor{in}, outputs); err != nil {
		t.Fatalf("Run: %+v", err)
	}
	defer closeAll(tb, outputs...)
	for _, o := range outputs {
		see(o)
	}
}

// runInput is runRows of a tensor.
func runInput(tb testing.TB, t fatal, m *models.Model, in *ort.Tensor) (all [][]byte) {
	tb.Helper()
	t.Helper()
	eachOutput(tb, t, m, in, func(o *ort.Tensor) {
		if o.Elem() != models.String {
			all = append(all, slices.Clone(o.Bytes()))
			return
		}
		offsets, data, err := o.Strings()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Appendf(slices.Clone(data), "%v", offsets))
	})
	return all
}

// special are values where comparisons go wrong first.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32, 1e-38, -1e-38, 1e-40,
	math.Float32frombits(0xffc00001), math.Float32frombits(0x7fffffff), math.Float32frombits(0x00800000),
}

// forestGen makes ensembles. What rapid draws says of what kind; the numbers
// come from a generator of its seed, or shrinking would take hours.
type forestGen struct {
	*rand.Rand
	trees      onnxtest.Trees
	modes      []string
	width      int
	thresholds []float32
	missing    bool
	chains     bool // trees that are one long branch
	sets       int  // most values of a split on equality, which is then a chain of nodes with one true side
}

func drawForest(t *rapid.T) *forestGen {
	g := &forestGen{
		Rand:  rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)),
		width: rapid.IntRange(1, 40).Draw(t, "width"), missing: rapid.Bool().Draw(t, "missing"), chains: rapid.Bool().Draw(t, "chains"),
	}
	all := []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}
	g.modes = rapid.SampledFrom([][]string{all[:1], all[1:2], all[2:3], all[3:4], all[4:5], all[5:], all[:2], all}).Draw(t, "modes")
	// Around how many bounds of a column are ranked at once, too.
	n := rapid.OneOf(rapid.IntRange(1, 12), rapid.SampledFrom([]int{63, 130, 255, 256, 600})).Draw(t, "thresholds")
	if n > 12 {
		g.width = min(g.width, 3)
	}
	for range n {
		v := g.value()
		if n > 12 {
			v = float32(g.NormFloat64())
		}
		g.thresholds = append(g.thresholds, v)
	}
	return g
}

// value is often special, and often near another.
func (g *forestGen) value() float32 {
	switch {
	case g.IntN(3) == 0:
		return special[g.IntN(len(special))]
	case len(g.thresholds) > 0 && g.IntN(2) == 0:
		v := g.thresholds[g.IntN(len(g.thresholds))]
		return []float32{v, math.Nextafter32(v, float32(math.Inf(1))), math.Nextafter32(v, float32(math.Inf(-1)))}[g.IntN(3)]
	default:
		return float32(g.IntN(9) - 4)
	}
}

// tree appends a tree of n leaves, whose ids it gives.
func (g *forestGen) tree(id int64, n int) (leaves []int64) {
	count, links := 2*n-1, int64(2*n-1)
	names := g.Perm(count) // node ids, the root's first
	type inner struct{ onTrue, onFalse int }
	nodes := map[int]inner{}
	open := []int{0}
	for next := 1; next < count; next += 2 {
		i := g.IntN(len(open))
		if g.chains {
			i = len(open) - 1 - g.IntN(min(2, len(open)))
		}
		nodes[open[i]] = inner{next, next + 1}
		open[i] = next
		open = append(open, next+1)
	}
	for i := range count {
		mode, c := "LEAF", inner{}
		if split, ok := nodes[i]; ok {
			mode, c = g.modes[g.IntN(len(g.modes))], split
		} else {
			leaves = append(leaves, int64(names[i]))
		}
		feature, node, first := int64(g.IntN(g.width)), int64(names[i]), len(g.trees.Missing)
		for more := g.further(mode); more > 0; more-- {
			g.node(id, node, mode, feature, int64(names[c.onTrue]), links)
			node = links
			links++
			if g.IntN(8) == 0 {
				feature = int64(g.IntN(g.width))
			}
		}
		g.node(id, node, mode, feature, int64(names[c.onTrue]), int64(names[c.onFalse]))
		// ONNX Runtime merges a chain's links, and sends a NaN where one of them says.
		for i := first; i < len(g.trees.Missing); i++ {
			g.trees.Missing[i] = g.trees.Missing[first]
		}
	}
	return leaves
}

// further draws how many values a split is compared with besides one.
func (g *forestGen) further(mode string) int {
	if mode != "BRANCH_EQ" || g.sets == 0 {
		return 0
	}
	return g.IntN(g.sets)
}

func (g *forestGen) node(id, node int64, mode string, feature, onTrue, onFalse int64) {
	g.trees.Node(id, node, mode, feature, g.thresholds[g.IntN(len(g.thresholds))], onTrue, onFalse)
	if g.missing {
		g.trees.Missing = append(g.trees.Missing, int64(g.IntN(2)))
	}
}

func (g *forestGen) weight() float32 {
	switch g.IntN(8) {
	case 0:
		return float32(math.Copysign(0, float64(g.IntN(2)*2-1)))
	case 1:
		return float32(g.NormFloat64()) * 1e-39
	case 2:
		return float32(g.NormFloat64()) * 1e8
	default:
		return float32(g.NormFloat64())
	}
}

func (g *forestGen) rows(n int) []float32 {
	x := make([]float32, n*g.width)
	for i := range x {
		x[i] = g.value()
	}
	return x
}

// drawSize draws how many leaves a tree has: around how many have codes of 5, 6, 7 and
// 8 bits, and so many that it is walked.
func drawSize(t *rapid.T) int {
	return rapid.SampledFrom([]int{1, 2, 3, 5, 8, 31, 32, 33, 63, 64, 65, 90, 130, 200, 300, 700, 1100}).Draw(t, "leaves")
}

// size draws how many leaves a tree has. Where nodes may split on equality, the first tree
// has two at least: the only leaf of a first tree is given weights of other trees' leaves by
// ONNX Runtime 1.31.1 and 1.32.0, where it merges such nodes. The operators here give what
// the trees say, as onnx's reference evaluator does.
func (g *forestGen) size(t *rapid.T, id int64) int {
	n := drawSize(t)
	if id == 0 && slices.Contains(g.modes, "BRANCH_EQ") {
		n = max(n, 2)
	}
	return n
}

func drawRows(t *rapid.T) int {
	return rapid.SampledFrom([]int{0, 1, 2, 7, 15, 16, 17, 31, 48, 63, 64, 65, 130, 257, 511, 513, 1023, 1024, 1025, 2100}).Draw(t, "rows")
}

func TestTreesRegressor(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		m, g := drawRegressor(t, rt)
		sameBits(t, rt, m, g.rows(drawRows(rt)), g.width)
	})
}

// Exporters write a test of membership in a set as a chain of BRANCH_EQ.
func TestTreesOfSets(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		g.sets = rapid.SampledFrom([]int{2, 4, 40}).Draw(rt, "sets")
		g.chains = g.chains && g.sets <= 4 // ONNX Runtime reads trees recursively, and has no more stack for such long ones
		g.modes = rapid.SampledFrom([][]string{{"BRANCH_EQ"}, {"BRANCH_EQ", "BRANCH_LEQ"}}).Draw(rt, "modes of sets")
		// A NaN, which equals nothing, ends a chain; and no exporter writes one.
		g.thresholds = append(slices.DeleteFunc(g.thresholds, func(v float32) bool { return v != v }), 3)
		sameBits(t, rt, regressorOf(t, rt, g), g.rows(drawRows(rt)), g.width)
	})
}

func drawRegressor(tb testing.TB, rt *rapid.T) (*models.Model, *forestGen) {
	tb.Helper()
	g := drawForest(rt)
	return regressorOf(tb, rt, g), g
}

func regressorOf(tb testing.TB, rt *rapid.T, g *forestGen) *models.Model {
	tb.Helper()
	targets := rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(rt, "targets")
	all := rapid.Bool().Draw(rt, "every leaf has all targets")
	trees := rapid.IntRange(1, 6).Draw(rt, "trees")
	for id := range int64(trees) {
		target := g.IntN(targets)
		for _, leaf := range g.tree(id, g.size(rt, id)) {
			for k := range targets {
				if all || k == target {
					g.trees.Weight(id, leaf, int64(k), g.weight())
				}
			}
		}
	}
	more := []*pb.AttributeProto{
		onnxtest.String("aggregate_function", rapid.SampledFrom([]string{"SUM", "AVERAGE"}).Draw(rt, "aggregate")),
		onnxtest.String("post_transform", "NONE"),
	}
	if rapid.Bool().Draw(rt, "base") {
		more = append(more, onnxtest.Floats("base_values", g.weights(targets)...))
	}
	return openModel(tb, g.trees.Regressor(g.width, targets, more...))
}

func (g *forestGen) weights(n int) (all []float32) {
	for range n {
		all = append(all, g.weight())
	}
	return all
}

func TestTreesClassifier(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		if m, g := drawClassifier(t, rt); m != nil {
			sameBits(t, rt, m, g.rows(drawRows(rt)), g.width)
		}
	})
}

// drawClassifier gives no model when it drew one that models.UseKernels leaves
// alone.
func drawClassifier(tb testing.TB, rt *rapid.T) (*models.Model, *forestGen) {
	tb.Helper()
	g := drawForest(rt)
	classes := rapid.SampledFrom([]int{2, 2, 3, 5}).Draw(rt, "classes")
	// Which classes leaves have values of: all, one of each tree, or one of all
	// trees, as exporters write binary classifiers.
	scores := rapid.SampledFrom([]string{"all", "one", "first", "second"}).Draw(rt, "scores")
	positive := rapid.Bool().Draw(rt, "positive")
	trees := rapid.IntRange(1, 5).Draw(rt, "trees")
	for id := range int64(trees) {
		one := map[string]int{"one": g.IntN(classes), "first": 0, "second": 1}[scores]
		for _, leaf := range g.tree(id, g.size(rt, id)) {
			for k := range classes {
				if w := g.weight(); scores == "all" || k == one {
					if positive {
						w = float32(math.Abs(float64(w))) / 4
					}
					g.trees.Weight(id, leaf, int64(k), w)
				}
			}
		}
	}
	var labels *pb.AttributeProto
	if rapid.Bool().Draw(rt, "strings") {
		labels = onnxtest.Strings("classlabels_strings", []string{"a", "", "long enough to need memory of its own", "d\x00d", "é"}[:classes]...)
	} else {
		labels = onnxtest.Ints("classlabels_int64s", []int64{7, -3, math.MaxInt64, 0, 1}[:classes]...)
	}
	transform := rapid.SampledFrom([]string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"}).Draw(rt, "transform")
	more := []*pb.AttributeProto{onnxtest.String("post_transform", transform)}
	if rapid.Bool().Draw(rt, "base") {
		n := classes
		if classes == 2 {
			n = 1
		}
		more = append(more, onnxtest.Floats("base_values", g.weights(n)...))
	}
	m := openModel(tb, g.trees.Classifier(g.width, labels, more...))
	negative := slices.ContainsFunc(g.trees.Weights, func(w float32) bool { return w < 0 })
	second := slices.ContainsFunc(g.trees.WeightTargets, func(id int64) bool { return id > 0 })
	if transform == "LOGISTIC" && classes == 2 && !second && !negative {
		if _, changed, err := models.UseKernels(m); changed || err != nil {
			rt.Fatalf("UseKernels() = %v, %v; want what versions of ONNX Runtime disagree on left alone", changed, err)
		}
		return nil, nil
	}
	return m, g
}
