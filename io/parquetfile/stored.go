package parquetfile

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// storedType is the type that a column is handed to the encoder as: what it
// cannot take is replaced by what Parquet stores anyway.
//
//	dictionary        -> its values
//	duration          -> int64
//	fixed size list   -> list (a null one has no values in Parquet)
//	views             -> string, binary
//	decimal32, 64     -> decimal128
//	extension         -> its storage, unless Parquet has a type for it
//
// The reader restores all but dictionaries, views and small decimals from the
// schema kept in the file.
func storedType(t arrow.DataType, nullable bool) (arrow.DataType, error) {
	refuse := func(why string) (arrow.DataType, error) {
		return nil, fmt.Errorf("%w: %s: %s", format.ErrColumnType, t, why)
	}
	switch t := t.(type) {
	case *arrow.NullType:
		if !nullable {
			return refuse("not nullable")
		}
		return t, nil
	case *arrow.DictionaryType:
		return storedType(t.ValueType, true)
	case *arrow.DurationType:
		return arrow.PrimitiveTypes.Int64, nil
	case *arrow.FixedSizeBinaryType:
		if t.ByteWidth <= 0 {
			return refuse("no bytes")
		}
		return t, nil
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String, nil
	case *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary, nil
	case *arrow.Decimal32Type:
		if t.Precision < 1 || t.Precision > 9 || t.Scale < 0 || t.Scale > t.Precision {
			return refuse("precision or scale")
		}
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}, nil
	case *arrow.Decimal64Type:
		if t.Precision < 1 || t.Precision > 18 || t.Scale < 0 || t.Scale > t.Precision {
			return refuse("precision or scale")
		}
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}, nil
	case *arrow.Decimal128Type:
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return refuse("precision or scale")
		}
		return t, nil
	case *arrow.Decimal256Type:
		if t.Precision < 1 || t.Precision > 76 || t.Scale < 0 || t.Scale > t.Precision {
			return refuse("precision or scale")
		}
		return t, nil
	case *arrow.ListType:
		return storedList(t.ElemField())
	case *arrow.LargeListType:
		return storedList(t.ElemField())
	case *arrow.FixedSizeListType:
		if t.Len() <= 0 {
			return refuse("no values")
		}
		return storedList(t.ElemField())
	case *arrow.MapType:
		key, err := storedField(t.KeyField())
		if err != nil {
			return nil, err
		}
		item, err := storedField(t.ItemField())
		if err != nil {
			return nil, err
		}
		key.Nullable = false
		return arrow.MapOfFields(key, item), nil
	case *arrow.StructType:
		if t.NumFields() == 0 {
			return refuse("no fields")
		}
		fields := make([]arrow.Field, t.NumFields())
		for i, f := range t.Fields() {
			var err error
			if fields[i], err = storedField(f); err != nil {
				return nil, err
			}
		}
		return arrow.StructOf(fields...), nil
	case arrow.ExtensionType:
		if _, ok := t.(pqarrow.ExtensionCustomParquetType); ok {
			return t, nil
		}
		return storedType(t.StorageType(), nullable)
	}
	switch t.ID() {
	case arrow.BOOL, arrow.UINT8, arrow.INT8, arrow.UINT16, arrow.INT16, arrow.UINT32, arrow.INT32,
		arrow.UINT64, arrow.INT64, arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64,
		arrow.STRING, arrow.BINARY, arrow.LARGE_STRING, arrow.LARGE_BINARY,
		arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP, arrow.TIME32, arrow.TIME64:
		return t, nil
	}
	return refuse("Parquet has no such type")
}

func storedField(f arrow.Field) (arrow.Field, error) {
	t, err := storedType(f.Type, f.Nullable)
	if err != nil {
		return f, fmt.Errorf("field %q: %w", f.Name, err)
	}
	f.Type = t
	return f, nil
}

func storedList(elem arrow.Field) (arrow.DataType, error) {
	elem, err := storedField(elem)
	if err != nil {
		return nil, err
	}
	return arrow.ListOfField(elem), nil
}

