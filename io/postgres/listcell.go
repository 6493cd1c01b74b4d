package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/storage"
)

// An array in binary, as array_recv of PostgreSQL's arrayfuncs.c reads it:
//
//	int32 dimensions; int32 1 if there are nulls; int32 OID of the elements;
//	for each dimension int32 size, int32 first index (1); the elements, as fields
//
// One without elements has no dimensions.
var (
	errNullList = errors.New("a list within a list is null, which an array of several dimensions cannot have")
	errListLong = fmt.Errorf("list has more than %d elements", math.MaxInt32)
)

// listCell is the cell of an array of lists.
func listCell(a arrow.Array, to Type) (cell, error) {
	list, ok := a.(array.ListLike)
	if !ok {
		return nil, mismatch(a, to)
	}
	sizes := []int64{} // of the dimensions below the first
	levels := []arrow.Array{}
	values := storage.Array(list.ListValues())
	for {
		inner, ok := values.(*array.FixedSizeList)
		if !ok {
			break
		}
		sizes = append(sizes, int64(inner.DataType().(*arrow.FixedSizeListType).Len()))
		levels = append(levels, inner)
		values = storage.Array(inner.ListValues())
	}
	elem, err := newCell(values, Type{OID: to.OID, Precision: to.Precision, Scale: to.Scale, Length: to.Length})
	if err != nil {
		return nil, err
	}
	return func(dst []byte, row int) ([]byte, error) {
		first, end := list.ValueOffsets(row)
		dims := append([]int64{end - first}, sizes...)
		for _, level := range levels {
			for i := first; i < end; i++ {
				if level.IsNull(int(i)) {
					return dst, errNullList
				}
			}
			first, end = within(level.(*array.FixedSizeList), first, end)
		}
		if end-first > math.MaxInt32 {
			return dst, errListLong
		}
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = appendDimensions(dst, dims, values, first, end)
		dst = binary.BigEndian.AppendUint32(dst, to.OID)
		if end > first {
			for _, size := range dims {
				dst = binary.BigEndian.AppendUint32(dst, uint32(size))
				dst = binary.BigEndian.AppendUint32(dst, 1)
			}
		}
		for i := first; i < end; i++ {
			var err error
			if dst, err = elem(dst, int(i)); err != nil {
				return dst, err
			}
		}
		if len(dst)-start-4 > maxField {
			return dst, errField
		}
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
		return dst, nil
	}, nil
}

// within are the elements of the lists from first to end.
func within(level *array.FixedSizeList, first, end int64) (from, to int64) {
	if first == end {
		return 0, 0
	}
	from, _ = level.ValueOffsets(int(first))
	_, to = level.ValueOffsets(int(end - 1))
	return from, to
}

// appendDimensions appends how many dimensions an array has, and whether nulls.
func appendDimensions(dst []byte, dims []int64, values arrow.Array, first, end int64) []byte {
	n, nulls := uint32(len(dims)), uint32(0)
	if end == first {
		n = 0
	}
	if values.NullN() > 0 {
		for i := first; i < end; i++ {
			if values.IsNull(int(i)) {
				nulls = 1
				break
			}
		}
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, n), nulls)
}
