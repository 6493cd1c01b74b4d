package filter

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// holdsUnion says whether a union is within a type, or it is one: arrow-go joins none of these.
func holdsUnion(t arrow.DataType) bool {
	if _, ok := t.(arrow.UnionType); ok {
		return true
	}
	nested, ok := t.(arrow.NestedType)
	if !ok {
		return false
	}
	for _, f := range nested.Fields() {
		if holdsUnion(f.Type) {
			return true
		}
	}
	return false
}

// takenUnion takes rows of an array that is or holds a union, child by child; ok is false
// for a type of which that is not done.
func takenUnion[R rowNumber](a arrow.Array, rows []R) (taken arrow.Array, ok bool, err error) {
	data := a.Data()
	var children []arrow.Array
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	take := func(child arrow.Array, rows []int) {
		var c arrow.Array
		if err != nil {
			return
		}
		if c, err = TakeRows(child, rows); err == nil {
			children = append(children, c)
		}
	}
	buffers := []*memory.Buffer{nil}
	switch a := a.(type) {
	case *array.SparseUnion:
		buffers = append(buffers, memory.NewBufferBytes(takenFixed(buffer(data, 1), data.Offset(), 1, rows)))
		for i := range a.NumFields() {
			take(a.Field(i), rowNumbers(rows))
		}
	case *array.DenseUnion:
		places, of := make([]int32, len(rows)), make([][]int, a.NumFields())
		for i, row := range rows {
			child := a.ChildID(int(row))
			places[i] = int32(len(of[child])) //nolint:gosec // rows of one array
			of[child] = append(of[child], int(a.ValueOffset(int(row))))
		}
		codes := takenFixed(buffer(data, 1), data.Offset(), 1, rows)
		buffers = append(buffers, memory.NewBufferBytes(codes), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(places)))
		for i := range a.NumFields() {
			take(a.Field(i), of[i])
		}
	case *array.Struct:
		for i := range a.NumField() {
			take(a.Field(i), rowNumbers(rows))
		}
	case *array.FixedSizeList:
		values, _ := elements(a, rows)
		take(a.ListValues(), values)
	case *array.List, *array.Map, *array.LargeList:
		list := a.(array.ListLike)
		values, ends := elements(list, rows)
		if _, large := a.(*array.LargeList); large {
			buffers = append(buffers, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(ends)))
		} else {
			if ends[len(rows)] > math.MaxInt32 { // of rows that were taken more than once
				return nil, false, nil
			}
			short := make([]int32, len(ends))
			for i, end := range ends {
				short[i] = int32(end) //nolint:gosec // seen to fit
			}
			buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(short)))
		}
		take(list.ListValues(), values)
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	nulls := 0
	if bits := a.NullBitmapBytes(); len(bits) > 0 && a.NullN() > 0 {
		valid := takenBits(bits, data.Offset(), rows)
		nulls = len(rows) - bitutil.CountSetBits(valid, 0, len(rows))
		buffers[0] = memory.NewBufferBytes(valid)
	}
	within := make([]arrow.ArrayData, len(children))
	for i, c := range children {
		within[i] = c.Data()
	}
	whole := array.NewData(a.DataType(), len(rows), buffers, within, nulls, 0)
	defer whole.Release()
	return array.MakeFromData(whole), true, nil
}

func rowNumbers[R rowNumber](rows []R) []int {
	out := make([]int, len(rows))
	for i, row := range rows {
		out[i] = int(row)
	}
	return out
}

// elements are the numbers of the values that lists have, and where each list ends among
// them, from 0 on.
func elements[R rowNumber](lists array.ListLike, rows []R) (values []int, ends []int64) {
	ends = make([]int64, 1, len(rows)+1)
	for _, row := range rows {
		first, end := lists.ValueOffsets(int(row))
		for ; first < end; first++ {
			values = append(values, int(first))
		}
		ends = append(ends, int64(len(values)))
	}
	return values, ends
}