// toStored gives an array as its stored type; the caller releases it.
func toStored(arr arrow.Array, stored arrow.DataType, mem memory.Allocator) (arrow.Array, error) {
	if out, ok, err := slotsOf(arr).plain(stored, mem); ok {
		return out, err
	}
	switch a := arr.(type) {
	case *array.Dictionary:
		if out, ok, err := slotsOfDictionary(a).plain(stored, mem); ok {
			return out, err
		}
		if out, ok, err := slotsOfDictionary(a).texts(stored, mem); ok {
			return out, err
		}
		plain, err := compute.TakeArray(compute.WithAllocator(context.Background(), mem), a.Dictionary(), a.Indices())
		if err != nil {
			return nil, err
		}
		defer plain.Release()
		return toStored(plain, stored, mem)
	case *array.Duration:
		return retyped(a.Data(), stored, a.Data().Children()), nil
	case *array.Struct:
		return structToStored(a, stored.(*arrow.StructType), mem)
	case array.ListLike:
		return listToStored(a, stored, mem)
	case array.ExtensionArray:
		if arrow.TypeEqual(a.DataType(), stored) {
			a.Retain()
			return a, nil
		}
		return toStored(a.Storage(), stored, mem)
	}
	arr.Retain()
	return arr, nil
}

// retyped is an array over the same buffers with another type and children.
func retyped(d arrow.ArrayData, t arrow.DataType, children []arrow.ArrayData) arrow.Array {
	data := array.NewData(t, d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

func structToStored(a *array.Struct, t *arrow.StructType, mem memory.Allocator) (arrow.Array, error) {
	children := make([]arrow.ArrayData, 0, a.NumField())
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	for i := range a.NumField() {
		field := fieldOf(a, i, mem)
		c, err := toStored(field, t.Field(i).Type, mem)
		field.Release()
		if err != nil {
			return nil, err
		}
		d := c.Data()
		d.Retain()
		c.Release()
		children = append(children, d)
	}
	var validity *memory.Buffer
	if a.NullN() > 0 {
		validity = cutBits(a.Data().Buffers()[0], a.Data().Offset(), a.Len(), mem)
		defer validity.Release()
	}
	data := array.NewData(t, a.Len(), []*memory.Buffer{validity}, children, a.NullN(), 0)
	defer data.Release()
	return array.NewStructData(data), nil
}

// fieldOf is a field of a struct, cut to its rows, without values where the struct is
// null: the encoder gives decimals below a null struct the place of later ones, and
// refuses lists there (arrow-go 18.8.0). The caller releases it.
func fieldOf(a *array.Struct, i int, mem memory.Allocator) arrow.Array {
	field := a.Field(i)
	if a.NullN() == 0 || field.DataType().ID() == arrow.NULL {
		field.Retain()
		return field
	}
	of, d := a.Data(), field.Data()
	validity := memory.NewResizableBuffer(mem)
	defer validity.Release()
	validity.Resize(int(bitutil.BytesForBits(int64(d.Offset() + d.Len()))))
	clear(validity.Bytes())
	own := d.Buffers()[0]
	if own == nil || own.Len() == 0 {
		bitutil.CopyBitmap(of.Buffers()[0].Bytes(), of.Offset(), d.Len(), validity.Bytes(), d.Offset())
	} else {
		bitutil.BitmapAnd(of.Buffers()[0].Bytes(), own.Bytes(), int64(of.Offset()), int64(d.Offset()), validity.Bytes(), int64(d.Offset()), int64(d.Len()))
	}
	data := array.NewData(d.DataType(), d.Len(), append([]*memory.Buffer{validity}, d.Buffers()[1:]...), d.Children(), array.UnknownNullCount, d.Offset())
	defer data.Release()
	if dictionary, ok := d.Dictionary().(*array.Data); ok && dictionary != nil {
		data.SetDictionary(dictionary)
	}
	return array.MakeFromData(data)
}

func cutBits(b *memory.Buffer, offset, n int, mem memory.Allocator) *memory.Buffer {
	out := memory.NewResizableBuffer(mem)
	out.Resize(int(bitutil.BytesForBits(int64(n))))
	clear(out.Bytes())
	bitutil.CopyBitmap(b.Bytes(), offset, n, out.Bytes(), 0)
	return out
}

// listToStored rebuilds lists of any kind with 32-bit offsets from 0, and
// without values below nulls: the encoder takes no others.
func listToStored(a array.ListLike, stored arrow.DataType, mem memory.Allocator) (arrow.Array, error) {
	n := a.Len()
	offsets := memory.NewResizableBuffer(mem)
	defer offsets.Release()
	offsets.Resize(arrow.Int32Traits.BytesRequired(n + 1))
	ends := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	ends[0] = 0
	var runs [][2]int64 // of child values to keep
	total := int64(0)
	for i := range n {
		if a.IsValid(i) {
			from, to := a.ValueOffsets(i)
			if last := len(runs) - 1; last >= 0 && runs[last][1] == from {
				runs[last][1] = to
			} else if from < to {
				runs = append(runs, [2]int64{from, to})
			}
			total += to - from
		}
		if total > 1<<31-1 {
			return nil, errors.New("more than 2^31-1 values in the lists of one row group")
		}
		ends[i+1] = int32(total)
	}
	child, err := keepRuns(a.ListValues(), runs, stored.(arrow.ListLikeType).Elem(), mem)
	if err != nil {
		return nil, err
	}
	defer child.Release()
	var validity *memory.Buffer
	if a.NullN() > 0 {
		validity = cutBits(a.Data().Buffers()[0], a.Data().Offset(), n, mem)
		defer validity.Release()
	}
	data := array.NewData(stored, n, []*memory.Buffer{validity, offsets}, []arrow.ArrayData{child.Data()}, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// keepRuns joins runs of values as their stored type, in which any can be
// joined.
func keepRuns(values arrow.Array, runs [][2]int64, stored arrow.DataType, mem memory.Allocator) (arrow.Array, error) {
	if len(runs) == 0 {
		runs = [][2]int64{{0, 0}}
	}
	pieces := make([]arrow.Array, 0, len(runs))
	defer func() {
		for _, p := range pieces {
			p.Release()
		}
	}()
	for _, r := range runs {
		run := array.NewSlice(values, r[0], r[1])
		piece, err := toStored(run, stored, mem)
		run.Release()
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece)
	}
	if len(pieces) == 1 {
		pieces[0].Retain()
		return pieces[0], nil
	}
	return array.Concatenate(pieces, mem)
}

// dataBytes is how many bytes the rows of an array take, the same for every
// way of cutting them.
func dataBytes(d arrow.ArrayData) int64 {
	n := int64(d.Len())
	switch t := d.DataType().(type) {
	case *arrow.DictionaryType:
		return 4 * n
	case arrow.ExtensionType:
		s := array.NewData(t.StorageType(), d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
		defer s.Release()
		return dataBytes(s)
	case *arrow.StructType:
		total := int64(0)
		for _, c := range d.Children() {
			cut := array.NewSliceData(c, int64(d.Offset()), int64(d.Offset())+n)
			total += dataBytes(cut)
			cut.Release()
		}
		return total
	case arrow.FixedWidthDataType:
		return n * int64((t.BitWidth()+7)/8)
	}
	arr := array.MakeFromData(d)
	defer arr.Release()
	switch a := arr.(type) {
	case array.ListLike:
		if n == 0 {
			return 0
		}
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(int(n) - 1)
		cut := array.NewSliceData(a.ListValues().Data(), from, to)
		defer cut.Release()
		return 4*n + dataBytes(cut)
	case array.BinaryLike:
		return 4*n + int64(len(a.ValueBytes()))
	case *array.StringView:
		return 4*n + viewBytes(a, a.Value)
	case *array.BinaryView:
		return 4*n + viewBytes(a, a.Value)
	}
	return 8 * n
}

func viewBytes[T string | []byte](a arrow.Array, value func(int) T) (total int64) {
	for i := range a.Len() {
		if a.IsValid(i) {
			total += int64(len(value(i)))
		}
	}
	return total
}
