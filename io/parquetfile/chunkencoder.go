package parquetfile

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
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
	// storeBytes is the most of finished pages that is allocated at a time.
	storeBytes = 1 << 20
	// worthwhile is the part of a page that compression must save, 1 in so many bytes, where
	// nobody asked for a codec. Scores of a model of much precision shrink by a twelfth, and
	// take ten times as long as without.
	worthwhile = 8
)

// chunkEncoder encodes a column, one column chunk after the other. A page is
//
//	[the bytes of the levels u32, levels]  where the column is nullable
//	[header of differences]                where they are encoded so
//	values
//
// as DataPageV1 has it, compressed as a whole. Pages are looked at after every
// stepRows rows of the row group, so that they do not depend on how rows come.
type chunkEncoder struct {
	numberColumn
	file  *numberFile
	page  []byte // free bytes at the front, then the values so far; made for the first rows
	bits  []byte // validity of the page's rows so far; made for the first nulls
	nulls bool   // in the page
	rows  int    // in the page
	valid int    // of rows
	step  int    // rows since the last look at the page's size

	values []byte // page from headBytes on
	delta  deltaEncoder
	extent extent

	plain  bool // the first page shrank too little: pages are frames of what they have
	pages  []encodedPage
	stores [][]byte // what pages lie in; the last has room
	stored int      // bytes of stores
	room   []byte   // of the last
}

// encodedPage is a page that waits for the end of its row group.
type encodedPage struct {
	packed      []byte
	rows, nulls int
	bytes       int // before compression
	least, most []byte
}

func newChunkEncoder(f *numberFile, c numberColumn) *chunkEncoder {
	return &chunkEncoder{numberColumn: c, file: f, extent: newExtent(c)}
}

// free gives all buffers back.
func (e *chunkEncoder) free() {
	e.drop()
	e.file.mem.Free(e.page)
	e.file.mem.Free(e.bits)
}

// drop gives the finished pages back.
func (e *chunkEncoder) drop() {
	for _, s := range e.stores {
		e.file.mem.Free(s)
	}
	clear(e.pages)
	e.plain, e.pages, e.stores, e.stored, e.room = false, e.pages[:0], e.stores[:0], 0, nil
}

// begin starts a page.
func (e *chunkEncoder) begin() {
	e.nulls, e.rows, e.valid, e.step = false, 0, 0, 0
	e.values = e.page[headBytes:headBytes:cap(e.page)]
	e.delta.reset()
}

// add encodes n rows of an array, from row at on.
func (e *chunkEncoder) add(data arrow.ArrayData, at, n int) error {
	from, err := numberSlotsOf(data, at, n, e.width)
	if err != nil {
		return err
	}
	if e.page == nil {
		e.page = e.file.mem.Allocate(headBytes + pageBytes + spareBytes)
		e.begin()
	}
	for from.left > 0 {
		k := min(from.left, stepRows-e.step)
		e.encode(&from, k)
		if e.step += k; e.step == stepRows {
			e.step = 0
			if len(e.values) >= pageBytes || e.rows >= pageRows {
				e.end()
			}
		}
	}
	return nil
}

// encode appends the next n rows to the page.
func (e *chunkEncoder) encode(from *numberSlots, n int) {
	into, differences := e.values, e.encoding == parquet.Encodings.DeltaBinaryPacked
	if differences {
		into = e.file.dense[:0]
	}
	if e.nulls || from.validity != nil {
		e.makeBits(e.rows + n)
		if !e.nulls {
			bitutil.SetBitsTo(e.bits, 0, int64(e.rows), true)
			e.nulls = true
		}
		from.copyBits(e.bits, e.rows, n)
	}
	start := len(into)
	switch {
	case from.validity != nil:
		into = from.appendValid(into, e.bits, e.rows, n)
	case differences:
		into, start = from.take(n), 0 // where they lie
	default:
		into = append(into, from.take(n)...)
	}
	added := into[start:]
	e.rows += n
	e.valid += len(added) / e.width
	e.extent.add(added)
	switch {
	case !differences:
		e.values = into
	case e.width == 4:
		e.values = appendDifferences(&e.delta, e.values, arrow.Int32Traits.CastFromBytes(added))
	default:
		e.values = appendDifferences(&e.delta, e.values, arrow.Int64Traits.CastFromBytes(added))
	}
}

