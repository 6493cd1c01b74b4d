package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// flatFile is the groupEncoder of files all of whose columns are flat: numbers, as predictions and
// ids are, decimals, times, texts, booleans and bytes of a fixed width; or lists of numbers of 4 or
// 8 bytes. It encodes pages itself, straight from the batches and as they come: through arrow-go
// that took most of the time of writing them. Only encoded pages wait for the end of their row
// group. Page headers and the footer are arrow-go's.
type flatFile struct {
	out       *countingWriter
	group     *metadata.FileMetaDataBuilder // of the row group that is being written
	footer    footerBytes
	props     *parquet.WriterProperties
	mem       *budget
	codec     compress.Codec // nil leaves pages as they are
	sparing   bool           // column chunks that zstd hardly shrinks stay as they are
	encoders  chan struct{}  // see format.WriteOptions
	columns   []columnEncoder
	schema    *arrow.Schema // of what is encoded, where that is of other types than the batches; or nil
	names     []string
	texts     int       // columns of text
	vary      bool      // values have no common size, or may be long
	pageBytes int       // of values make a page
	groupRows int       // of a row group, where that is known; see groupRowsOf
	dense     []byte    // stepRows values without nulls, of one column at a time
	kept      pageStore // finished pages of all columns, of a file that does not vary
	last      pageStore // of such a file, the last page of the column chunk that is being written
	ending    bool      // a row group is
	pager     file.PageWriter
	groups    int
	failed    bool
}

// columnEncoder encodes a column, one column chunk after the other.
type columnEncoder interface {
	// add encodes n rows of an array, from row at on. dense has room for stepRows values
	// of 8 bytes.
	add(data arrow.ArrayData, at, n int, dense []byte) error
	// bytes is the size of such rows, the same for every way of cutting them.
	bytes(data arrow.ArrayData, at, n int) (int64, error)
	// write ends the column chunk, which is the i-th of its row group, and writes it.
	write(i int, meta *metadata.ColumnChunkMetaDataBuilder) error
	// free gives all buffers back.
	free()
}

// flatColumn is how a column's values are stored.
type flatColumn struct {
	name     string
	of, as   arrow.DataType // of the batches, and in which it is encoded
	nullable bool
	width    int // bytes of a value; 0 for texts and booleans
	encoding parquet.Encoding
	level    int // of compression
	order    pqschema.SortOrder
	physical parquet.Type
	levels   int16 // the greatest definition level
}

func (c *flatColumn) isList() bool {
	_, ok := c.as.(arrow.ListLikeType)
	return ok
}

// varies says whether values of a type that flatType gives have no common size, or may be long.
func varies(as arrow.DataType, width int) bool {
	_, list := as.(arrow.ListLikeType)
	return list || arrow.IsBaseBinary(as.ID()) || width > wordBytes
}

func (c *flatColumn) isText() bool { return c.physical == parquet.Types.ByteArray }

// countingWriter knows how much was written. It implements arrow-go's WriterTell.
type countingWriter struct {
	io.Writer
	n int64
}

// Tell says where the next byte comes.
func (w *countingWriter) Tell() int64 { return w.n }

// Write implements io.Writer.
func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.n += int64(n)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// flatColumns are the columns of a flatFile; ok is false where one is none.
func flatColumns(s *arrow.Schema, ps *pqschema.Schema, props *parquet.WriterProperties) (columns []flatColumn, ok bool) {
	for i, f := range s.Fields() {
		as, width, ok := flatType(f.Type)
		if !ok {
			return nil, false
		}
		c := ps.Column(i)
		columns = append(columns, flatColumn{
			name: f.Name, of: f.Type, as: as, nullable: f.Nullable, width: width, encoding: props.EncodingFor(c.Path()),
			level: props.CompressionLevelFor(c.Path()), order: c.SortOrder(), physical: c.PhysicalType(), levels: c.MaxDefinitionLevel(),
		})
	}
	return columns, true
}

// flatType is the type in which a flatFile encodes a column, and the width of its values, 0
// of texts and booleans.
func flatType(t arrow.DataType) (as arrow.DataType, width int, ok bool) {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return flatType(t.ValueType)
	case arrow.ExtensionType:
		return flatType(t.StorageType())
	case arrow.ListLikeType:
		if width, ok := listedWidth(t); ok {
			return t, width, true
		}
		return nil, 0, false
	case *arrow.StringViewType:
		return arrow.BinaryTypes.String, 0, true
	case *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary, 0, true
	case arrow.DecimalType:
		as := flatDecimal(t)
		return as, as.Bytes(), true
	case *arrow.TimestampType:
		if t.Unit == arrow.Second { // which Parquet does not have
			return &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: t.TimeZone}, 8, true
		}
	case *arrow.Time32Type:
		return arrow.FixedWidthTypes.Time32ms, 4, true
	}
	switch t.ID() {
	case arrow.STRING, arrow.BINARY, arrow.LARGE_STRING, arrow.LARGE_BINARY, arrow.BOOL:
		return t, 0, true
	case arrow.INT8, arrow.INT16, arrow.NULL:
		return arrow.PrimitiveTypes.Int32, 4, true
	case arrow.UINT8, arrow.UINT16:
		return arrow.PrimitiveTypes.Uint32, 4, true
	case arrow.DATE64:
		return arrow.FixedWidthTypes.Date32, 4, true
	case arrow.FLOAT16, arrow.FIXED_SIZE_BINARY:
		return t, t.(arrow.FixedWidthDataType).Bytes(), true
	}
	if !storedAsItIs(t) {
		return nil, 0, false
	}
	return t, t.(arrow.FixedWidthDataType).Bytes(), true
}

