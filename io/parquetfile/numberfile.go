package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// numberFile is the groupEncoder of files all of whose columns are flat numbers
// of 4 or 8 bytes, as predictions and their ids are. It encodes pages itself,
// straight from the batches and as they come: through arrow-go that took most of
// the time of writing them. Only encoded pages wait for the end of their row
// group. Page headers and the footer are arrow-go's.
type numberFile struct {
	out     *countingWriter
	footer  *metadata.FileMetaDataBuilder
	props   *parquet.WriterProperties
	mem     *budget
	codec   compress.Codec // nil leaves pages as they are
	sparing bool           // column chunks that zstd hardly shrinks stay as they are
	chunks  []*chunkEncoder
	dense   []byte // stepRows values without nulls, of one column at a time
	pager   file.PageWriter
	groups  int
	failed  bool
}

// numberColumn is how a column's values are stored.
type numberColumn struct {
	name     string
	nullable bool
	width    int // bytes of a value
	encoding parquet.Encoding
	level    int // of compression
	order    pqschema.SortOrder
	physical parquet.Type
}

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

// numberColumns are the columns of a numberFile; ok is false where one is none.
func numberColumns(s *arrow.Schema, ps *pqschema.Schema, props *parquet.WriterProperties) (columns []numberColumn, ok bool) {
	for i, f := range s.Fields() {
		if !storedAsItIs(f.Type) {
			return nil, false
		}
		c := ps.Column(i)
		columns = append(columns, numberColumn{
			name: f.Name, nullable: f.Nullable, width: f.Type.(arrow.FixedWidthDataType).Bytes(), encoding: props.EncodingFor(c.Path()),
			level: props.CompressionLevelFor(c.Path()), order: c.SortOrder(), physical: c.PhysicalType(),
		})
	}
	return columns, true
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

func newNumberFile(w io.Writer, ps *pqschema.Schema, md arrow.Metadata, props *parquet.WriterProperties, columns []numberColumn, mem *budget) (*numberFile, error) {
	pairs := metadata.NewKeyValueMetadata()
	for i, key := range md.Keys() {
		_ = pairs.Append(key, md.Values()[i]) // what is not UTF-8 is left out, as pqarrow does
	}
	f := &numberFile{
		out: &countingWriter{Writer: w}, footer: metadata.NewFileMetadataBuilder(ps, props, pairs),
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
	f.dense = mem.Allocate(8 * stepRows)
	for _, c := range columns {
		f.chunks = append(f.chunks, newChunkEncoder(f, c))
	}
	return f, nil
}

// add implements groupEncoder.
func (f *numberFile) add(batch arrow.RecordBatch, at, n int) (bytes int64, err error) {
	f.failed = true // until the rows are in: a panic, too, leaves the file without a footer
	for i, c := range f.chunks {
		if err := c.add(batch.Column(i).Data(), at, n); err != nil {
			return 0, fmt.Errorf("write column %q: %w", c.name, err)
		}
		bytes += int64(n * c.width)
	}
	f.failed = false
	return bytes, nil
}

// endGroup implements groupEncoder.
func (f *numberFile) endGroup(rows int) error {
	f.failed = true
	group := f.footer.AppendRowGroup()
	for i, c := range f.chunks {
		if err := c.write(i, group.NextColumnChunk()); err != nil {
			return fmt.Errorf("write column %q: %w", c.name, err)
		}
	}
	group.SetNumRows(rows)
	if err := group.Finish(0, int16(f.groups)); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	f.groups++
	f.failed = false
	return nil
}

// close implements groupEncoder.
func (f *numberFile) close() error {
	for _, c := range f.chunks {
		c.free()
	}
	f.mem.Free(f.dense)
	if f.failed {
		return errors.New("a row group is not whole")
	}
	footer, err := f.footer.Finish()
	if err != nil {
		return err
	}
	n, err := footer.WriteTo(f.out, nil)
	if err != nil {
		return err
	}
	_, err = f.out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), magic...))
	return err
}
