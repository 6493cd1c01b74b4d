package parquetfile

import (
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/storage"
)

// slots are the values of a column by slot: an array's own, or those that the
// indices of a dictionary stand for.
type slots struct {
	n      int
	values arrow.Array
	at     func(slot int) (value int, valid bool)
}

func slotsOf(a arrow.Array) slots {
	return slots{a.Len(), a, func(i int) (int, bool) { return i, a.IsValid(i) }}
}

func slotsOfDictionary(a *array.Dictionary) slots {
	values := storage.Array(a.Dictionary())
	return slots{a.Len(), values, func(i int) (int, bool) {
		if a.IsNull(i) {
			return 0, false
		}
		at := a.GetValueIndex(i)
		return at, values.IsValid(at)
	}}
}

// plain gives views as strings and small decimals as those of 128 bits; ok is
// false where the values are neither. The caller releases the array.
func (s slots) plain(stored arrow.DataType, mem memory.Allocator) (out arrow.Array, ok bool, err error) {
	switch v := s.values.(type) {
	case *array.StringView:
		out, err = joinTexts[int32](s, v.Value, stored, mem)
	case *array.BinaryView:
		out, err = joinTexts[int32](s, v.Value, stored, mem)
	case *array.Decimal32:
		out = widen(s, func(i int) int64 { return int64(v.Value(i)) }, stored, mem)
	case *array.Decimal64:
		out = widen(s, func(i int) int64 { return int64(v.Value(i)) }, stored, mem)
	default:
		return nil, false, nil
	}
	return out, true, err
}

// texts gives the texts and bytes of a dictionary; ok is false where its values are neither.
// Arrow-go's Take, which does the others, panics on a goroutine of its own where values
// that are taken are longer than the dictionary's on average (18.8.0).
func (s slots) texts(stored arrow.DataType, mem memory.Allocator) (out arrow.Array, ok bool, err error) {
	switch v := s.values.(type) {
	case *array.String:
		out, err = joinTexts[int32](s, v.Value, stored, mem)
	case *array.Binary:
		out, err = joinTexts[int32](s, v.Value, stored, mem)
	case *array.LargeString:
		out, err = joinTexts[int64](s, v.Value, stored, mem)
	case *array.LargeBinary:
		out, err = joinTexts[int64](s, v.Value, stored, mem)
	default:
		return nil, false, nil
	}
	return out, true, err
}

// validity is the bitmap of the slots, and how many are null; there is no
// bitmap without nulls.
func (s slots) validity(mem memory.Allocator) (*memory.Buffer, int) {
	bits := memory.NewResizableBuffer(mem)
	bits.Resize(int(bitutil.BytesForBits(int64(s.n))))
	clear(bits.Bytes())
	nulls := 0
	for i := range s.n {
		if _, valid := s.at(i); valid {
			bitutil.SetBit(bits.Bytes(), i)
		} else {
			nulls++
		}
	}
	if nulls == 0 {
		bits.Release()
		return nil, 0
	}
	return bits, nulls
}

// array makes an array of buffers after the validity, which it takes over.
func (s slots) array(t arrow.DataType, mem memory.Allocator, buffers ...*memory.Buffer) arrow.Array {
	validity, nulls := s.validity(mem)
	all := append([]*memory.Buffer{validity}, buffers...)
	defer func() {
		for _, b := range all {
			if b != nil {
				b.Release()
			}
		}
	}()
	data := array.NewData(t, s.n, all, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// joinTexts makes an array of texts or bytes, with ends of the stored type's width.
func joinTexts[O int32 | int64, T string | []byte](s slots, value func(int) T, stored arrow.DataType, mem memory.Allocator) (arrow.Array, error) {
	total := 0
	for i := range s.n {
		if at, valid := s.at(i); valid {
			total += len(value(at))
		}
	}
	if int64(O(total)) != int64(total) {
		return nil, errors.New("more than 2 GiB of strings in neighbouring rows")
	}
	offsets, data := memory.NewResizableBuffer(mem), memory.NewResizableBuffer(mem)
	offsets.Resize(arrow.GetDataType[O]().(arrow.FixedWidthDataType).Bytes() * (s.n + 1))
	data.Resize(total)
	ends, bytes, end := arrow.GetData[O](offsets.Bytes()), data.Bytes(), 0
	ends[0] = 0
	for i := range s.n {
		if at, valid := s.at(i); valid {
			end += copy(bytes[end:], value(at))
		}
		ends[i+1] = O(end)
	}
	return s.array(stored, mem, offsets, data), nil
}

func widen(s slots, value func(int) int64, stored arrow.DataType, mem memory.Allocator) arrow.Array {
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(arrow.Decimal128Traits.BytesRequired(s.n))
	wide := arrow.Decimal128Traits.CastFromBytes(buffer.Bytes())
	for i := range s.n {
		wide[i] = decimal128.Num{}
		if at, valid := s.at(i); valid {
			wide[i] = decimal128.FromI64(value(at))
		}
	}
	return s.array(stored, mem, buffer)
}

// keptType is the type that the schema kept in the file names: the column's
// own, but for types that not every reader of Parquet knows. They stand as what
// they are stored as. So do dictionaries of anything but texts and bytes: named as such,
// their values lose their zone or are read as integers.
func keptType(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String
	case *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary
	case *arrow.Decimal32Type:
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
	case *arrow.Decimal64Type:
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
	case *arrow.DictionaryType:
		values := keptType(t.ValueType)
		if _, texts := values.(arrow.BinaryDataType); !texts { // of which alone readers make dictionaries again
			return values
		}
		return &arrow.DictionaryType{IndexType: t.IndexType, ValueType: values, Ordered: t.Ordered}
	case *arrow.ListType:
		return arrow.ListOfField(keptField(t.ElemField()))
	case *arrow.LargeListType:
		return arrow.LargeListOfField(keptField(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), keptField(t.ElemField()))
	case *arrow.MapType:
		m := arrow.MapOfFields(keptField(t.KeyField()), keptField(t.ItemField()))
		m.KeysSorted = t.KeysSorted
		return m
	case *arrow.StructType:
		fields := make([]arrow.Field, t.NumFields())
		for i, f := range t.Fields() {
			fields[i] = keptField(f)
		}
		return arrow.StructOf(fields...)
	case arrow.ExtensionType:
		storage := keptType(t.StorageType())
		if arrow.TypeEqual(storage, t.StorageType()) {
			return t
		}
		if ext, err := t.Deserialize(storage, t.Serialize()); err == nil {
			return ext
		}
		return storage
	}
	return t
}

func keptField(f arrow.Field) arrow.Field {
	if t := keptType(f.Type); !arrow.TypeEqual(t, f.Type) {
		f.Type = t
	}
	return f
}
