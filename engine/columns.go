package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// tensorData is what a Run gave for one output: row-major elements, or strings
// as offsets and text. It borrows buffer.
type tensorData struct {
	buffer  *memory.Buffer
	offsets []int64
	text    []byte
}

// columns makes the output's columns of the first rows rows. Where bytes lie as
// a column wants them, the column takes a reference of data's buffer; for several
// columns of numbers get gives memory.
func (s *outputSpec) columns(data tensorData, rows int, get func(bytes int) (*memory.Buffer, error)) ([]arrow.Array, error) {
	fields := s.fields()
	width := s.width()
	if s.value.Elem == models.String {
		if len(data.offsets) < rows*width+1 {
			return nil, fmt.Errorf("%w: output %q gave %d strings for %d rows", ErrOutputShape, s.value.Name, len(data.offsets)-1, rows)
		}
	} else if data.buffer.Len() < rows*width*s.value.Elem.Bytes() {
		return nil, fmt.Errorf("%w: output %q gave %d bytes for %d rows", ErrOutputShape, s.value.Name, data.buffer.Len(), rows)
	}
	arrays := make([]arrow.Array, len(fields))
	if !s.split() || len(s.item) == 0 {
		arrays[0] = nest(s.leaf(data, rows*width, 0, 1), fields[0].Type, rows)
		return arrays, nil
	}
	if width > 1 && s.plainNumbers() {
		return arrays, s.apart(arrays, data.buffer.Bytes(), rows, get)
	}
	for i := range arrays {
		arrays[i] = s.leaf(data, rows, i, width)
	}
	return arrays, nil
}

// plainNumbers reports whether a column has the elements of a tensor as they are.
func (s *outputSpec) plainNumbers() bool {
	switch s.value.Elem {
	case models.String, models.Bool, models.BFloat16:
		return false
	default:
		return true
	}
}

// columnBytes are what a column of rows values takes of memory that several share: whole
// cache lines, and some more, lest columns lie a power of two apart, where caches have room
// for a few of them.
func (s *outputSpec) columnBytes(rows int) int { return (rows*s.value.Elem.Bytes()+63)&^63 + 64*3 }

// apart makes a column of each of the values that rows of a tensor have, all in one buffer.
func (s *outputSpec) apart(arrays []arrow.Array, rowMajor []byte, rows int, get func(bytes int) (*memory.Buffer, error)) error {
	size, column := s.value.Elem.Bytes(), s.columnBytes(rows)
	buffer, err := get(column * len(arrays))
	if err != nil {
		return err
	}
	defer buffer.Release()
	// By size, so that each loop moves machine words.
	switch size {
	case 1:
		unzip(buffer.Bytes(), rowMajor, rows, len(arrays), column)
	case 2:
		unzip(kernel.Of[uint16](buffer.Bytes()), kernel.Of[uint16](rowMajor), rows, len(arrays), column/size)
	case 4:
		unzip(kernel.Of[uint32](buffer.Bytes()), kernel.Of[uint32](rowMajor), rows, len(arrays), column/size)
	default:
		unzip(kernel.Of[uint64](buffer.Bytes()), kernel.Of[uint64](rowMajor), rows, len(arrays), column/size)
	}
	for i := range arrays {
		values := memory.SliceBuffer(buffer, i*column, rows*size)
		arrays[i] = flat(arrowType(s.value.Elem), values, rows)
		values.Release()
	}
	return nil
}

// unzippedValues are a tile's, which is read for each of its columns and has to stay in a cache
// meanwhile.
const unzippedValues = 4 << 10

// unzip writes the columns of a matrix that lies by rows, each at a multiple of stride.
func unzip[T any](columns, rowMajor []T, rows, width, stride int) {
	for from, tile := 0, max(unzippedValues/width&^63, 256); from < rows; from += tile {
		n := min(tile, rows-from)
		for c := range width {
			out, at := columns[c*stride+from:][:n], from*width+c
			for i := range out {
				out[i] = rowMajor[at]
				at += width
			}
		}
	}
}

