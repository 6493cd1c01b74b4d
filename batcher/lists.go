package batcher

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// enterFixed goes down one level of fixed-size lists.
func (e *extent) enterFixed(list *array.FixedSizeList, outer []byte) ([]byte, error) {
	k := int64(list.DataType().(*arrow.FixedSizeListType).Len())
	start := int64(list.Data().Offset()) * k
	end := start + int64(list.Len())*k
	if end > int64(list.ListValues().Len()) {
		return nil, fmt.Errorf("%w: %d lists of %d have %d values", ErrDamaged, list.Len(), k, list.ListValues().Len())
	}
	lists, err := e.listValidity(list, outer, int(k))
	if err != nil {
		return nil, err
	}
	e.replace(array.NewSlice(list.ListValues(), start, end))
	return lists, nil
}

// enterVariable finds the lists that do not have the width that the model wants.
func enterVariable[O int32 | int64](e *extent, list, values arrow.Array, offsets []O) ([]byte, error) {
	first := list.Data().Offset()
	if e.rows == 0 {
		e.replace(array.NewSlice(values, 0, 0))
		return nil, nil
	}
	if len(offsets) <= first+e.rows {
		return nil, fmt.Errorf("%w: %d lists have %d offsets", ErrDamaged, e.rows, len(offsets))
	}
	offsets = offsets[first : first+e.rows+1]
	base, end := int(offsets[0]), int(offsets[e.rows])
	if !slices.IsSorted(offsets) || base < 0 || end > values.Len() {
		return nil, fmt.Errorf("%w: its list offsets do not fit its %d values", ErrDamaged, values.Len())
	}
	if _, _, _, err := bitmapOf(list, 0, list.Len()); err != nil {
		return nil, err
	}
	apart := false
	for r := range e.rows {
		length := int(offsets[r+1] - offsets[r])
		if length == e.width {
			continue
		}
		if list.IsValid(r) {
			e.wrong = append(e.wrong, lengthError{row: r, length: length, want: e.width})
		}
		apart = true
	}
	var lists []byte
	if apart {
		e.starts, e.rowNulls = make([]int, e.rows), make([]bool, e.rows)
		for r := range e.rows {
			e.starts[r], e.rowNulls[r] = int(offsets[r])-base, list.IsNull(r)
		}
		for _, l := range e.wrong {
			e.rowNulls[l.row] = true
		}
	} else {
		var err error
		if lists, err = e.listValidity(list, nil, e.width); err != nil {
			return nil, err
		}
	}
	e.replace(array.NewSlice(values, int64(base), int64(end)))
	return lists, nil
}

// listValidity counts the null lists of a level and gives the bitmap of the
// level below it, whose lists or values k belong to one of this level; nil
// when there are no nulls.
func (e *extent) listValidity(list arrow.Array, outer []byte, k int) ([]byte, error) {
	own, bit, nulls, err := bitmapOf(list, 0, list.Len())
	if err != nil || nulls == 0 && outer == nil {
		return nil, err
	}
	n := list.Len()
	below := make([]byte, bitutil.BytesForBits(int64(n*k)))
	for i := range n {
		switch {
		case outer != nil && !bitutil.BitIsSet(outer, i):
		case nulls > 0 && !bitutil.BitIsSet(own, bit+i):
			e.nullLists++
		default:
			bitutil.SetBitsTo(below, int64(i*k), int64(k), true)
		}
	}
	return below, nil
}

// lengthError says that a list does not have the length that the model wants.
type lengthError struct {
	row, length, want int
}

func (e lengthError) Error() string {
	return fmt.Sprintf("list has %d values; the model wants %d", e.length, e.want)
}
