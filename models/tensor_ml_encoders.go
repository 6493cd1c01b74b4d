package models

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// oneHotTensors compares each value with each category. Floats are cut to
// integers first, as the operator does. With zeros=0 the operator refuses
// unknown categories; here their row is NaN, being divided by its largest
// value, 0.
func oneHotTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, map[string]onnxpb.AttributeProto_AttributeType{
		"cats_int64s": onnxpb.AttributeProto_INTS, "zeros": onnxpb.AttributeProto_INT,
	})
	list := a["cats_int64s"].GetInts()
	switch {
	case !ok || len(list) == 0:
		return whyAttributes
	case x.elem != Int64 && x.elem != Float32 && x.elem != Float64:
		return whyType(x.elem)
	case x.rank < 0 || x.rank > 2:
		return whyRank
	case twice(list):
		return "it lists a category twice"
	}
	value := n.GetInput()[0]
	if x.elem != Int64 {
		// What a float too large for an integer becomes differs by device.
		if slices.Contains(list, math.MinInt64) || slices.Contains(list, math.MaxInt64) {
			return "a category is the smallest or largest integer"
		}
		value = b.cast(value, Int64)
	}
	out := b.cast(b.one("Equal", b.lastAxis(value, x.rank), b.int64s(list...)), Float32)
	if zeros := a["zeros"]; zeros != nil && zeros.GetI() == 0 {
		out = b.one("Div", out, b.reduceTo1("ReduceMax", out, x.rank))
	}
	b.give(out, n.GetOutput()[0])
	return ""
}

func twice(list []int64) bool {
	sorted := slices.Sorted(slices.Values(list))
	return len(slices.Compact(sorted)) < len(list)
}

// lastAxis appends a dimension of 1 to the rank dimensions of x.
func (b *graphBuilder) lastAxis(x string, rank int) string {
	return b.reshape(x, append(make([]int64, rank), 1)...)
}

// maxComparedKeys bounds the keys that every value is compared with.
const maxComparedKeys = 1024

// coding is a LabelEncoder of numbers: each key once.
type coding struct {
	keyType, valueType ElementType
	ints               []int64 // keys, of int64
	floats             []float64
	values             *onnxpb.TensorProto // the default, then each key's value
	nan                int                 // the place of the key NaN in values; 0 for none
}

var labelEncoderAttributes = map[string]onnxpb.AttributeProto_AttributeType{
	"keys_int64s": onnxpb.AttributeProto_INTS, "keys_floats": floatsType, "keys_tensor": onnxpb.AttributeProto_TENSOR,
	"values_int64s": onnxpb.AttributeProto_INTS, "values_floats": floatsType, "values_tensor": onnxpb.AttributeProto_TENSOR,
	"default_int64": onnxpb.AttributeProto_INT, "default_float": onnxpb.AttributeProto_FLOAT, "default_tensor": onnxpb.AttributeProto_TENSOR,
	"default_string": stringType, // given by exporters, and not looked at
}

// labelEncoderTensors looks a value's place up and gathers by it. Integers that
// lie close are the place themselves; others are compared with every key, of
// which the largest place that fits is taken, 0 where none does.
func labelEncoderTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	c, why := readCoding(n, r.mlOpset)
	switch {
	case why != "":
		return why
	case c.keyType != x.elem:
		return "its keys are " + c.keyType.String() + ", its input is " + x.elem.String()
	}
	place := c.table(n.GetInput()[0], b)
	if place == "" {
		keys := max(len(c.ints), len(c.floats))
		switch {
		case x.rank < 0:
			return "the number of its input's dimensions is not known"
		case keys > maxComparedKeys:
			return "it has too many keys that lie apart"
		}
		place = c.compared(n.GetInput()[0], x.rank, b)
	}
	b.give(b.gather(b.tensor(c.values), place, 0), n.GetOutput()[0])
	return ""
}

