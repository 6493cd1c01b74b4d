package models

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/models/onnxpb"
)

// stage is an Imputer or a Scaler. Lists of one parameter serve every column.
type stage struct {
	missing       float32 // NaN: any NaN
	instead       []float32
	offset, scale []float32
}

var (
	imputerAttributes = map[string]onnxpb.AttributeProto_AttributeType{
		"imputed_value_floats": floatsType, "replaced_value_float": onnxpb.AttributeProto_FLOAT,
	}
	scalerAttributes = map[string]onnxpb.AttributeProto_AttributeType{"offset": floatsType, "scale": floatsType}
	linearAttributes = map[string]onnxpb.AttributeProto_AttributeType{
		"coefficients": floatsType, "intercepts": floatsType, "targets": onnxpb.AttributeProto_INT, "post_transform": stringType,
	}
)

// readStage reads an Imputer or Scaler of float32; an operator that keeps every
// value gives a stage that does nothing.
func readStage(n *onnxpb.NodeProto) (stage, bool) {
	if len(n.GetInput()) != 1 || len(n.GetOutput()) != 1 {
		return stage{}, false
	}
	switch {
	case isOp(n, "", "Identity"):
		return stage{}, true
	case isOp(n, "", "Cast"):
		return stage{}, ElementType(attribute(n, "to").GetI()) == Float32
	case isOp(n, "ai.onnx.ml", "Imputer"):
		a, ok := attributesOf(n, imputerAttributes)
		s := stage{missing: a["replaced_value_float"].GetF(), instead: a["imputed_value_floats"].GetFloats()}
		return s, ok && len(s.instead) > 0 && a["replaced_value_float"] != nil
	case isOp(n, "ai.onnx.ml", "Scaler"):
		a, ok := attributesOf(n, scalerAttributes)
		s := stage{offset: a["offset"].GetFloats(), scale: a["scale"].GetFloats()}
		return s, ok && len(s.scale) > 0 && len(s.offset) == len(s.scale) && !anyNaN(s.offset) && !anyNaN(s.scale)
	}
	return stage{}, false
}

// chain is a run of nodes, each the only user of the one before.
type chain struct {
	nodes  []*onnxpb.NodeProto
	stages []stage // without those that do nothing
	width  int     // columns that parameters are for; 0: any number

	coefficients []float32 // of the regressor behind, if any
	intercept    float32
}

const maxStages = 32 // engine/ort/op_affine.c takes 64

// chains replaces each longest run of Imputer and Scaler by one operator.
func (r *kernelRewriter) chains() {
	users := map[string]*onnxpb.NodeProto{} // the last
	for _, n := range r.graph.GetNode() {
		for _, name := range n.GetInput() {
			users[name] = n
		}
	}
	gone := map[*onnxpb.NodeProto]bool{}
	for _, n := range r.graph.GetNode() {
		s, ok := readStage(n)
		if gone[n] || !ok || s.nothing() || !r.isFloat32(n.GetInput()[0]) {
			continue
		}
		c := chain{}
		for last := n; last != nil; {
			if s, ok := readStage(last); !ok || !c.add(last, s) {
				c.sum(last)
				break
			}
			out := last.GetOutput()[0]
			if r.isOutput[out] || r.used[out] != 1 {
				break
			}
			last = users[out]
		}
		c.trim()
		if !c.fits(r.columns(n.GetInput()[0])) {
			continue
		}
		for _, n := range c.nodes[:len(c.nodes)-1] {
			gone[n] = true
		}
		r.replace(&c)
	}
	r.graph.Node = slices.DeleteFunc(r.graph.GetNode(), func(n *onnxpb.NodeProto) bool { return gone[n] })
}

func (s *stage) nothing() bool { return len(s.instead) == 0 && len(s.scale) == 0 }

// add appends a node; false when it is for another number of columns.
func (c *chain) add(n *onnxpb.NodeProto, s stage) bool {
	width := c.width
	for _, list := range [][]float32{s.instead, s.scale} {
		if len(list) > 1 {
			if width != 0 && width != len(list) {
				return false
			}
			width = len(list)
		}
	}
	if len(c.stages) == maxStages || width > maxForestWidth {
		return false
	}
	c.width = width
	c.nodes = append(c.nodes, n)
	if !s.nothing() {
		c.stages = append(c.stages, s)
	}
	return true
}