// leaf makes a flat array of n elements: those at first, first+stride, ... Numbers that lie in a
// column as they do in a tensor are all of them, one after the other.
func (s *outputSpec) leaf(data tensorData, n, first, stride int) arrow.Array {
	elem := s.value.Elem
	var bytes []byte
	if data.buffer != nil {
		bytes = data.buffer.Bytes()
	}
	switch elem {
	case models.String:
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Reserve(n)
		for i := range n {
			at := first + i*stride
			b.BinaryBuilder.Append(data.text[data.offsets[at]:data.offsets[at+1]])
		}
		return b.NewArray()
	case models.Bool:
		bits := make([]byte, bitutil.BytesForBits(int64(n)))
		for i := range n {
			if bytes[first+i*stride] != 0 {
				bitutil.SetBit(bits, i)
			}
		}
		return flat(arrow.FixedWidthTypes.Boolean, memory.NewBufferBytes(bits), n)
	case models.BFloat16:
		bits := arrow.Uint16Traits.CastFromBytes(bytes)
		values := make([]float32, n)
		for i := range values {
			values[i] = math.Float32frombits(uint32(bits[first+i*stride]) << 16)
		}
		return flat(arrow.PrimitiveTypes.Float32, memory.NewBufferBytes(arrow.Float32Traits.CastToBytes(values)), n)
	}
	return flat(arrowType(elem), data.buffer, n)
}

