package models

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// What is not known of a value is taken from what is declared.
func TestTypesAreFilled(t *testing.T) {
	for _, test := range []struct{ known, declared, want tensorType }{
		{unknownType, shaped(Float32, -1, 3), shaped(Float32, -1, 3)},
		{shaped(Float32, -1, -1), shaped(Float32, -1, 3), shaped(Float32, -1, 3)},
		{shaped(Float32, -1, 4), shaped(Float64, -1, 3), shaped(Float32, -1, 4)},
		{shaped(Float32, -1), shaped(Float32, -1, 3), shaped(Float32, -1)},
		{tensorType{elem: Int64, rank: -1}, shaped(Float32, -1, 3), shaped(Int64, -1, 3)},
		{shaped(Float32, -1, 3), unknownType, shaped(Float32, -1, 3)},
	} {
		got := test.known.filled(test.declared)
		if got.elem != test.want.elem || got.rank != test.want.rank || !slices.Equal(got.shape, test.want.shape) {
			t.Errorf("%v.filled(%v) = %v; want %v", test.known, test.declared, got, test.want)
		}
	}
}

// A graph whose nodes add a dimension each costs no more than its nodes.
func TestTypesStopAtRanks(t *testing.T) {
	const nodes = 1 << 14
	p := from(onnxtest.Tensor("x0", pb.TensorProto_INT64, "N"), pb.TensorProto_FLOAT)
	for i := range nodes {
		p.Graph.Node = append(p.Graph.Node, onnxtest.DomainNode("ai.onnx.ml", "OneHotEncoder",
			onnxtest.Names(fmt.Sprint("x", i)), onnxtest.Names(fmt.Sprint("x", i+1)), onnxtest.Ints("cats_int64s", 1, 2)))
	}
	types := newTypeTracer(p.Graph)
	for _, n := range p.Graph.Node {
		types.node(n)
	}
	if x := types.of("x3"); x.rank != 4 || x.elem != Float32 {
		t.Errorf("x3 is %+v; want 4 dimensions of float32", x)
	}
	if x := types.of(fmt.Sprint("x", nodes)); x.rank >= 0 || x.elem != Float32 {
		t.Errorf("the last is %+v; want float32 of no known shape", x)
	}
}

// What is followed through a node of each operator is what onnx.shape_inference says of it
// (testdata/infer.py): the elements of all first outputs, and no size that it does not know or
// knows otherwise.
func TestTypesAreThoseOfONNX(t *testing.T) {
	for name, want := range map[string]struct{ nodes, shapes int }{"types": {206, 173}, "types-11": {5, 3}} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		p := new(pb.ModelProto)
		if err := proto.Unmarshal(data, p); err != nil {
			t.Fatal(err)
		}
		g := p.Graph
		inferred := map[string]tensorType{}
		for _, v := range slices.Concat(g.ValueInfo, g.Output) {
			inferred[v.GetName()] = declaredType(v)
		}
		g.ValueInfo, g.Output = nil, nil
		types := typesOf(g)
		nodes, shapes := 0, 0
		for _, n := range g.Node {
			nodes++
			for i, output := range n.GetOutput() {
				got, want := types.of(output), inferred[output]
				differs := func(i int) bool { return got.shape[i] >= 0 && got.shape[i] != want.shape[i] }
				switch {
				case want.elem == Undefined:
					t.Errorf("%s: the file does not say what %s is", name, output)
				case got.elem != want.elem && (i == 0 || got.elem != Undefined):
					t.Errorf("%s: %s is of %v; want %v", name, output, got.elem, want.elem)
				case got.rank < 0 || want.rank < 0:
				case got.rank != want.rank || slices.ContainsFunc(indices(got.rank), differs):
					t.Errorf("%s: %s is %v; want %v", name, output, got.shape, want.shape)
				case i == 0 && slices.Equal(got.shape, want.shape):
					shapes++
				}
			}
		}
		if nodes < want.nodes || shapes < want.shapes {
			t.Errorf("%s: of %d nodes %d have their whole shape; want %d and %d", name, nodes, shapes, want.nodes, want.shapes)
		}
	}
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
