package arrowfile

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// contains reports whether a type, or one within it, is of one of some kinds.
// What is within a dictionary does not count: it is written whole, once.
func contains(dt arrow.DataType, kinds ...arrow.Type) bool {
	if slices.Contains(kinds, dt.ID()) {
		return true
	}
	switch dt := dt.(type) {
	case arrow.ExtensionType:
		return contains(dt.StorageType(), kinds...)
	case arrow.NestedType:
		return slices.ContainsFunc(dt.Fields(), func(f arrow.Field) bool { return contains(f.Type, kinds...) })
	}
	return false
}

// checkSchema refuses what arrow-go 18.8 cannot write when it is sliced and
// compact does not mend: a dense union within another type, a list view within
// a union.
func checkSchema(schema *arrow.Schema) error {
	for _, f := range schema.Fields() {
		nested, unions := f.Type, []arrow.Type{arrow.DENSE_UNION, arrow.SPARSE_UNION}
		refused := ""
		if contains(nested, unions...) && contains(nested, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW) {
			refused = "unions with list views"
		}
		if t, ok := nested.(arrow.NestedType); ok {
			for _, child := range t.Fields() {
				if contains(child.Type, arrow.DENSE_UNION) {
					refused = "dense unions within other types"
				}
			}
		} else if contains(nested, arrow.DENSE_UNION) {
			refused = "dense unions within other types"
		}
		if refused != "" {
			return fmt.Errorf("write Arrow: column %q of type %s: %w: %s", f.Name, f.Type, format.ErrColumnType, refused)
		}
	}
	return nil
}

// compacted returns batch with columns that arrow-go's encoder would write
// wrongly, or far too large, replaced by copies of their rows alone:
//
//	list views    a slice panics: its smallest offset is taken to be the smallest
//	              int (ipc/writer.go, getZeroBasedListViewOffsets)
//	dense unions  a slice panics: its offsets are cut twice
//	              (rebaseDenseUnionValueOffsets)
//	views         a slice is written with all text of the array it is cut from
//	sparse unions a slice panics that ends near the codes' end, where no padding follows
//	              that (getTruncatedBuffer)
//
// The caller releases the result.
func compacted(mem memory.Allocator, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	columns := slices.Clone(batch.Columns())
	var copies []arrow.Array
	defer func() {
		for _, c := range copies {
			c.Release()
		}
	}()
	for i, c := range columns {
		data, err := compact(mem, c)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", batch.ColumnName(i), err)
		}
		if data == nil {
			continue
		}
		columns[i] = array.MakeFromData(data)
		data.Release()
		copies = append(copies, columns[i])
	}
	if len(copies) == 0 {
		batch.Retain()
		return batch, nil
	}
	return array.NewRecordBatch(batch.Schema(), columns, batch.NumRows()), nil
}

// compact gives the data of one column's copy; nil where it may stay.
func compact(mem memory.Allocator, c arrow.Array) (arrow.ArrayData, error) {
	dt := c.DataType()
	switch {
	case dt.ID() == arrow.DENSE_UNION:
		return compactUnion(mem, c.(*array.DenseUnion))
	case dt.ID() == arrow.STRING_VIEW || dt.ID() == arrow.BINARY_VIEW:
		return compactViews(mem, c.Data()), nil
	case contains(dt, arrow.SPARSE_UNION):
		return padUnions(mem, c.Data()), nil // cannot be joined; its views stay large
	case contains(dt, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW, arrow.STRING_VIEW, arrow.BINARY_VIEW):
		// A copy starts at row 0 at every depth, so that what is within it can
		// be replaced.
		whole, err := array.Concatenate([]arrow.Array{c}, mem)
		if err != nil {
			return nil, err
		}
		defer whole.Release()
		return compactWithin(mem, whole.Data()), nil
	}
	return nil, nil
}

// codesPadding is how far behind a slice of a union's type codes the encoder reads at most.
const codesPadding = 63

// padUnions copies the type codes of sparse unions within data that have too little behind
// them; nil where none has, and data may stay.
func padUnions(mem memory.Allocator, data arrow.ArrayData) arrow.ArrayData {
	dt, buffers := data.DataType(), data.Buffers()
	if e, ok := dt.(arrow.ExtensionType); ok {
		dt = e.StorageType()
	}
	padded := false
	if dt.ID() == arrow.SPARSE_UNION && cap(buffers[1].Bytes())-buffers[1].Len() < codesPadding {
		codes := memory.NewResizableBuffer(mem)
		defer codes.Release()
		codes.Resize(buffers[1].Len() + codesPadding)
		clear(codes.Bytes()[copy(codes.Bytes(), buffers[1].Bytes()):])
		buffers, padded = []*memory.Buffer{buffers[0], codes}, true
	}
	children := slices.Clone(data.Children())
	for i, c := range children {
		if copied := padUnions(mem, c); copied != nil {
			defer copied.Release()
			children[i], padded = copied, true
		}
	}
	if !padded {
		return nil
	}
	return array.NewData(data.DataType(), data.Len(), buffers, children, data.NullN(), data.Offset())
}