// sum appends a LinearRegressor of one target.
func (c *chain) sum(n *onnxpb.NodeProto) {
	if !isOp(n, "ai.onnx.ml", "LinearRegressor") || len(n.GetInput()) != 1 || len(n.GetOutput()) != 1 {
		return
	}
	a, ok := attributesOf(n, linearAttributes)
	coefficients, intercepts := a["coefficients"].GetFloats(), a["intercepts"].GetFloats()
	transform := string(a["post_transform"].GetS())
	if !ok || a["targets"] != nil && a["targets"].GetI() != 1 || transform != "" && transform != "NONE" || len(intercepts) > 1 ||
		len(coefficients) == 0 || len(coefficients) > maxForestWidth || c.width != 0 && c.width != len(coefficients) {
		return
	}
	c.width, c.coefficients = len(coefficients), coefficients
	if len(intercepts) == 1 {
		c.intercept = intercepts[0]
	}
	c.nodes = append(c.nodes, n)
}

// trim takes operators off the end that do nothing: ONNX Runtime removes those
// itself.
func (c *chain) trim() {
	for len(c.nodes) > 1 {
		if s, ok := readStage(c.nodes[len(c.nodes)-1]); !ok || !s.nothing() {
			return
		}
		c.nodes = c.nodes[:len(c.nodes)-1]
	}
}

// fits says whether the chain's parameters are surely used one a column. An
// Imputer whose list is not as long as a row is wide uses the first value for
// all, so its length alone proves nothing; a Scaler's does, for any other width
// is an error.
func (c *chain) fits(columns int) bool {
	if len(c.stages) == 0 {
		return false
	}
	if c.width == 0 || columns == c.width {
		return true
	}
	return columns == 0 && slices.ContainsFunc(c.stages, func(s stage) bool { return len(s.scale) == c.width })
}

// replace makes the last node of a chain the operator for all of it.
func (r *kernelRewriter) replace(c *chain) {
	names := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		if s, ok := readStage(n); !ok || !s.nothing() {
			names = append(names, n.GetOpType())
		}
	}
	last := c.nodes[len(c.nodes)-1]
	last.Input = []string{c.nodes[0].GetInput()[0]}
	last.Domain, last.OpType = new(KernelDomain), new("Affine")
	if c.coefficients != nil {
		last.OpType = new("Linear")
	}
	last.Attribute = []*onnxpb.AttributeProto{bytesAttribute("stages", c.encode())}
	if len(names) == 1 {
		r.say("%s of %.80q runs on millrace's kernel", names[0], last.GetOutput()[0])
		return
	}
	r.say("%s of %.80q run as one kernel of millrace's", strings.Join(names, ", "), last.GetOutput()[0])
}

// encode writes the layout that engine/ort/op_affine.c reads: words of 4 bytes,
// little-endian.
//
//	head        magic "MRA1", width, stages | 4 << 16 when a sum follows
//	each stage  1 replace, 2 scale, 3 both in this order
//	            replace: parameters, missing value, instead [parameters]
//	            scale: parameters, offset [parameters], scale [parameters]
//	sum         coefficients [width], intercept
//
// An Imputer with a Scaler right behind it is one stage.
func (c *chain) encode() []byte {
	var b []byte
	word := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	floats := func(list ...float32) {
		for _, v := range list {
			word(math.Float32bits(v))
		}
	}
	var merged []stage
	for _, s := range c.stages {
		if last := len(merged) - 1; last >= 0 && len(s.instead) == 0 && len(merged[last].scale) == 0 {
			merged[last].offset, merged[last].scale = s.offset, s.scale
			continue
		}
		merged = append(merged, s)
	}
	b = append(b, "MRA1"...)
	word(uint32(c.width))
	count := uint32(len(merged))
	if c.coefficients != nil {
		count |= 4 << 16
	}
	word(count)
	for _, s := range merged {
		what := uint32(0)
		if len(s.instead) > 0 {
			what |= 1
		}
		if len(s.scale) > 0 {
			what |= 2
		}
		word(what)
		if what&1 != 0 {
			word(uint32(len(s.instead)))
			floats(s.missing)
			floats(s.instead...)
		}
		if what&2 != 0 {
			word(uint32(len(s.scale)))
			floats(s.offset...)
			floats(s.scale...)
		}
	}
	if c.coefficients != nil {
		floats(c.coefficients...)
		floats(c.intercept)
	}
	return b
}