// table makes c.values a table from the least key to the largest, and gives the
// place in it; "" for keys that lie too far apart, or are no integers.
func (c *coding) table(x string, b *graphBuilder) string {
	if c.keyType != Int64 {
		return ""
	}
	least, largest := slices.Min(c.ints), slices.Max(c.ints)
	span := uint64(largest) - uint64(least)
	if span > uint64(4*len(c.ints)+64) {
		return ""
	}
	places := make([]int, span+2) // the last is the default's
	for i, k := range c.ints {
		places[k-least] = i + 1
	}
	c.values = pickedValues(c.values, places)
	outside := b.one("Or", b.one("Less", x, b.int64Of(least)), b.one("Greater", x, b.int64Of(largest)))
	return b.one("Where", outside, b.int64Of(int64(span)+1), b.one("Sub", x, b.int64Of(least)))
}

// compared gives the place by comparing with every key.
func (c *coding) compared(x string, rank int, b *graphBuilder) string {
	column := b.lastAxis(x, rank)
	var same string
	places := make([]float32, max(len(c.ints), len(c.floats)))
	for i := range places {
		places[i] = float32(i + 1)
	}
	switch c.keyType {
	case Int64:
		same = b.one("Equal", column, b.int64s(c.ints...))
	case Float32:
		keys := make([]float32, len(c.floats))
		for i, k := range c.floats {
			keys[i] = float32(k)
		}
		same = b.equalReals(column, b.vector(keys...))
	default:
		b.real = Float64
		same = b.equalReals(column, b.reals([]int64{int64(len(c.floats))}, c.floats...))
	}
	place := b.reduce("ReduceMax", b.one("Where", same, b.vector(places...), b.floatOf(0)), rank)
	if c.nan > 0 { // which equals nothing
		place = b.one("Where", b.one("IsNaN", x), b.floatOf(float32(c.nan)), place)
	}
	return b.cast(place, Int64)
}

// readCoding reads the attributes that ONNX Runtime takes: lists of one type of
// keys and one of values, or since version 4 tensors.
func readCoding(n *onnxpb.NodeProto, version int64) (*coding, string) {
	for _, name := range []string{"keys_strings", "values_strings", "classes_strings"} {
		if attribute(n, name) != nil {
			return nil, whyStrings
		}
	}
	a, ok := attributesOf(n, labelEncoderAttributes)
	if !ok || version < 2 {
		return nil, whyAttributes
	}
	keys, values := listed(a, "keys"), listed(a, "values")
	if keys == nil || values == nil {
		return nil, whyAttributes
	}
	keyType, valueType := ElementType(keys.GetDataType()), ElementType(values.GetDataType())
	k, isKeys := numbersOf(keys)
	v, isValues := numbersOf(values)
	switch {
	case !isKeys || !isValues || len(k) == 0 || len(k) != len(v):
		return nil, whyAttributes
	case keyType == Float64 && valueType == Float32, keyType == Float32 && valueType == Float64:
		return nil, "it has keys of " + keyType.String() + " and values of " + valueType.String()
	}
	instead, ok := defaultOf(a, valueType)
	if !ok {
		return nil, whyAttributes
	}
	c := &coding{keyType: keyType, valueType: valueType}
	kept := []uint64{instead}
	seen := map[uint64]bool{}
	for i, bits := range k {
		bits = canonical(bits, keyType)
		// The first of equal keys counts. Before version 4, NaN equals nothing.
		isNaN := keyType != Int64 && math.IsNaN(floatOfBits(bits, keyType))
		if seen[bits] || isNaN && version < 4 {
			continue
		}
		seen[bits] = true
		kept = append(kept, v[i])
		if keyType == Int64 {
			c.ints = append(c.ints, int64(bits))
		} else {
			c.floats = append(c.floats, floatOfBits(bits, keyType))
		}
		if isNaN {
			c.nan = len(kept) - 1
		}
	}
	if len(kept) == 1 {
		return nil, "it has no key that a value can equal"
	}
	c.values = tensorOfBits(kept, valueType)
	return c, ""
}

