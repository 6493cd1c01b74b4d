package models

import (
	"fmt"
	"slices"
	"testing"

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
