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

	"github.com/millrace/millrace/internal/recycle"
)

const (
	// headBytes are free before a page's values, for what is known only once they
	// are encoded: levels and the header of differences. A page of values of 4
	// bytes with few nulls has 4 KiB of levels.
	headBytes = 8 << 10
	// leastHeadBytes are enough where there are no levels.
	leastHeadBytes = 64
	// storeBytes is the most of finished pages that is allocated at a time.
	storeBytes = 1 << 20
	// worthwhile is the part of a page that compression must save, 1 in so many bytes, where
	// nobody asked for a codec. Scores of a model of much precision shrink by a twelfth, and
	// take ten times as long as without.
	worthwhile = 8
)

// validRows says which rows of an array have values, from a row on.
type validRows struct {
	bits []byte // nil where all have
	at   int    // the row's bit
}

// validRowsOf is that of an array's rows from row at on, which counts the array's offset.
func validRowsOf(data arrow.ArrayData, at int) validRows {
	if bits := data.Buffers()[0]; data.NullN() != 0 && bits != nil {
		return validRows{bits.Bytes(), at}
	}
	return validRows{}
}

// copyTo puts that of the next n rows into bits, from bit at on.
func (v *validRows) copyTo(bits []byte, at, n int) {
	if v.bits == nil {
		bitutil.SetBitsTo(bits, int64(at), int64(n), true)
		return
	}
	bitutil.CopyBitmap(v.bits, v.at, n, bits, at)
}

// pageRows are the rows of a page so far.
type pageRows struct {
	bits  []byte // which of them have values; made for the first nulls
	nulls bool
	rows  int
	valid int // of rows
}

// note puts the validity of the next n rows into the bits, if there are nulls. They are
// not counted yet.
func (p *pageRows) note(mem *budget, v *validRows, n int) {
	if !p.nulls && v.bits == nil {
		return
	}
	p.makeBits(mem, p.rows+n)
	if !p.nulls {
		bitutil.SetBitsTo(p.bits, 0, int64(p.rows), true)
		p.nulls = true
	}
	v.copyTo(p.bits, p.rows, n)
}

// makeBits makes room for the validity of rows rows, which is read by words,
// beyond the last bit.
func (p *pageRows) makeBits(mem *budget, rows int) {
	need := (rows+7)/8 + 16
	if need <= len(p.bits) {
		return
	}
	grown := mem.Allocate(max(need, 2*len(p.bits), recycle.MinBytes))
	copy(grown, p.bits)
	mem.Free(p.bits)
	p.bits = grown
}

func (p *pageRows) begin() { p.nulls, p.rows, p.valid = false, 0, 0 }

// finishedPages are pages of a column chunk that wait for the end of its row group. A
// page is
//
//	[their bytes u32, repetition levels]  of a column of lists
//	[their bytes u32, definition levels]  where the column is nullable or of lists
//	[header]                              of some encodings
//	values
//
// as DataPageV1 has it, compressed as a whole.
type finishedPages struct {
	flatColumn
	file *flatFile

	head  int  // bytes that are free before a page's values, such as headBytes
	plain bool // the first page shrank too little: pages are frames of what they have
	pages []encodedPage
	own   pageStore // where others may be at work on their columns
}

// pageStore is what finished pages lie in.
type pageStore struct {
	blocks [][]byte
	bytes  int    // of blocks
	room   []byte // of the last
}

// take gives room for so many bytes, of which the first that are used are kept.
func (p *pageStore) take(mem *budget, bytes int) []byte {
	if bytes > len(p.room) {
		p.room = mem.Allocate(max(bytes, min(p.bytes, storeBytes)))
		p.blocks, p.bytes = append(p.blocks, p.room), p.bytes+len(p.room)
	}
	return p.room
}

func (p *pageStore) keep(n int) { p.room = p.room[n:] }

func (p *pageStore) free(mem *budget) {
	for _, b := range p.blocks {
		mem.Free(b)
	}
	clear(p.blocks)
	*p = pageStore{blocks: p.blocks[:0]}
}

// encodedPage is a page that waits for the end of its row group.
type encodedPage struct {
	packed      []byte
	entries     int // values, nulls and lists without values
	nulls       int // of entries
	bytes       int // before compression
	encoding    parquet.Encoding
	least, most []byte
}

// drop gives the finished pages back.
func (s *finishedPages) drop() {
	s.own.free(s.file.mem)
	s.file.last.free(s.file.mem)
	clear(s.pages)
	s.plain, s.pages = false, s.pages[:0]
}

