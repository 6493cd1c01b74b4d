package arrowfile

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/nulls"
	"github.com/millrace/millrace/io/format"
)

// maxMergedBytes bounds the values that a file's dictionaries gain beyond
// their first batch's.
const maxMergedBytes = 256 << 20

// merger brings the dictionaries of all batches of a file together, since a
// file has one dictionary for each column. The first batch's dictionary stays
// as it is; values that later ones add are appended, in the order in which they
// are met, and indices are translated.
type merger struct {
	mem   memory.Allocator
	dicts []*merged // in the order in which a walk of the schema meets them
}

// merged is one dictionary in the making.
type merged struct {
	values  arrow.DataType
	ordered bool
	most    int         // values that the index type can count
	empty   *array.Data // stands for the dictionary until the file is closed

	first arrow.Array // of the first batch; nil before it
	seen  map[string]int
	added []arrow.Array
	size  int
	bytes int

	// The dictionary met last, and what its indices become; nil for the same.
	last      arrow.ArrayData
	translate []int
}

// newMerger returns nil for a schema without dictionaries.
func newMerger(schema *arrow.Schema, mem memory.Allocator) (_ *merger, err error) {
	m := &merger{mem: mem}
	defer func() {
		if v := recover(); v != nil { // arrow-go builds no arrays of some type
			m.release()
			err = fmt.Errorf("write Arrow: %w: %v", format.ErrColumnType, v)
		}
	}()
	for _, f := range schema.Fields() {
		m.find(f.Type)
	}
	if len(m.dicts) == 0 {
		return nil, nil
	}
	return m, nil
}

func (m *merger) find(t arrow.DataType) {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		empty := withoutRows(t.ValueType, m.mem)
		defer empty.Release()
		data := empty.Data().(*array.Data)
		data.Retain()
		m.dicts = append(m.dicts, &merged{values: t.ValueType, ordered: t.Ordered, most: mostValues(t.IndexType), empty: data})
	case arrow.ExtensionType:
		m.find(t.StorageType())
	case arrow.NestedType:
		for _, f := range t.Fields() {
			m.find(f.Type)
		}
	}
}

// mostValues is how many values an index type can tell apart.
func mostValues(t arrow.DataType) int {
	switch t.ID() {
	case arrow.INT8:
		return 1 << 7
	case arrow.UINT8:
		return 1 << 8
	case arrow.INT16:
		return 1 << 15
	case arrow.UINT16:
		return 1 << 16
	default:
		return math.MaxInt32
	}
}

func (m *merger) release() {
	for _, d := range m.dicts {
		d.empty.Release()
		if d.first != nil {
			d.first.Release()
		}
		if d.last != nil {
			d.last.Release()
		}
		for _, a := range d.added {
			a.Release()
		}
	}
	m.dicts = nil
}

// batch returns a batch whose indices count in the merged dictionaries, and
// whose dictionaries are the empty ones. The caller releases it.
func (m *merger) batch(b arrow.RecordBatch) (arrow.RecordBatch, error) {
	return m.rebuild(b, func(d *merged, data arrow.ArrayData) (arrow.ArrayData, error) {
		translate, err := d.add(data.Dictionary(), m.mem)
		if err != nil {
			return nil, err
		}
		return m.translated(data, d.empty, translate)
	})
}

// whole returns a batch without rows that has the dictionaries as they are now;
// nil before the first batch. The caller releases it.
func (m *merger) whole(schema *arrow.Schema) (arrow.RecordBatch, error) {
	if m.dicts[0].first == nil {
		return nil, nil
	}
	none := EmptyRecord(schema, m.mem)
	defer none.Release()
	return m.rebuild(none, func(d *merged, data arrow.ArrayData) (arrow.ArrayData, error) {
		dict, err := d.all(m.mem)
		if err != nil {
			return nil, err
		}
		defer dict.Release()
		return array.NewDataWithDictionary(data.DataType(), 0, data.Buffers(), 0, 0, dict.Data().(*array.Data)), nil
	})
}

// EmptyRecord is a record batch of no rows, which the caller releases.
func EmptyRecord(schema *arrow.Schema, mem memory.Allocator) arrow.RecordBatch {
	columns := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = withoutRows(f.Type, mem)
		defer columns[i].Release()
	}
	return array.NewRecordBatch(schema, columns, 0)
}

// withoutRows is an array without rows, which the caller releases. It is cut from one that
// has a row: of none, arrow-go makes the offsets of large lists within lists and maps too
// short, and its writer panics at them (18.8.0).
func withoutRows(t arrow.DataType, mem memory.Allocator) arrow.Array {
	row := nulls.Array(mem, t, 1)
	defer row.Release()
	return array.NewSlice(row, 0, 0)
}

// all are the values as they are now; the caller releases them.
func (d *merged) all(mem memory.Allocator) (arrow.Array, error) {
	if len(d.added) == 0 {
		d.first.Retain()
		return d.first, nil
	}
	return array.Concatenate(append([]arrow.Array{d.first}, d.added...), mem)
}