// compactWithin replaces the views within data.
func compactWithin(mem memory.Allocator, data arrow.ArrayData) arrow.ArrayData {
	if data.DataType().ID() == arrow.STRING_VIEW || data.DataType().ID() == arrow.BINARY_VIEW {
		return compactViews(mem, data)
	}
	if len(data.Children()) == 0 {
		data.Retain()
		return data
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, c := range data.Children() {
		children[i] = compactWithin(mem, c)
		defer children[i].Release()
	}
	return array.NewData(data.DataType(), data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
}

// compactViews copies views, and their text into one buffer. It gives data back
// where that would be too long for one, or where there is nothing to win.
func compactViews(mem memory.Allocator, data arrow.ArrayData) arrow.ArrayData {
	buffers := data.Buffers()
	held, used := 0, 0
	for _, b := range buffers[2:] {
		held += b.Len()
	}
	arr := array.MakeFromData(data)
	defer arr.Release()
	var views []arrow.ViewHeader
	if data.Len() > 0 {
		views = arrow.ViewHeaderTraits.CastFromBytes(buffers[1].Bytes())[data.Offset() : data.Offset()+data.Len()]
	}
	for i := range views {
		if arr.IsValid(i) && !views[i].IsInline() {
			used += views[i].Len()
		}
	}
	if held <= used || used > math.MaxInt32 {
		data.Retain()
		return data
	}
	headers, text := memory.NewResizableBuffer(mem), memory.NewResizableBuffer(mem)
	defer headers.Release()
	defer text.Release()
	headers.Resize(len(views) * arrow.ViewHeaderSizeBytes)
	text.Resize(used)
	copied := arrow.ViewHeaderTraits.CastFromBytes(headers.Bytes())
	at := 0
	for i, v := range views {
		switch {
		case arr.IsNull(i):
			copied[i] = arrow.ViewHeader{}
		case v.IsInline():
			copied[i] = v
		default:
			from := buffers[2+v.BufferIndex()].Bytes()[v.BufferOffset():]
			copied[i] = v
			copied[i].SetIndexOffset(0, int32(at))
			at += copy(text.Bytes()[at:], from[:v.Len()])
		}
	}
	validity := cutValidity(mem, arr)
	if validity != nil {
		defer validity.Release()
	}
	return array.NewData(data.DataType(), data.Len(), []*memory.Buffer{validity, headers, text}, nil, arr.NullN(), 0)
}

// cutValidity copies an array's validity to start at bit 0; nil says no nulls.
func cutValidity(mem memory.Allocator, arr arrow.Array) *memory.Buffer {
	if arr.NullN() == 0 {
		return nil
	}
	out := memory.NewResizableBuffer(mem)
	out.Resize((arr.Len() + 7) / 8)
	clear(out.Bytes())
	for i := range arr.Len() {
		if arr.IsValid(i) {
			out.Bytes()[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// compactUnion copies codes and offsets, and cuts children to what these reach.
func compactUnion(mem memory.Allocator, u *array.DenseUnion) (arrow.ArrayData, error) {
	n := u.Len()
	first, last := make([]int32, u.NumFields()), make([]int32, u.NumFields())
	for i := range first {
		first[i], last[i] = math.MaxInt32, -1
	}
	for i := range n {
		child, at := u.ChildID(i), u.ValueOffset(i)
		first[child], last[child] = min(first[child], at), max(last[child], at)
	}
	codes, offsets := memory.NewResizableBuffer(mem), memory.NewResizableBuffer(mem)
	defer codes.Release()
	defer offsets.Release()
	codes.Resize(n)
	offsets.Resize(4 * n)
	ends := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	for i := range n {
		codes.Bytes()[i] = byte(u.TypeCode(i))
		ends[i] = u.ValueOffset(i) - first[u.ChildID(i)]
	}
	children := make([]arrow.ArrayData, u.NumFields())
	for i := range children {
		from, to := int64(first[i]), int64(last[i])+1
		if to == 0 {
			from = 0
		}
		cut := array.NewSlice(u.Field(i), from, to)
		defer cut.Release()
		data, err := compact(mem, cut)
		if err != nil {
			return nil, err
		}
		if data == nil {
			data = cut.Data()
			data.Retain()
		}
		children[i] = data
		defer data.Release()
	}
	return array.NewData(u.DataType(), n, []*memory.Buffer{nil, codes, offsets}, children, 0, 0), nil
}
