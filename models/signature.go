package models

import (
	"github.com/millrace/millrace/models/onnxpb"
)

// signature reads a graph's inputs, without those that have an initializer, and
// its outputs.
func signature(g *onnxpb.GraphProto) (inputs, outputs []Value, err error) {
	constant := map[string]bool{}
	for _, t := range g.GetInitializer() {
		constant[t.GetName()] = true
	}
	for _, t := range g.GetSparseInitializer() {
		constant[t.GetValues().GetName()] = true
	}
	for _, in := range g.GetInput() {
		if constant[in.GetName()] {
			continue
		}
		v, err := valueOf(in)
		if err != nil {
			return nil, nil, err
		}
		if v.Elem == Undefined {
			return nil, nil, damagedf("graph input %.80q has no type", v.Name)
		}
		inputs = append(inputs, v)
	}
	for _, out := range g.GetOutput() {
		v, err := valueOf(out)
		if err != nil {
			return nil, nil, err
		}
		outputs = append(outputs, v)
	}
	return inputs, outputs, nil
}

// valueOf reads a type as far as Value can say it. An output without a type,
// which ONNX Runtime infers, is a tensor of Undefined.
func valueOf(info *onnxpb.ValueInfoProto) (Value, error) {
	v := Value{Name: info.GetName()}
	t := info.GetType()
	switch {
	case t.GetTensorType() != nil:
		v.tensorType(t.GetTensorType())
	case t.GetSparseTensorType() != nil:
		s := t.GetSparseTensorType()
		v.Kind, v.Elem = SparseTensor, ElementType(s.GetElemType())
		v.Shape, v.HasShape = shapeOf(s.GetShape())
	case t.GetMapType() != nil:
		v.Kind = Map
		v.mapType(t.GetMapType())
	case t.GetSequenceType() != nil:
		elem := t.GetSequenceType().GetElemType()
		switch {
		case elem.GetMapType() != nil:
			v.Kind = SequenceOfMaps
			v.mapType(elem.GetMapType())
		default:
			v.Kind = Sequence
			v.tensorType(elem.GetTensorType())
		}
	case t.GetOptionalType() != nil:
		v.Kind = Optional
		v.tensorType(t.GetOptionalType().GetElemType().GetTensorType())
		v.Kind = Optional
	case t.GetOpaqueType() != nil:
		return v, damagedf("%.80q has an opaque type, which no runtime reads", v.Name)
	}
	if len(v.Shape) > maxRank {
		return v, damagedf("%.80q has %d dimensions", v.Name, len(v.Shape))
	}
	return v, nil
}

func (v *Value) tensorType(t *onnxpb.TypeProto_Tensor) {
	v.Elem = ElementType(t.GetElemType())
	v.Shape, v.HasShape = shapeOf(t.GetShape())
}

func (v *Value) mapType(t *onnxpb.TypeProto_Map) {
	v.Key = ElementType(t.GetKeyType())
	v.Elem = ElementType(t.GetValueType().GetTensorType().GetElemType())
}

// shapeOf reads a shape. Some exporters write an open dimension as a negative
// number or leave it out.
func shapeOf(s *onnxpb.TensorShapeProto) (Shape, bool) {
	if s == nil {
		return nil, false
	}
	shape := make(Shape, len(s.GetDim()))
	for i, d := range s.GetDim() {
		shape[i] = Dim{Size: -1, Param: d.GetDimParam()}
		if v, ok := d.GetValue().(*onnxpb.TensorShapeProto_Dimension_DimValue); ok && v.DimValue >= 0 {
			shape[i].Size = v.DimValue
		}
	}
	return shape, true
}
