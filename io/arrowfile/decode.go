package arrowfile

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/mapped"
)

// loader walks the nodes and buffers of one batch, in the order in which the
// schema's fields lie in it, and builds the columns that are asked for.
//
// Everything that it makes on the way is noted in buffers and datas and
// released by release, on every path; what it returns has a reference more.
type loader struct {
	file  *mapped.File   // that the body lies in; nil where it was received
	whole *memory.Buffer // the body, where it was received
	mem   *budget
	zstd  func() (*zstd.Decoder, error)
	dicts func(id int64) (*array.Data, error)

	meta *batchMeta
	body []byte // of the batch, capped at its end
	swap bool   // numbers are stored in the other byte order

	node, buf, view int   // how many of each are used up
	populated       int64 // bytes
	asked           int64 // bytes of the body
	dropped         int64 // bytes of the body whose pages announced has given back

	buffers []*memory.Buffer
	datas   []*array.Data
}

// newLoader prepares to load a batch. The caller holds a reference of file.
func newLoader(file *mapped.File, meta *batchMeta, swapped bool) *loader {
	off := meta.bodyOffset()
	return &loader{file: file, meta: meta, body: file.Bytes()[off : off+meta.body : off+meta.body], swap: swapped}
}

// newReceivedLoader prepares to load a batch whose body is a buffer, which the caller
// holds a reference of.
func newReceivedLoader(body *memory.Buffer, meta *batchMeta, swapped bool) *loader {
	return &loader{whole: body, meta: meta, body: body.Bytes()[:meta.body:meta.body], swap: swapped}
}

func (l *loader) release() {
	for _, d := range l.datas {
		d.Release()
	}
	for _, b := range l.buffers {
		b.Release()
	}
	l.datas, l.buffers = nil, nil
}

// nextNode uses up a field node and checks it alone.
func (l *loader) nextNode() (node, error) {
	if l.node >= len(l.meta.nodes) {
		return node{}, damaged("%d field nodes; the schema needs more", len(l.meta.nodes))
	}
	n := l.meta.nodes[l.node]
	l.node++
	if n.rows < 0 || n.nulls < 0 || n.nulls > n.rows {
		return n, damaged("field node %d has %d rows and %d nulls", l.node-1, n.rows, n.nulls)
	}
	return n, nil
}

func (l *loader) nextBuffer() (extent, error) {
	if l.buf >= len(l.meta.buffers) {
		return extent{}, damaged("%d buffers; the schema needs more", len(l.meta.buffers))
	}
	e := l.meta.buffers[l.buf]
	l.buf++
	return e, nil
}

// nextVariadic uses up the number of data buffers of a view column.
func (l *loader) nextVariadic() (int, error) {
	if l.view >= len(l.meta.variadic) {
		return 0, damaged("%d counts of data buffers; the schema needs more", len(l.meta.variadic))
	}
	n := l.meta.variadic[l.view]
	l.view++
	if n < 0 || n > int64(len(l.meta.buffers)-l.buf) {
		return 0, damaged("a column of views has %d data buffers; %d are left", n, len(l.meta.buffers)-l.buf)
	}
	return int(n), nil
}

// hasValidity reports whether columns of a type have a validity bitmap. Up to
// V4 all but nulls had one.
func (l *loader) hasValidity(id arrow.Type) bool {
	switch id {
	case arrow.NULL:
		return false
	case arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
		return l.meta.version < versionV5
	default:
		return true
	}
}

// ownBuffers is how many buffers besides validity a column has itself, without
// the data buffers of views.
func ownBuffers(id arrow.Type) int {
	switch id {
	case arrow.NULL, arrow.RUN_END_ENCODED, arrow.STRUCT, arrow.FIXED_SIZE_LIST:
		return 0
	case arrow.STRING, arrow.BINARY, arrow.LARGE_STRING, arrow.LARGE_BINARY, arrow.DENSE_UNION, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW:
		return 2
	default:
		return 1
	}
}