// UnderOneDictionary gives batches of one schema, one at least, in which a column's dictionary
// is the same in all of them, so that they can be joined: arrow-go joins others for some types
// of values only. The caller releases them. Its error wraps format.ErrColumnType where
// dictionaries cannot be one.
func UnderOneDictionary(batches []arrow.RecordBatch, mem memory.Allocator) (alike []arrow.RecordBatch, err error) {
	m, err := newMerger(batches[0].Schema(), mem)
	if err != nil {
		return nil, err
	}
	alike = slices.Clone(batches)
	for _, b := range alike {
		b.Retain()
	}
	if m == nil {
		return alike, nil
	}
	defer m.release()
	all := make(map[*merged]arrow.Array, len(m.dicts))
	defer func() {
		for _, a := range all {
			a.Release()
		}
		if err != nil {
			for _, b := range alike {
				b.Release()
			}
			alike = nil
		}
	}()
	change := func(to func(arrow.RecordBatch) (arrow.RecordBatch, error)) error {
		for i, b := range alike {
			changed, err := to(b)
			if err != nil {
				return err
			}
			b.Release()
			alike[i] = changed
		}
		return nil
	}
	if err := change(m.batch); err != nil {
		return alike, err
	}
	for _, d := range m.dicts {
		if all[d], err = d.all(mem); err != nil {
			return alike, err
		}
	}
	return alike, change(func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
		return m.rebuild(b, func(d *merged, data arrow.ArrayData) (arrow.ArrayData, error) {
			return array.NewDataWithDictionary(data.DataType(), data.Len(), data.Buffers(), data.NullN(), data.Offset(), all[d].Data().(*array.Data)), nil
		})
	})
}

// rebuild replaces every dictionary array within a batch.
func (m *merger) rebuild(b arrow.RecordBatch, replace func(*merged, arrow.ArrayData) (arrow.ArrayData, error)) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, b.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	next := 0
	for i, c := range b.Columns() {
		data, err := m.walk(c.Data(), c.DataType(), &next, replace)
		if err != nil {
			return nil, fmt.Errorf("column %q, %s: %w", b.ColumnName(i), c.DataType(), err)
		}
		columns = append(columns, array.MakeFromData(data))
		data.Release()
	}
	return array.NewRecordBatch(b.Schema(), columns, b.NumRows()), nil
}

// walk replaces the dictionary arrays within data, whose storage has type t.
func (m *merger) walk(data arrow.ArrayData, t arrow.DataType, next *int, replace func(*merged, arrow.ArrayData) (arrow.ArrayData, error)) (arrow.ArrayData, error) {
	switch t := t.(type) {
	case arrow.ExtensionType:
		return m.walk(data, t.StorageType(), next, replace)
	case *arrow.DictionaryType:
		*next++
		return replace(m.dicts[*next-1], data)
	case arrow.NestedType:
		before := *next
		children := make([]arrow.ArrayData, 0, len(data.Children()))
		defer func() {
			for _, c := range children {
				c.Release()
			}
		}()
		for _, c := range data.Children() {
			child, err := m.walk(c, c.DataType(), next, replace)
			if err != nil {
				return nil, err
			}
			children = append(children, child)
		}
		if *next != before {
			return array.NewData(data.DataType(), data.Len(), data.Buffers(), children, data.NullN(), data.Offset()), nil
		}
	}
	data.Retain()
	return data, nil
}

// add brings a dictionary in and returns what its indices become; nil where
// they stay.
func (d *merged) add(dict arrow.ArrayData, mem memory.Allocator) ([]int, error) {
	if dict == d.last {
		return d.translate, nil
	}
	arr := array.MakeFromData(dict)
	defer arr.Release()
	var translate []int
	switch {
	case d.first == nil:
		arr.Retain()
		d.first, d.size = arr, arr.Len()
	case array.Equal(d.first, arr):
	case d.ordered:
		return nil, fmt.Errorf("%w: an ordered dictionary that changes from batch to batch has no common order; write the column as its values", format.ErrColumnType)
	default:
		var err error
		if translate, err = d.merge(arr, mem); err != nil {
			return nil, err
		}
	}
	if d.last != nil {
		d.last.Release()
	}
	dict.Retain()
	d.last, d.translate = dict, translate
	return translate, nil
}