// makeBits makes room for the validity of rows rows, which is read by words,
// beyond the last bit.
func (e *chunkEncoder) makeBits(rows int) {
	need := (rows+7)/8 + 16
	if need <= len(e.bits) {
		return
	}
	grown := e.file.mem.Allocate(max(need, 2*len(e.bits), minRecycledBytes))
	copy(grown, e.bits)
	e.file.mem.Free(e.bits)
	e.bits = grown
}

// end finishes the page and begins another.
func (e *chunkEncoder) end() {
	mem := e.file.mem
	var levels []byte
	if e.nullable {
		var short [8]byte // one run
		levels = short[:0]
		if e.nulls {
			scratch := mem.Allocate(levelBytes(e.rows))
			defer mem.Free(scratch)
			levels = scratch[:0]
		}
		levels = appendLevels(levels, e.bits, e.rows, e.valid)
	}
	var header []byte
	if e.encoding == parquet.Encodings.DeltaBinaryPacked {
		e.values = e.delta.finish(e.values)
		header = e.delta.header()
	}
	head := len(levels) + len(header)
	if e.nullable {
		head += 4
	}
	page := e.page[:headBytes+len(e.values)]
	if head <= headBytes {
		page = page[headBytes-head:]
	} else {
		joined := mem.Allocate(head + len(e.values))
		defer mem.Free(joined)
		copy(joined[head:], e.values)
		page = joined
	}
	at := 0
	if e.nullable {
		binary.LittleEndian.PutUint32(page, uint32(len(levels)))
		at = 4 + copy(page[4:], levels)
	}
	copy(page[at:], header)
	p := encodedPage{packed: e.store(page), rows: e.rows, nulls: e.rows - e.valid, bytes: len(page)}
	p.least, p.most = e.extent.page()
	e.pages = append(e.pages, p)
	e.begin()
}

// store compresses a page into what is kept until the row group ends.
func (e *chunkEncoder) store(page []byte) []byte {
	f, bound := e.file, len(page)
	if f.codec != nil {
		bound = max(int(f.codec.CompressBound(int64(bound))), storedBound(bound))
	}
	if bound > len(e.room) {
		block := f.mem.Allocate(max(bound, min(e.stored, storeBytes)))
		e.stores, e.stored, e.room = append(e.stores, block), e.stored+len(block), block
	}
	packed := page
	if f.codec != nil && !e.plain {
		packed = f.codec.EncodeLevel(e.room, page, e.level)
		e.plain = f.sparing && len(e.pages) == 0 && len(packed) > len(page)-len(page)/worthwhile
	}
	if e.plain {
		packed = appendStored(e.room[:0], page)
	}
	if len(packed) > 0 && &packed[0] != &e.room[0] { // not where it belongs
		packed = e.room[:copy(e.room, packed)]
	}
	e.room = e.room[len(packed):]
	return slices.Clip(packed)
}

// write ends the column chunk, which is the i-th of its row group, and writes it.
func (e *chunkEncoder) write(i int, meta *metadata.ColumnChunkMetaDataBuilder) (err error) {
	if e.rows > 0 {
		e.end()
	}
	defer e.drop()
	f := e.file
	codec := f.props.Compression()
	if f.pager == nil {
		f.pager, err = file.NewPageWriter(f.out, codec, e.level, meta, int16(f.groups), int16(i), f.mem, false, nil, nil)
	} else {
		err = f.pager.Reset(f.out, codec, e.level, meta, int16(f.groups), int16(i), nil, nil)
	}
	if err != nil {
		return err
	}
	nulls := 0
	for _, p := range e.pages {
		nulls += p.nulls
		page := file.NewDataPageV1WithStats(memory.NewBufferBytes(p.packed), int32(p.rows), e.encoding,
			parquet.Encodings.RLE, parquet.Encodings.RLE, int32(p.bytes), e.statistics(p.least, p.most, p.nulls))
		_, err := f.pager.WriteDataPage(page)
		page.Release()
		if err != nil {
			return err
		}
	}
	least, most := e.extent.chunk()
	e.extent = newExtent(e.numberColumn)
	meta.SetStats(e.statistics(least, most, nulls))
	return f.pager.Close(false, false)
}

func (e *chunkEncoder) statistics(least, most []byte, nulls int) metadata.EncodedStatistics {
	s := metadata.EncodedStatistics{Signed: e.order == pqschema.SortSIGNED}
	s.SetNullCount(int64(nulls))
	if least != nil {
		s.SetMin(least)
		s.SetMax(most)
	}
	return s
}
