package filter

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take copies the selected rows of a record batch into one of its own, which the caller
// releases. Its error names a column of a type whose rows cannot be taken apart, such
// as list views of unions.
func (s Selection) Take(record arrow.RecordBatch) (arrow.RecordBatch, error) {
	rows := make([]int, 0, s.Count())
	for row := range s.Rows {
		rows = append(rows, row)
	}
	columns := make([]arrow.Array, record.NumCols())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, column := range record.Columns() {
		var err error
		if columns[i], err = TakeRows(column, rows); err != nil {
			return nil, fmt.Errorf("column %q: %w", record.ColumnName(i), err)
		}
	}
	return array.NewRecordBatch(record.Schema(), columns, int64(len(rows))), nil
}

// rowNumber is the place of a row in an array.
type rowNumber interface{ int | int32 }

// TakeRows copies rows of an array, in any order, into one of its own, which the caller
// releases. Its error is that of a type whose rows cannot be taken apart.
func TakeRows[R rowNumber](a arrow.Array, rows []R) (arrow.Array, error) {
	data := a.Data()
	if d, ok := a.(*array.Dictionary); ok {
		indices, err := TakeRows(d.Indices(), rows)
		if err != nil {
			return nil, err
		}
		defer indices.Release()
		return array.NewDictionaryArray(d.DataType(), indices, d.Dictionary()), nil
	}
	switch t := a.DataType().(type) {
	case arrow.ExtensionType:
		inner, err := TakeRows(a.(array.ExtensionArray).Storage(), rows)
		if err != nil {
			return nil, err
		}
		defer inner.Release()
		return array.NewExtensionArrayWithStorage(t, inner), nil
	case *arrow.NullType:
		return array.NewNull(len(rows)), nil
	case *arrow.BooleanType:
		return made(a, rows, takenBits(buffer(data, 1), data.Offset(), rows))
	case *arrow.StringType, *arrow.BinaryType:
		offsets := arrow.Int32Traits.CastFromBytes(buffer(data, 1))
		values, ends, ok := takenText(offsets, data.Offset(), buffer(data, 2), rows)
		if !ok {
			break
		}
		return made(a, rows, arrow.Int32Traits.CastToBytes(ends), values)
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		offsets := arrow.Int64Traits.CastFromBytes(buffer(data, 1))
		values, ends, ok := takenText(offsets, data.Offset(), buffer(data, 2), rows)
		if !ok {
			break
		}
		return made(a, rows, arrow.Int64Traits.CastToBytes(ends), values)
	case arrow.BinaryViewDataType:
		// Texts stay where they lie: joined would hold that once for each run of rows.
		places := memory.NewBufferBytes(takenFixed(buffer(data, 1), data.Offset(), arrow.ViewHeaderSizeBytes, rows))
		return madeOf(a, rows, append([]*memory.Buffer{places}, data.Buffers()[2:]...)...)
	case *arrow.FixedSizeListType, *arrow.StructType, *arrow.DictionaryType: // no values of their own
	case arrow.FixedWidthDataType:
		if len(data.Buffers()) == 2 && t.BitWidth()%8 == 0 {
			return made(a, rows, takenFixed(buffer(data, 1), data.Offset(), t.BitWidth()/8, rows))
		}
	}
	if holdsUnion(a.DataType()) {
		if taken, ok, err := takenUnion(a, rows); ok || err != nil {
			return taken, err
		}
	}
	return joined(a, rows)
}

func buffer(data arrow.ArrayData, i int) []byte {
	if b := data.Buffers()[i]; b != nil {
		return b.Bytes()
	}
	return nil
}

// made is an array of taken values, with the nulls of their rows.
func made[R rowNumber](a arrow.Array, rows []R, values ...[]byte) (arrow.Array, error) {
	buffers := make([]*memory.Buffer, len(values))
	for i, v := range values {
		buffers[i] = memory.NewBufferBytes(v)
	}
	return madeOf(a, rows, buffers...)
}

// madeOf is made of buffers, which it borrows.
func madeOf[R rowNumber](a arrow.Array, rows []R, buffers ...*memory.Buffer) (arrow.Array, error) {
	all, nulls := make([]*memory.Buffer, 1, 1+len(buffers)), 0 // no nulls
	if a.NullN() > 0 {
		valid := takenBits(a.NullBitmapBytes(), a.Data().Offset(), rows)
		nulls = len(rows) - bitutil.CountSetBits(valid, 0, len(rows))
		all[0] = memory.NewBufferBytes(valid)
	}
	data := array.NewData(a.DataType(), len(rows), append(all, buffers...), nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

func takenBits[R rowNumber](bits []byte, first int, rows []R) []byte {
	out := make([]byte, bitutil.BytesForBits(int64(len(rows))))
	for i, row := range rows {
		at := first + int(row)
		out[i/8] |= bits[at/8] >> (at % 8) & 1 << (i % 8)
	}
	return out
}

// takenFixed copies values of so many bytes.
func takenFixed[R rowNumber](values []byte, first, width int, rows []R) []byte {
	out := make([]byte, len(rows)*width)
	values = values[first*width:]
	switch width {
	case 1:
		takeValues(out, values, rows)
	case 4:
		takeValues(arrow.Uint32Traits.CastFromBytes(out), arrow.Uint32Traits.CastFromBytes(values), rows)
	case 8:
		takeValues(arrow.Uint64Traits.CastFromBytes(out), arrow.Uint64Traits.CastFromBytes(values), rows)
	default:
		for i, row := range rows {
			copy(out[i*width:(i+1)*width], values[int(row)*width:])
		}
	}
	return out
}

func takeValues[T any, R rowNumber](out, values []T, rows []R) {
	for i, row := range rows {
		out[i] = values[row]
	}
}

// takenText copies texts; ok is false where they are too long for their offsets.
func takenText[T int32 | int64, R rowNumber](offsets []T, first int, values []byte, rows []R) (text []byte, ends []T, ok bool) {
	offsets = offsets[first:]
	total := 0
	for _, row := range rows {
		total += int(offsets[row+1] - offsets[row])
	}
	if int(T(total)) != total {
		return nil, nil, false
	}
	text, ends = make([]byte, 0, total), make([]T, 1, len(rows)+1)
	for _, row := range rows {
		text = append(text, values[offsets[row]:offsets[row+1]]...)
		ends = append(ends, T(len(text)))
	}
	return text, ends, true
}

// joined takes rows of any type that arrow-go can join: each run of rows is cut out.
func joined[R rowNumber](a arrow.Array, rows []R) (arrow.Array, error) {
	var runs []arrow.Array
	defer func() {
		for _, r := range runs {
			r.Release()
		}
	}()
	for at := 0; at < len(rows); {
		end := at + 1
		for end < len(rows) && rows[end] == rows[end-1]+1 {
			end++
		}
		runs = append(runs, array.NewSlice(a, int64(rows[at]), int64(rows[end-1]+1)))
		at = end
	}
	if len(runs) == 0 {
		return array.NewSlice(a, 0, 0), nil
	}
	return array.Concatenate(runs, memory.DefaultAllocator)
}
