package parquetfile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// toFlat is an array in the type that a flatFile encodes it in; see flatType.
func toFlat(arr arrow.Array, t arrow.DataType, mem *budget) (arrow.Array, error) {
	d, ok := arr.(*array.Dictionary)
	if ok && !arrow.TypeEqual(d.Dictionary().DataType(), t) { // its values are as short
		values, err := toFlat(d.Dictionary(), t, mem)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		wide := &arrow.DictionaryType{IndexType: d.Indices().DataType(), ValueType: t}
		arr = array.NewDictionaryArray(wide, d.Indices(), values)
		defer arr.Release()
	}
	switch a := arr.(type) {
	case *array.Int8:
		return widened(a, a.Int8Values(), t, mem)
	case *array.Int16:
		return widened(a, a.Int16Values(), t, mem)
	case *array.Uint8:
		return widened(a, a.Uint8Values(), t, mem)
	case *array.Uint16:
		return widened(a, a.Uint16Values(), t, mem)
	}
	return toStored(arr, t, zeroed{mem})
}

// widened is an array of int32 or uint32 with the values of one of shorter integers.
func widened[T int8 | int16 | uint8 | uint16](arr arrow.Array, values []T, t arrow.DataType, mem *budget) (arrow.Array, error) {
	if len(values) < arr.Len() {
		return nil, fmt.Errorf("an array of %d rows does not have values for all of them", arr.Len())
	}
	wide := memory.NewResizableBuffer(mem)
	defer wide.Release()
	wide.Resize(4 * arr.Len())
	out := arrow.Int32Traits.CastFromBytes(wide.Bytes())
	for i, v := range values {
		out[i] = int32(v)
	}
	var valid *memory.Buffer
	if arr.NullN() > 0 {
		valid = cutBits(arr.Data().Buffers()[0], arr.Data().Offset(), arr.Len(), mem)
		defer valid.Release()
	}
	data := array.NewData(t, arr.Len(), []*memory.Buffer{valid, wide}, nil, arr.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}