// finish compresses and keeps a page. Its values lie in buffer from head on; levels and
// header come before them.
func (s *finishedPages) finish(p encodedPage, levels, header, buffer []byte) {
	mem := s.file.mem
	head, free := len(levels)+len(header), s.head
	page := buffer
	if head <= free {
		page = page[free-head:]
	} else {
		joined := mem.Allocate(head + len(buffer) - free)
		defer mem.Free(joined)
		copy(joined[head:], buffer[free:])
		page = joined
	}
	copy(page[copy(page, levels):], header)
	p.packed, p.bytes = s.store(page), len(page)
	s.pages = append(s.pages, p)
}

// finishRows finishes a page of a column that is not nested.
func (s *finishedPages) finishRows(p encodedPage, rows *pageRows, header, buffer []byte) {
	p.entries, p.nulls = rows.rows, rows.rows-rows.valid
	if !s.nullable {
		s.finish(p, nil, header, buffer)
		return
	}
	var short [4 + 8]byte // one run
	levels := short[:4]
	if rows.nulls {
		scratch := s.file.mem.Allocate(4 + levelBytes(rows.rows))
		defer s.file.mem.Free(scratch)
		levels = scratch[:4]
	}
	s.finish(p, sized(appendLevels(levels, rows.bits, rows.rows, rows.valid)), header, buffer)
}

// sized puts the size of what follows into the first 4 bytes.
func sized(levels []byte) []byte {
	binary.LittleEndian.PutUint32(levels, uint32(len(levels)-4))
	return levels
}

// store compresses a page into what is kept until the row group ends.
func (s *finishedPages) store(page []byte) []byte {
	f, bound := s.file, len(page)
	if f.codec != nil {
		bound = max(int(f.codec.CompressBound(int64(bound))), storedBound(bound))
	}
	if s.isText() {
		return s.storeText(page, bound)
	}
	store := &f.kept
	switch {
	case f.vary:
		store = &s.own
	case f.ending:
		store = &f.last
	}
	packed := s.compress(store.take(f.mem, bound), page)
	store.keep(len(packed))
	return slices.Clip(packed)
}

// storeText compresses a page of text, whose size cannot be told before, and keeps no more
// than it has: a row group may have hundreds of columns with a few such pages each.
func (s *finishedPages) storeText(page []byte, bound int) []byte {
	mem := s.file.mem
	room := mem.Allocate(bound)
	defer mem.Free(room)
	packed := s.compress(room, page)
	kept := mem.Allocate(len(packed))
	s.own.blocks = append(s.own.blocks, kept)
	copy(kept, packed)
	return kept
}

// compress puts what a page becomes at the start of room.
func (s *finishedPages) compress(room, page []byte) []byte {
	f, packed := s.file, page
	if f.codec != nil && !s.plain {
		packed = f.codec.EncodeLevel(room, page, s.level)
		s.plain = f.sparing && len(s.pages) == 0 && len(packed) > len(page)-len(page)/worthwhile
	}
	if s.plain {
		packed = appendStored(room[:0], page)
	}
	if len(packed) > 0 && &packed[0] != &room[0] { // not where it belongs
		packed = room[:copy(room, packed)]
	}
	return packed
}

// write writes the pages, after a dictionary if there is one, as the i-th column chunk of
// their row group, whose least and greatest values are given.
func (s *finishedPages) write(i int, meta *metadata.ColumnChunkMetaDataBuilder, dictionary *file.DictionaryPage, least, most []byte) (err error) {
	defer s.drop()
	f := s.file
	codec := f.props.Compression()
	if f.pager == nil {
		f.pager, err = file.NewPageWriter(f.out, codec, s.level, meta, int16(f.groups), int16(i), f.mem, false, nil, nil)
	} else {
		err = f.pager.Reset(f.out, codec, s.level, meta, int16(f.groups), int16(i), nil, nil)
	}
	if err != nil {
		return err
	}
	if dictionary != nil {
		if _, err := f.pager.WriteDictionaryPage(dictionary); err != nil {
			return err
		}
	}
	nulls, given := 0, false
	for _, p := range s.pages {
		nulls += p.nulls
		given = given || dictionary != nil && p.encoding == parquet.Encodings.Plain
		page := file.NewDataPageV1WithStats(memory.NewBufferBytes(p.packed), int32(p.entries), p.encoding,
			parquet.Encodings.RLE, parquet.Encodings.RLE, int32(p.bytes), s.statistics(p.least, p.most, p.nulls))
		_, err := f.pager.WriteDataPage(page)
		page.Release()
		if err != nil {
			return err
		}
	}
	meta.SetStats(s.statistics(least, most, nulls))
	return f.pager.Close(dictionary != nil, given)
}

func (s *finishedPages) statistics(least, most []byte, nulls int) metadata.EncodedStatistics {
	e := metadata.EncodedStatistics{Signed: s.order == pqschema.SortSIGNED}
	e.SetNullCount(int64(nulls))
	if least != nil {
		e.SetMin(least)
		e.SetMax(most)
	}
	return e
}