const (
	// filePageBytes are what the pages of all columns that are being filled take at most, as
	// long as leastPageBytes are enough for each.
	filePageBytes  = 16 << 20
	leastPageBytes = 16 << 10
)

// pageBytesOf are what a page has of values, in a file of so many columns.
func pageBytesOf(columns int) int { return min(max(filePageBytes/columns, leastPageBytes), pageBytes) }

// groupRowsOf is how many rows the row groups of a file of many columns of numbers have; 0 of
// another file.
func groupRowsOf(columns []flatColumn, most int64) int {
	if len(columns) < wideNumbers {
		return 0
	}
	row := int64(0)
	for _, c := range columns {
		if varies(c.as, c.width) {
			return 0
		}
		row += int64(max(c.width, 1)) // of a boolean too
	}
	blocks := func(bytes int64) int64 { return (bytes/row + wideBlockRows) / wideBlockRows * wideBlockRows }
	rows := blocks(RowGroupBytes / 2)
	if rows >= wideGroupRows {
		rows = blocks(RowGroupBytes)
	}
	return int(min(rows, most))
}

// pageBytesFor are what a page of a column has of values of a width. Where it is known how many
// rows a row group has, that is an equal part of a column chunk, or whole, all of it: what waits
// for the end of a row group is then little more than the pages that are being filled.
func (f *flatFile) pageBytesFor(width int) (bytes int, whole bool) {
	chunk := f.groupRows * width
	switch {
	case chunk == 0:
		return f.pageBytes, false
	case chunk <= pageBytes:
		return chunk, true
	}
	pages := (chunk + pageBytes - 1) / pageBytes
	step := stepsOf(width) * width
	return ((chunk+pages-1)/pages + step - 1) / step * step, false
}

// PageBytes are about what the pages take that are being filled, in a file of these columns with
// rows of so many bytes, beyond what of a row group waits.
func PageBytes(row int64, fields []arrow.Field) int64 {
	if len(fields) == 0 {
		return 0
	}
	if len(fields) >= wideNumbers && !slices.ContainsFunc(fields, fieldVaries) {
		return GroupBytes(row, fields) / 4 // they are what waits, but for classes of buffers
	}
	page := pageBytesOf(len(fields))
	return int64(len(fields)) * int64(page+page/4) // and their last steps, by classes of buffers
}

// fieldVaries says whether a column's values have no common size, or may be long.
func fieldVaries(f arrow.Field) bool {
	as, width, flat := flatType(f.Type)
	return !flat || varies(as, width)
}

// storedAsItIs says whether Parquet stores the bytes of the Arrow values.
func storedAsItIs(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.TimestampType:
		return t.Unit != arrow.Second // Parquet has no seconds
	case *arrow.Time32Type:
		return t.Unit != arrow.Second
	}
	switch t.ID() {
	case arrow.INT32, arrow.UINT32, arrow.INT64, arrow.UINT64, arrow.FLOAT32, arrow.FLOAT64,
		arrow.DATE32, arrow.TIME64, arrow.DURATION:
		return true
	}
	return false
}

func newFlatFile(w io.Writer, ps *pqschema.Schema, md arrow.Metadata, props *parquet.WriterProperties, columns []flatColumn, mem *budget) (*flatFile, error) {
	pairs := metadata.NewKeyValueMetadata()
	for i, key := range md.Keys() {
		_ = pairs.Append(key, md.Values()[i]) // what is not UTF-8 is left out, as pqarrow does
	}
	f := &flatFile{
		out: &countingWriter{Writer: w}, group: metadata.NewFileMetadataBuilder(ps, props, pairs),
		props: props, mem: mem,
	}
	if codec := props.Compression(); codec != compress.Codecs.Uncompressed {
		var err error
		if f.codec, err = compress.GetCodec(codec); err != nil {
			return nil, err
		}
	}
	if _, err := io.WriteString(f.out, magic); err != nil {
		return nil, err
	}
	f.pageBytes, f.groupRows = pageBytesOf(len(columns)), groupRowsOf(columns, props.MaxRowGroupLength())
	f.dense = mem.Allocate(8 * stepRows)
	fields, converts := make([]arrow.Field, len(columns)), false
	for i, c := range columns {
		if c.isText() {
			f.texts++
		}
		f.vary = f.vary || varies(c.as, c.width)
		fields[i] = arrow.Field{Name: c.name, Type: c.as, Nullable: c.nullable}
		converts = converts || !arrow.TypeEqual(c.as, c.of)
	}
	if converts {
		f.schema = arrow.NewSchema(fields, nil)
	}
	for _, c := range columns {
		f.names = append(f.names, c.name)
		f.columns = append(f.columns, f.encoderOf(c))
	}
	return f, nil
}