// flat makes an array without nulls over a buffer, of which it takes a
// reference. It sees no byte beyond its values: pooled memory has an earlier
// batch's there, and Arrow files are padded with what follows the values.
func flat(t arrow.DataType, values *memory.Buffer, n int) arrow.Array {
	size := int(bitutil.BytesForBits(int64(n) * int64(t.(arrow.FixedWidthDataType).BitWidth())))
	values = memory.SliceBuffer(values, 0, size)
	defer values.Release()
	data := array.NewData(t, n, []*memory.Buffer{nil, values}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// nest wraps a flat array, which it takes over, into the FixedSizeLists of t.
func nest(leaf arrow.Array, t arrow.DataType, rows int) arrow.Array {
	list, ok := t.(*arrow.FixedSizeListType)
	if !ok {
		return leaf
	}
	child := nest(leaf, list.Elem(), rows*int(list.Len()))
	data := array.NewData(t, rows, []*memory.Buffer{nil}, []arrow.ArrayData{child.Data()}, 0, 0)
	child.Release()
	defer data.Release()
	return array.MakeFromData(data)
}

// gather joins runs of rows of a column, which is given by segment, or says why
// it cannot: arrow-go does not join unions, offsets or indices may overflow,
// and values of different ordered dictionaries have no common order. The caller
// releases the result.
//
// The kernels of arrow-go's compute package are not used for this: they know
// fewer types, and its filter gives wrong values for slices of bools.
func gather(segments []arrow.Array, runs []rowRun) (arrow.Array, error) {
	pieces := make([]arrow.Array, 0, len(runs))
	defer func() { releaseAll(pieces) }()
	for at := 0; at < len(runs); {
		end := at + 1
		for end < len(runs) && runs[end].segment == runs[at].segment {
			end++
		}
		segment := segments[runs[at].segment]
		if d, ok := segment.(*array.Dictionary); ok && end-at > 1 {
			// One dictionary: only its indices are joined, and it is not
			// compared with itself for each run.
			piece, err := gatherIndices(d, runs[at:end])
			if err != nil {
				return nil, err
			}
			pieces, at = append(pieces, piece), end
			continue
		}
		if end-at > 1 {
			if piece := gatherFixed(segment, runs[at:end]); piece != nil {
				pieces, at = append(pieces, piece), end
				continue
			}
		}
		for ; at < end; at++ {
			pieces = append(pieces, array.NewSlice(segment, int64(runs[at].row), int64(runs[at].row+runs[at].rows)))
		}
	}
	if len(pieces) == 1 {
		// A few rows must not hold the memory of many.
		if whole := segments[runs[0].segment].Len(); pieces[0].Len() < whole {
			if few, err := array.Concatenate(pieces, memory.DefaultAllocator); err == nil {
				return few, nil
			}
		}
		pieces[0].Retain()
		return pieces[0], nil
	}
	if t := pieces[0].DataType(); hasOrderedDictionary(t) {
		return nil, fmt.Errorf("%w: join %s", errors.ErrUnsupported, t)
	}
	return array.Concatenate(pieces, memory.DefaultAllocator)
}

// errUnjoined says that records cannot be made one.
var errUnjoined = errors.New("records cannot be joined")

// joined is a column of records as one array, which the caller releases. Its error wraps
// errUnjoined.
func joined(records []arrow.RecordBatch, at int) (arrow.Array, error) {
	segments, runs := make([]arrow.Array, len(records)), make([]rowRun, 0, len(records))
	for i, r := range records {
		segments[i] = r.Column(at)
		if n := segments[i].Len(); n > 0 {
			runs = append(runs, rowRun{segment: i, rows: n})
		}
	}
	column, err := gather(segments, runs)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w: %w", records[0].ColumnName(at), errUnjoined, err)
	}
	return column, nil
}

// joinRecords makes one of records of one schema, one at least; the caller releases it. Its
// error wraps errUnjoined.
func joinRecords(records []arrow.RecordBatch) (arrow.RecordBatch, error) {
	rows := int64(0)
	for _, r := range records {
		rows += r.NumRows()
	}
	if rows == 0 {
		records[0].Retain()
		return records[0], nil
	}
	columns := make([]arrow.Array, 0, records[0].NumCols())
	defer func() { releaseAll(columns) }()
	for at := range int(records[0].NumCols()) {
		column, err := joined(records, at)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(records[0].Schema(), columns, rows), nil
}

func gatherIndices(d *array.Dictionary, runs []rowRun) (arrow.Array, error) {
	inOne := make([]rowRun, len(runs))
	for i, r := range runs {
		inOne[i] = rowRun{row: r.row, rows: r.rows}
	}
	indices, err := gather([]arrow.Array{d.Indices()}, inOne)
	if err != nil {
		return nil, err
	}
	defer indices.Release()
	return array.NewDictionaryArray(d.DataType(), indices, d.Dictionary()), nil
}

// gatherFixed copies runs of values of whole bytes, as predictions and most columns are, or of
// views, whose texts stay where they lie. That is much faster than to cut and join slices; nil
// for other arrays.
func gatherFixed(a arrow.Array, runs []rowRun) arrow.Array {
	data := a.Data()
	var width, rows int
	switch t := a.DataType().(type) {
	case arrow.BinaryViewDataType:
		width = arrow.ViewHeaderSizeBytes
	case arrow.FixedWidthDataType:
		if t.BitWidth()%8 != 0 || len(data.Buffers()) != 2 || len(data.Children()) > 0 {
			return nil
		}
		width = t.BitWidth() / 8
	default:
		return nil
	}
	for _, r := range runs {
		rows += r.rows
	}
	out := make([]byte, rows*width)
	gatherValues(out, data.Buffers()[1].Bytes()[data.Offset()*width:], width, runs)
	buffers, nulls := append([]*memory.Buffer{nil, memory.NewBufferBytes(out)}, data.Buffers()[2:]...), 0
	if a.NullN() > 0 {
		valid, at := make([]byte, bitutil.BytesForBits(int64(rows))), 0
		for _, r := range runs {
			copyBits(valid, at, a.NullBitmapBytes(), data.Offset()+r.row, r.rows)
			at += r.rows
		}
		buffers[0], nulls = memory.NewBufferBytes(valid), rows-bitutil.CountSetBits(valid, 0, rows)
	}
	d := array.NewData(a.DataType(), rows, buffers, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

// gatherValues copies runs of values. Runs are short where rows are picked here and there:
// of those a value at a time is faster than a call.
func gatherValues(out, from []byte, width int, runs []rowRun) {
	at := 0
	for _, r := range runs {
		n, row := r.rows*width, from[r.row*width:]
		switch n {
		case 8:
			binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(row))
		case 4:
			binary.LittleEndian.PutUint32(out[at:], binary.LittleEndian.Uint32(row))
		default:
			copy(out[at:], row[:n])
		}
		at += n
	}
}

// copyBits copies n bits; those after them may be any.
func copyBits(to []byte, toBit int, from []byte, fromBit, n int) {
	if n > 32 { // the library's way makes two objects
		bitutil.CopyBitmap(from, fromBit, n, to, toBit)
		return
	}
	for i := range n {
		bit := from[(fromBit+i)/8] >> ((fromBit + i) % 8) & 1
		at, shift := (toBit+i)/8, (toBit+i)%8
		to[at] = to[at]&^(1<<shift) | bit<<shift
	}
}

func hasOrderedDictionary(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return t.Ordered || hasOrderedDictionary(t.ValueType)
	case arrow.ExtensionType:
		return hasOrderedDictionary(t.StorageType())
	case arrow.NestedType:
		return slices.ContainsFunc(t.Fields(), func(f arrow.Field) bool { return hasOrderedDictionary(f.Type) })
	}
	return false
}

// everyIndex are the indexes of n things, such as columns, all of which are wanted.
func everyIndex(n int) []int {
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = i
	}
	return indexes
}

func releaseAll(arrays []arrow.Array) {
	for _, a := range arrays {
		a.Release()
	}
}
