package main

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

// A session's placement counts nodes by provider, and names those on the CPU.
func TestPlacementText(t *testing.T) {
	onCPU := []engine.CPUNode{{Name: "encode", Operator: "ai.onnx.ml.OneHotEncoder", Why: "it takes text"}, {Name: "last", Operator: "Neg"}}
	for _, test := range []struct {
		why   string
		nodes []engine.CPUNode
		after int
		want  string
	}{
		{"all on the device", nil, 0, ""},
		{"some that rewrite takes", onCPU, 1, "on the CPU encode (ai.onnx.ml.OneHotEncoder): it takes text\non the CPU last (Neg)\n" +
			"rewrite    `millrace rewrite --drop-labels` would leave 1 of these 2 nodes on the CPU, by the graph\n"},
		{"some that it does not", onCPU[:1], 1, "on the CPU encode (ai.onnx.ml.OneHotEncoder): it takes text\n" +
			"rewrite    `millrace rewrite` can do no more: use --allow-cpu-nodes or --provider cpu\n"},
	} {
		r := placementReport{Placement: &engine.Placement{
			Provider: ort.CUDA, Device: 1, Nodes: map[string]map[string]int{"cuda": {"MatMul": 2, "Add": 1}}, OnCPU: test.nodes, OnCPURewritten: test.after,
		}}
		var b strings.Builder
		r.text(&b)
		want := "placement  on cuda:1, as ONNX Runtime dealt the nodes out\n           cuda has 3: Add, 2 MatMul\n" + test.want
		if b.String() != want {
			t.Errorf("%s: text is\n%s\nwant\n%s", test.why, b.String(), want)
		}
	}
}