// encoderOf makes the encoder of a column.
func (f *flatFile) encoderOf(c flatColumn) columnEncoder {
	switch {
	case c.isList():
		return newListEncoder(f, c)
	case c.isText():
		return newTextEncoder(f, c)
	case c.physical == parquet.Types.Boolean:
		return newBoolEncoder(f, c)
	}
	return newNumberEncoder(f, c)
}

// convert makes what is encoded of a batch, which it borrows: the same but for columns that
// flatType gives another type.
func (f *flatFile) convert(batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	if f.schema == nil {
		batch.Retain()
		return batch, nil
	}
	columns := make([]arrow.Array, 0, batch.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, field := range f.schema.Fields() {
		c := batch.Column(i)
		if arrow.TypeEqual(c.DataType(), field.Type) {
			c.Retain()
		} else {
			var err error
			if c, err = toFlat(c, field.Type, f.mem); err != nil {
				return nil, f.columnError(i, err)
			}
		}
		columns = append(columns, c)
		if !field.Nullable && c.NullN() > 0 { // a dictionary's value
			return nil, f.columnError(i, errors.New("it is not nullable and has nulls"))
		}
	}
	return array.NewRecordBatch(f.schema, columns, batch.NumRows()), nil
}

// until is how many of the n rows of a batch, from row at on, come to so many bytes: all of
// them if they do not.
func (f *flatFile) until(batch arrow.RecordBatch, at, n int, bytes int64) (rows int, err error) {
	if all, err := f.bytes(batch, at, n); err != nil || all < bytes {
		return n, err
	}
	rows = 1 + sort.Search(n-1, func(k int) bool {
		size, sizeErr := f.bytes(batch, at, k+1)
		err = errors.Join(err, sizeErr)
		return size >= bytes
	})
	return rows, err
}

// add implements groupEncoder.
func (f *flatFile) add(batch arrow.RecordBatch, at, n int) (bytes int64, err error) {
	f.failed = true // until the rows are in: a panic, too, leaves the file without a footer
	bytes, err = f.bytes(batch, at, n)
	if err == nil {
		err = f.encode(batch, at, n, bytes)
	}
	f.failed = err != nil
	return bytes, err
}

// bytes is the size of n rows of a batch, from row at on.
func (f *flatFile) bytes(batch arrow.RecordBatch, at, n int) (total int64, err error) {
	for i, c := range f.columns {
		bytes, err := c.bytes(batch.Column(i).Data(), at, n)
		if err != nil {
			return 0, f.columnError(i, err)
		}
		total += bytes
	}
	return total, nil
}

// columnError names the column.
func (f *flatFile) columnError(i int, err error) error {
	return fmt.Errorf("write column %q: %w", f.names[i], err)
}

// endGroup implements groupEncoder.
func (f *flatFile) endGroup(rows int) error {
	f.failed, f.ending = true, true
	defer func() { f.kept.free(f.mem); f.ending = false }()
	group := f.group.AppendRowGroup()
	for i, c := range f.columns {
		if err := c.write(i, group.NextColumnChunk()); err != nil {
			return f.columnError(i, err)
		}
	}
	group.SetNumRows(rows)
	if err := group.Finish(0, 0); err != nil { // the footer counts them
		return fmt.Errorf("end row group: %w", err)
	}
	if err := f.addToFooter(); err != nil {
		return err
	}
	f.groups++
	f.failed = false
	return nil
}

// addToFooter takes the row group that was written, if there is one, into the footer.
func (f *flatFile) addToFooter() error {
	one, err := f.group.Finish()
	if err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	if err := f.footer.add(one); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	return nil
}

// close implements groupEncoder.
func (f *flatFile) close() error {
	for _, c := range f.columns {
		c.free()
	}
	f.kept.free(f.mem)
	f.mem.Free(f.dense)
	if f.failed {
		return errors.New("a row group is not whole")
	}
	if f.groups == 0 {
		if err := f.addToFooter(); err != nil {
			return err
		}
	}
	return f.footer.writeTo(f.out)
}
