package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

const (
	// headBytes are free before a page's values, for what is known only once they
	// are encoded: levels and the header of differences. A page of values of 4
	// bytes with few nulls has 4 KiB of levels.
	headBytes = 8 << 10
	// spareBytes are what a page grows by at most between looks at its size: the
	// blocks of differences that end in a step, and the page's last one.
	spareBytes = (stepRows/kernel.BlockValues + 1) * deltaBlockBytes
	// pageRows end a page of few bytes, as of equal numbers or of nulls.
	pageRows = 1 << 20
)

// pageEncoder encodes the column chunks of a row group, one at a time. A page is
//
//	[the bytes of the levels u32, levels]  where the column is nullable
//	[header of differences]                where they are encoded so
//	values
//
// as DataPageV1 has it, compressed as a whole.
type pageEncoder struct {
	file   *numberFile
	pager  file.PageWriter
	page   []byte // free bytes at the front, then the values so far
	dense  []byte // a step's values that are to be encoded as differences
	packed []byte // a compressed page
	levels []byte // encoded; made for the first column with nulls
	bits   []byte // validity of the page's rows so far; made with levels

	column numberColumn
	level  int    // of compression
	nulls  bool   // in the column chunk
	rows   int    // in the page
	valid  int    // of rows
	total  int64  // nulls in the pages before
	values []byte // page from headBytes on
	delta  deltaEncoder
	extent extent
}

func newPageEncoder(f *numberFile, rows int) *pageEncoder {
	e := &pageEncoder{file: f}
	e.page = f.mem.Allocate(headBytes + pageBytes + spareBytes)
	e.dense = f.mem.Allocate(8 * stepRows)
	for _, c := range f.columns {
		if c.nullable {
			n := min(rows, pageRows)
			e.bits = f.mem.Allocate((n+7)/8 + 16) // read by words, beyond the last bit
			e.levels = f.mem.Allocate(levelBytes(n))
			break
		}
	}
	return e
}

// free gives all buffers back.
func (e *pageEncoder) free() {
	for _, buf := range [][]byte{e.page, e.dense, e.bits, e.levels, e.packed} {
		e.file.mem.Free(buf)
	}
}

// chunk writes a column of a row group.
func (e *pageEncoder) chunk(i int, batches []arrow.RecordBatch, meta *metadata.ColumnChunkMetaDataBuilder) (err error) {
	f := e.file
	e.column, e.extent, e.nulls, e.total = f.columns[i], newExtent(f.columns[i]), false, 0
	codec := f.props.CompressionFor(meta.Descr().Path())
	e.level = f.props.CompressionLevelFor(meta.Descr().Path())
	if e.pager == nil {
		e.pager, err = file.NewPageWriter(f.out, codec, e.level, meta, int16(f.groups), int16(i), f.mem, false, nil, nil)
	} else {
		err = e.pager.Reset(f.out, codec, e.level, meta, int16(f.groups), int16(i), nil, nil)
	}
	if err != nil {
		return err
	}
	rows := 0
	for _, b := range batches {
		rows += int(b.NumRows())
		e.nulls = e.nulls || e.column.nullable && b.Column(i).NullN() > 0
	}
	e.begin()
	from := slotCursor{batches: batches, column: i, width: e.column.width}
	for rows > 0 {
		n := min(rows, stepRows)
		if err := e.step(&from, n); err != nil {
			return err
		}
		if rows -= n; rows == 0 || len(e.values) >= pageBytes || e.rows >= pageRows {
			if err := e.end(); err != nil {
				return err
			}
		}
	}
	least, most := e.extent.chunk()
	meta.SetStats(e.statistics(least, most, e.total))
	return e.pager.Close(false, false)
}

// begin starts a page.
func (e *pageEncoder) begin() {
	e.rows, e.valid, e.values = 0, 0, e.page[headBytes:headBytes:cap(e.page)]
	e.delta.reset()
}

// step encodes the next n rows.
func (e *pageEncoder) step(from *slotCursor, n int) (err error) {
	into := e.values
	if e.column.encoding == parquet.Encodings.DeltaBinaryPacked {
		into = e.dense[:0]
	}
	start := len(into)
	for n > 0 {
		if err := from.next(); err != nil {
			return err
		}
		k := min(n, from.left)
		if e.nulls {
			from.copyBits(e.bits, e.rows, k)
			into = from.appendValid(into, e.bits, e.rows, k)
		} else {
			into = from.appendAll(into, k)
		}
		e.rows += k
		n -= k
	}
	added := into[start:]
	e.valid += len(added) / e.column.width
	e.extent.add(added)
	switch {
	case e.column.encoding != parquet.Encodings.DeltaBinaryPacked:
		e.values = into
	case e.column.width == 4:
		e.values = appendDifferences(&e.delta, e.values, arrow.Int32Traits.CastFromBytes(added))
	default:
		e.values = appendDifferences(&e.delta, e.values, arrow.Int64Traits.CastFromBytes(added))
	}
	return nil
}

// end writes the page and begins another.
func (e *pageEncoder) end() error {
	var levels []byte
	if e.column.nullable {
		var short [8]byte // one run
		levels = short[:0]
		if e.nulls {
			levels = e.levels[:0]
		}
		levels = appendLevels(levels, e.bits, e.rows, e.valid)
	}
	var header []byte
	if e.column.encoding == parquet.Encodings.DeltaBinaryPacked {
		e.values = e.delta.finish(e.values)
		header = e.delta.header()
	}
	head := len(levels) + len(header)
	if e.column.nullable {
		head += 4
	}
	page := e.page[:headBytes+len(e.values)]
	if head <= headBytes {
		page = page[headBytes-head:]
	} else {
		joined := e.file.mem.Allocate(head + len(e.values))
		defer e.file.mem.Free(joined)
		copy(joined[head:], e.values)
		page = joined
	}
	at := 0
	if e.column.nullable {
		binary.LittleEndian.PutUint32(page, uint32(len(levels)))
		at = 4 + copy(page[4:], levels)
	}
	copy(page[at:], header)
	if err := e.writePage(page); err != nil {
		return err
	}
	e.begin()
	return nil
}

func (e *pageEncoder) writePage(page []byte) error {
	f, packed := e.file, page
	if f.codec != nil {
		if bound := int(f.codec.CompressBound(int64(len(page)))); bound > cap(e.packed) {
			f.mem.Free(e.packed)
			e.packed = f.mem.Allocate(bound)
		}
		packed = f.codec.EncodeLevel(e.packed[:cap(e.packed)], page, e.level)
	}
	nulls := int64(e.rows - e.valid)
	e.total += nulls
	least, most := e.extent.page()
	p := file.NewDataPageV1WithStats(memory.NewBufferBytes(packed), int32(e.rows), e.column.encoding,
		parquet.Encodings.RLE, parquet.Encodings.RLE, int32(len(page)), e.statistics(least, most, nulls))
	defer p.Release()
	_, err := e.pager.WriteDataPage(p)
	return err
}

func (e *pageEncoder) statistics(least, most []byte, nulls int64) metadata.EncodedStatistics {
	s := metadata.EncodedStatistics{Signed: e.column.order == pqschema.SortSIGNED}
	s.SetNullCount(nulls)
	if least != nil {
		s.SetMin(least)
		s.SetMax(most)
	}
	return s
}