func (d *merged) merge(arr arrow.Array, mem memory.Allocator) ([]int, error) {
	key, err := keyOf(arr)
	if err != nil {
		return nil, err
	}
	if d.seen == nil {
		firstKey, err := keyOf(d.first)
		if err != nil {
			return nil, err
		}
		d.seen = make(map[string]int, d.first.Len())
		for i := range d.first.Len() {
			k := string(firstKey(i))
			if _, twice := d.seen[k]; !twice {
				d.seen[k] = i
			}
		}
	}
	translate := make([]int, arr.Len())
	var fresh []arrow.Array // runs of values that are new
	defer func() {
		for _, a := range fresh {
			a.Release()
		}
	}()
	from := -1 // start of such a run
	cut := func(end int) {
		if from >= 0 {
			fresh = append(fresh, array.NewSlice(arr, int64(from), int64(end)))
		}
		from = -1
	}
	for i := range translate {
		k := key(i)
		at, known := d.seen[string(k)]
		if known {
			cut(i)
			translate[i] = at
			continue
		}
		if from < 0 {
			from = i
		}
		d.bytes += len(k)
		if d.size == d.most || d.bytes > maxMergedBytes {
			return nil, fmt.Errorf("%w: the dictionaries of one file have more than %d values, or %d bytes, together; write the column as its values, or fewer rows a file",
				format.ErrColumnType, d.most, maxMergedBytes)
		}
		d.seen[string(k)], translate[i] = d.size, d.size
		d.size++
	}
	cut(len(translate))
	if len(fresh) > 0 {
		// A copy: the batch's own memory shall go.
		copied, err := array.Concatenate(fresh, mem)
		if err != nil {
			return nil, err
		}
		d.added = append(d.added, copied)
	}
	return translate, nil
}

// keyOf gives bytes that are equal where two values of arrays of one type are.
func keyOf(arr arrow.Array) (func(i int) []byte, error) {
	var value func(i int) []byte
	switch a := arr.(type) {
	case array.ExtensionArray:
		return keyOf(a.Storage())
	case *array.Null:
	case *array.Boolean:
		value = func(i int) []byte {
			if a.Value(i) {
				return []byte{1}
			}
			return []byte{0}
		}
	case interface{ Value(i int) string }:
		value = func(i int) []byte { return []byte(a.Value(i)) }
	case interface{ Value(i int) []byte }:
		value = a.Value
	default:
		t, fixed := arr.DataType().(arrow.FixedWidthDataType)
		if _, nested := arr.DataType().(arrow.NestedType); !fixed || nested || arr.DataType().ID() == arrow.DICTIONARY {
			return nil, fmt.Errorf("%w: dictionaries of %s that change from batch to batch cannot be merged into the one that a file has; write the column as its values",
				format.ErrColumnType, arr.DataType())
		}
		if arr.Len() == 0 {
			break // and perhaps no buffer
		}
		width, offset, bytes := t.BitWidth()/8, arr.Data().Offset(), arr.Data().Buffers()[1].Bytes()
		value = func(i int) []byte { return bytes[(offset+i)*width : (offset+i+1)*width] }
	}
	var key []byte
	return func(i int) []byte {
		if arr.IsNull(i) {
			return nil
		}
		key = append(append(key[:0], 'v'), value(i)...)
		return key
	}, nil
}

// translated is a dictionary array over another dictionary. It keeps the offset
// of data, for validity and parents count with it.
func (m *merger) translated(data arrow.ArrayData, dict *array.Data, translate []int) (arrow.ArrayData, error) {
	buffers := data.Buffers()
	if translate != nil && data.Len() > 0 { // no rows may have no buffer
		width := data.DataType().(*arrow.DictionaryType).IndexType.(arrow.FixedWidthDataType).BitWidth() / 8
		out := memory.NewResizableBuffer(m.mem)
		defer out.Release()
		out.Resize((data.Offset() + data.Len()) * width)
		clear(out.Bytes())
		from, to := data.Offset(), data.Offset()+data.Len()
		src, dst := buffers[1].Bytes(), out.Bytes()
		var ok bool
		switch width {
		case 1:
			ok = translateAll(dst[from:to], src[from:to], translate)
		case 2:
			ok = translateAll(arrow.Uint16Traits.CastFromBytes(dst)[from:to], arrow.Uint16Traits.CastFromBytes(src)[from:to], translate)
		case 4:
			ok = translateAll(arrow.Uint32Traits.CastFromBytes(dst)[from:to], arrow.Uint32Traits.CastFromBytes(src)[from:to], translate)
		default:
			ok = translateAll(arrow.Uint64Traits.CastFromBytes(dst)[from:to], arrow.Uint64Traits.CastFromBytes(src)[from:to], translate)
		}
		if !ok && data.NullN() == 0 {
			return nil, errors.New("an index lies outside of its dictionary")
		}
		buffers = []*memory.Buffer{buffers[0], out}
	}
	return array.NewDataWithDictionary(data.DataType(), data.Len(), buffers, data.NullN(), data.Offset(), dict), nil
}

// translateAll reports false where an index has no translation, as that of a
// null may; it becomes 0.
func translateAll[T uint8 | uint16 | uint32 | uint64](dst, src []T, translate []int) bool {
	ok := true
	for i, at := range src {
		if uint64(at) >= uint64(len(translate)) {
			ok = false
			continue
		}
		dst[i] = T(translate[at])
	}
	return ok
}
