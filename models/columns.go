package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxColumnsModel is the largest model that is made again to take columns: a copy of a
// larger one is not worth what assembling its rows would save.
const maxColumnsModel = 64 << 20

// ColumnInputs says of each input whether TakeColumns can have its values taken where
// they lie: a matrix [N,F] of float32 that nothing takes but one operator of
// KernelDomain that makes columns of it anyway.
func ColumnInputs(m *Model) ([]bool, error) {
	can := make([]bool, len(m.Inputs))
	if !m.ours || len(m.data) > maxColumnsModel {
		return can, nil
	}
	p, err := unmarshal(m.data)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Path, damagedf("%s", err))
	}
	g := p.GetGraph()
	used := countTaken(g)
	for _, n := range g.GetNode() {
		if n.GetDomain() != KernelDomain || len(n.GetInput()) != 1 || !takesColumns(n.GetOpType(), hasFMA()) {
			continue
		}
		at := slices.IndexFunc(m.Inputs, func(v Value) bool { return v.Name == n.GetInput()[0] })
		if at < 0 || used[m.Inputs[at].Name] != 1 {
			continue
		}
		v := &m.Inputs[at]
		can[at] = v.Kind == Tensor && v.Elem == Float32 && v.HasShape && len(v.Shape) == 2 && v.Shape[0].Size < 0
	}
	return can, nil
}

// takesColumns says whether an operator of ours does: an Affine gives rows, and the sum of
// columns is a kernel of those of dense layers, which take a processor with fused
// multiply-add (engine/ort/op_affine.c).
func takesColumns(operator string, fma bool) bool {
	switch operator {
	case "Linear", "Dense":
		return fma
	}
	return strings.HasPrefix(operator, "Trees")
}

// TakeColumns gives a model that takes, for inputs of ColumnInputs, tensors of int64
// that say where columns lie (ort.Columns), in place of matrices. Predictions have the
// same bits. m is not changed.
func TakeColumns(m *Model, inputs []bool) (*Model, error) {
	taken, _, err := m.reparsed(func(m *Model, p *parsedModel) (changed bool, err error) {
		m.Inputs = slices.Clone(m.Inputs)
		for i := range m.Inputs {
			if !inputs[i] {
				continue
			}
			v := &m.Inputs[i]
			for _, in := range p.GetGraph().GetInput() {
				if in.GetName() == v.Name {
					in.Type = columnsType()
				}
			}
			v.Elem, v.Shape = Int64, Shape{{Size: -1}, {Size: -1}}
			changed = true
		}
		return changed, nil
	})
	return taken, err
}

// columnsType is a matrix of int64, of a size that shape inference cannot take for the
// number of rows, which is another.
func columnsType() *onnxpb.TypeProto {
	open := func() *onnxpb.TensorShapeProto_Dimension { return &onnxpb.TensorShapeProto_Dimension{} }
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{
		ElemType: new(int32(Int64)),
		Shape:    &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{open(), open()}},
	}}}
}
