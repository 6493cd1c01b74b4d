package engine

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// permute gives a column's rows in another order; the caller releases the result. Types
// whose values have one width, texts and dictionaries are moved value by value; all
// others are joined of runs, as gather does.
func permute(a arrow.Array, order []int32) (arrow.Array, error) {
	switch a := a.(type) {
	case *array.Dictionary:
		indices, err := permute(a.Indices(), order)
		if err != nil {
			return nil, err
		}
		defer indices.Release()
		return array.NewDictionaryArray(a.DataType(), indices, a.Dictionary()), nil
	case *array.Boolean:
		bits := make([]byte, bitutil.BytesForBits(int64(len(order))))
		for i, row := range order {
			if a.Value(int(row)) {
				bitutil.SetBit(bits, i)
			}
		}
		return arrayOf(a, order, memory.NewBufferBytes(bits)), nil
	case *array.String:
		offsets, text := permuteTexts(a, order)
		return arrayOf(a, order, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(text)), nil
	}
	t, ok := a.DataType().(arrow.FixedWidthDataType)
	data := a.Data()
	if !ok || a.DataType().ID() == arrow.EXTENSION || t.BitWidth()%8 != 0 || len(data.Buffers()) != 2 || len(data.Children()) > 0 {
		return gather([]arrow.Array{a}, runsInOrder(order))
	}
	width := t.BitWidth() / 8
	from, out := data.Buffers()[1].Bytes()[data.Offset()*width:], make([]byte, len(order)*width)
	switch width {
	case 1:
		permuteValues(out, from, order)
	case 4:
		permuteValues(arrow.Uint32Traits.CastFromBytes(out), arrow.Uint32Traits.CastFromBytes(from), order)
	case 8:
		permuteValues(arrow.Uint64Traits.CastFromBytes(out), arrow.Uint64Traits.CastFromBytes(from), order)
	default:
		for i, row := range order {
			copy(out[i*width:(i+1)*width], from[int(row)*width:])
		}
	}
	return arrayOf(a, order, memory.NewBufferBytes(out)), nil
}

func permuteValues[T any](out, from []T, order []int32) {
	for i, row := range order {
		out[i] = from[row]
	}
}

// permuteTexts are the offsets and the bytes of texts in another order.
func permuteTexts(a *array.String, order []int32) (offsets []int32, text []byte) {
	offsets = make([]int32, 1, len(order)+1)
	text = make([]byte, 0, len(a.ValueBytes()))
	for _, row := range order {
		text = append(text, a.Value(int(row))...)
		offsets = append(offsets, int32(len(text)))
	}
	return offsets, text
}

// arrayOf is an array of a's type, and of a's nulls in another order.
func arrayOf(a arrow.Array, order []int32, buffers ...*memory.Buffer) arrow.Array {
	var validity *memory.Buffer
	if a.NullN() > 0 {
		bits := make([]byte, bitutil.BytesForBits(int64(len(order))))
		for i, row := range order {
			if a.IsValid(int(row)) {
				bitutil.SetBit(bits, i)
			}
		}
		validity = memory.NewBufferBytes(bits)
	}
	data := array.NewData(a.DataType(), len(order), append([]*memory.Buffer{validity}, buffers...), nil, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// runsInOrder are the rows of an order as runs of one segment.
func runsInOrder(order []int32) []rowRun {
	var runs []rowRun
	for i, row := range order {
		if n := len(runs); n > 0 && runs[n-1].row+runs[n-1].rows == int(row) {
			runs[n-1].rows++
			continue
		}
		runs = append(runs, rowRun{row: int(row), batchRow: i, rows: 1})
	}
	return runs
}