// listed is an attribute such as keys_int64s, keys_floats or keys_tensor as a
// tensor; nil unless there is one alone.
func listed(a map[string]*onnxpb.AttributeProto, what string) *onnxpb.TensorProto {
	var found []*onnxpb.TensorProto
	if list := a[what+"_int64s"]; list != nil {
		found = append(found, &onnxpb.TensorProto{DataType: new(int32(Int64)), Dims: []int64{int64(len(list.GetInts()))}, Int64Data: list.GetInts()})
	}
	if list := a[what+"_floats"]; list != nil {
		found = append(found, &onnxpb.TensorProto{DataType: new(int32(Float32)), Dims: []int64{int64(len(list.GetFloats()))}, FloatData: list.GetFloats()})
	}
	if t := a[what+"_tensor"]; t != nil {
		found = append(found, t.GetT())
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// defaultOf is the bits of the value of unknown keys. ONNX's schema, and so ONNX
// Runtime, has -1 and -0 where none is given.
func defaultOf(a map[string]*onnxpb.AttributeProto, valueType ElementType) (bits uint64, ok bool) {
	if t := a["default_tensor"].GetT(); t != nil && t.GetDataType() != 0 {
		values, ok := numbersOf(t)
		if !ok || len(values) != 1 || ElementType(t.GetDataType()) != valueType {
			return 0, false
		}
		return values[0], true
	}
	switch valueType {
	case Int64:
		if d := a["default_int64"]; d != nil {
			return uint64(d.GetI()), true
		}
		return math.MaxUint64, true
	case Float32:
		if d := a["default_float"]; d != nil {
			return uint64(math.Float32bits(d.GetF())), true
		}
		return uint64(math.Float32bits(float32(math.Copysign(0, -1)))), true
	default:
		return math.Float64bits(math.Copysign(0, -1)), a["default_float"] == nil
	}
}

// numbersOf reads a tensor of int64, float32 or float64 as the bits of each.
func numbersOf(t *onnxpb.TensorProto) (all []uint64, ok bool) {
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		return nil, false
	}
	raw := t.GetRawData()
	switch ElementType(t.GetDataType()) {
	case Int64:
		for _, v := range t.GetInt64Data() {
			all = append(all, uint64(v))
		}
	case Float32:
		for _, v := range t.GetFloatData() {
			all = append(all, uint64(math.Float32bits(v)))
		}
		for ; len(raw) >= 4; raw = raw[4:] {
			all = append(all, uint64(binary.LittleEndian.Uint32(raw)))
		}
	case Float64:
		for _, v := range t.GetDoubleData() {
			all = append(all, math.Float64bits(v))
		}
	default:
		return nil, false
	}
	for ; len(raw) >= 8; raw = raw[8:] {
		all = append(all, binary.LittleEndian.Uint64(raw))
	}
	return all, true
}

func floatOfBits(bits uint64, t ElementType) float64 {
	if t == Float32 {
		return float64(math.Float32frombits(uint32(bits)))
	}
	return math.Float64frombits(bits)
}

// canonical gives equal keys the same bits: 0 and -0, and every NaN.
func canonical(bits uint64, t ElementType) uint64 {
	if t == Int64 {
		return bits
	}
	switch f := floatOfBits(bits, t); {
	case f == 0:
		return 0
	case math.IsNaN(f) && t == Float32:
		return uint64(math.Float32bits(float32(math.NaN())))
	case math.IsNaN(f):
		return math.Float64bits(math.NaN())
	}
	return bits
}

// tensorOfBits is numbersOf the other way, of one dimension.
func tensorOfBits(bits []uint64, t ElementType) *onnxpb.TensorProto {
	out := &onnxpb.TensorProto{DataType: new(int32(t)), Dims: []int64{int64(len(bits))}}
	for _, v := range bits {
		if t == Float32 {
			out.RawData = binary.LittleEndian.AppendUint32(out.RawData, uint32(v))
		} else {
			out.RawData = binary.LittleEndian.AppendUint64(out.RawData, v)
		}
	}
	return out
}

// pickedValues gathers places of a tensor of tensorOfBits.
func pickedValues(t *onnxpb.TensorProto, places []int) *onnxpb.TensorProto {
	all, _ := numbersOf(t)
	picked := make([]uint64, len(places))
	for i, p := range places {
		picked[i] = all[p]
	}
	return tensorOfBits(picked, ElementType(t.GetDataType()))
}

// encodedType is the type of a LabelEncoder's output.
func encodedType(n *onnxpb.NodeProto) ElementType {
	switch {
	case attribute(n, "values_int64s") != nil, attribute(n, "keys_strings") == nil && attribute(n, "classes_strings") != nil:
		return Int64
	case attribute(n, "values_floats") != nil:
		return Float32
	case attribute(n, "values_strings") != nil:
		return String
	}
	return ElementType(attribute(n, "values_tensor").GetT().GetDataType())
}