// skip uses up a column without touching its buffers.
func (l *loader) skip(c *column) (node, error) {
	n, err := l.nextNode()
	if err != nil {
		return n, err
	}
	id := c.storage.ID()
	count := ownBuffers(id)
	if l.hasValidity(id) {
		count++
	}
	for range count {
		if _, err := l.nextBuffer(); err != nil {
			return n, err
		}
	}
	if id == arrow.STRING_VIEW || id == arrow.BINARY_VIEW {
		more, err := l.nextVariadic()
		if err != nil {
			return n, err
		}
		l.buf += more
	}
	for i := range c.children {
		if _, err := l.skip(&c.children[i]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// finish checks that the columns have used up the batch.
func (l *loader) finish() error {
	if l.node != len(l.meta.nodes) || l.buf != len(l.meta.buffers) || l.view != len(l.meta.variadic) {
		return damaged("the batch has %d field nodes, %d buffers and %d counts of data buffers; the schema needs %d, %d and %d",
			len(l.meta.nodes), len(l.meta.buffers), len(l.meta.variadic), l.node, l.buf, l.view)
	}
	return nil
}

// column builds a column. The loader owns the reference returned.
func (l *loader) column(c *column, dtype arrow.DataType) (*array.Data, error) {
	n, err := l.nextNode()
	if err != nil {
		return nil, err
	}
	if n.rows > maxRows {
		return nil, unsupported("an array of %d values", n.rows)
	}
	id := c.storage.ID()
	var validity *memory.Buffer
	if l.hasValidity(id) {
		if validity, err = l.validity(n, id); err != nil {
			return nil, err
		}
	}
	p := parts{column: c, dtype: dtype, rows: n.rows, nulls: n.nulls, validity: validity}
	return l.values(p)
}

// maxRows keeps rows times any width within an int64.
const maxRows = 1 << 48

// validity reads the bitmap of a column: nil when no row is null.
func (l *loader) validity(n node, id arrow.Type) (*memory.Buffer, error) {
	if n.nulls == 0 {
		_, err := l.nextBuffer()
		return nil, err
	}
	switch id {
	case arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
		return nil, unsupported("a union or run-end encoded column with a validity bitmap (before Arrow 1.0)")
	}
	b, err := l.buffer(bitutil.BytesForBits(n.rows), bytesWord)
	if err != nil {
		return nil, err
	}
	return b, checkNulls(n, int64(bitutil.CountSetBits(b.Bytes(), 0, int(n.rows))))
}

// parts is a column under construction.
type parts struct {
	*column

	dtype       arrow.DataType
	rows, nulls int64
	validity    *memory.Buffer
	first       int64 // rows of the batch before it, of a piece
}

// valid reports whether row i is not null.
func (p *parts) valid(i int) bool {
	return p.validity == nil || bitutil.BitIsSet(p.validity.Bytes(), i)
}

// data makes the array data of a column. The loader owns the reference.
func (l *loader) data(p parts, buffers []*memory.Buffer, children []*array.Data, dict *array.Data) *array.Data {
	kids := make([]arrow.ArrayData, len(children))
	for i, c := range children {
		kids[i] = c
	}
	d := array.NewData(p.dtype, int(p.rows), buffers, kids, int(p.nulls), 0)
	if dict != nil {
		d.SetDictionary(dict)
	}
	l.datas = append(l.datas, d)
	return d
}

// fixed reads a buffer of one number of a width for each row.
func (l *loader) fixed(rows int64, width int, w word) (*memory.Buffer, error) {
	need, err := fixedBytes(rows, width)
	if err != nil {
		return nil, err
	}
	return l.buffer(need, w)
}

// fixedBytes is the size of rows numbers of a width.
func fixedBytes(rows int64, width int) (int64, error) {
	hi, need := bits.Mul64(uint64(rows), uint64(width))
	if hi != 0 || need > 1<<62 {
		return 0, damaged("%d rows of %d bytes", rows, width)
	}
	return int64(need), nil
}

// wordOf is how the values of a fixed-width type are stored.
func wordOf(dt arrow.DataType) word {
	switch dt := dt.(type) {
	case *arrow.FixedSizeBinaryType:
		return bytesWord
	case *arrow.MonthDayNanoIntervalType:
		return monthDayNano
	case *arrow.DayTimeIntervalType:
		return 4
	case arrow.FixedWidthDataType:
		return word(dt.Bytes())
	default:
		return bytesWord
	}
}

// values reads what follows the validity of a column.
func (l *loader) values(p parts) (*array.Data, error) {
	switch dt := p.storage.(type) {
	case *arrow.NullType:
		p.nulls = p.rows
		return l.data(p, []*memory.Buffer{nil}, nil, nil), nil
	case *arrow.BooleanType:
		b, err := l.buffer(bitutil.BytesForBits(p.rows), bytesWord)
		if err != nil {
			return nil, err
		}
		return l.data(p, []*memory.Buffer{p.validity, b}, nil, nil), nil
	case *arrow.DictionaryType:
		return l.dictionary(p, dt)
	case *arrow.StringType, *arrow.BinaryType:
		return l.text(p, 4)
	case *arrow.LargeStringType, *arrow.LargeBinaryType:
		return l.text(p, 8)
	case *arrow.StringViewType, *arrow.BinaryViewType:
		return l.views(p)
	case *arrow.ListType:
		return l.list(p, 4, dt.Elem())
	case *arrow.MapType:
		return l.list(p, 4, dt.Elem())
	case *arrow.LargeListType:
		return l.list(p, 8, dt.Elem())
	case *arrow.ListViewType:
		return l.listView(p, 4, dt.Elem())
	case *arrow.LargeListViewType:
		return l.listView(p, 8, dt.Elem())
	case *arrow.FixedSizeListType:
		return l.fixedSizeList(p, dt)
	case *arrow.StructType:
		return l.structure(p, dt)
	case arrow.UnionType:
		return l.union(p, dt)
	case *arrow.RunEndEncodedType:
		return l.runs(p, dt)
	case arrow.FixedWidthDataType:
		b, err := l.fixed(p.rows, dt.Bytes(), wordOf(dt))
		if err != nil {
			return nil, err
		}
		return l.data(p, []*memory.Buffer{p.validity, b}, nil, nil), nil
	default:
		return nil, unsupported("type %s", dt)
	}
}

// dictionary reads the indices of a dictionary column.
func (l *loader) dictionary(p parts, dt *arrow.DictionaryType) (*array.Data, error) {
	width := dt.IndexType.(arrow.FixedWidthDataType).Bytes()
	indices, err := l.fixed(p.rows, width, word(width))
	if err != nil {
		return nil, err
	}
	dict, err := l.dictionaryOf(p.column)
	if err != nil {
		return nil, err
	}
	if err := checkIndices(&p, dt.IndexType, indices.Bytes(), uint64(dict.Len())); err != nil {
		return nil, err
	}
	return l.data(p, []*memory.Buffer{p.validity, indices}, nil, dict), nil
}

// dictionaryOf loads the values of a dictionary column. The loader owns the reference.
func (l *loader) dictionaryOf(c *column) (*array.Data, error) {
	dict, err := l.dicts(c.dictID)
	if err != nil {
		return nil, fmt.Errorf("dictionary %d: %w", c.dictID, err)
	}
	l.datas = append(l.datas, dict)
	return dict, nil
}
