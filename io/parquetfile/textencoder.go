package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const (
	// textPageRows end a page of texts: indices wait for it in 4 bytes each.
	textPageRows = 1 << 15
	// judgedTexts is after how many values of a column chunk its dictionary must have
	// paid, a quarter of the values' bytes.
	judgedTexts = 1 << 12
	// leastUnlikeTexts are how many values of a column chunk say something about the next one's.
	leastUnlikeTexts = 1 << 8
	// mostTextBytes is the longest value that a page can have.
	mostTextBytes = math.MaxInt32 - 1<<20
)

// textEncoder is the columnEncoder of texts and bytes. The values of a column chunk are
// indices of a dictionary until that is full or does not pay; then each is its length
// and its bytes. A page that was finished stays what it is. Where no page got its
// dictionary, the column has none in the rest of the file, unless that was for want of values. All that
// is decided by the rows alone.
type textEncoder struct {
	finishedPages
	pageRows
	extent textExtent

	coding     bool // values become indices
	coded      bool // a page that is finished has indices
	unlike     bool // the values do not repeat
	dictionary textDictionary
	indices    []byte // of the page, u32 each
	judged     int    // values of the column chunk, until they are judgedTexts
	plainBytes int    // what those would take without a dictionary

	page []byte // headBytes that are free, then values with their lengths
}

func newTextEncoder(f *flatFile, c flatColumn) *textEncoder {
	limit := min(max(fileDictionaryBytes/f.texts, leastDictionaryBytes), mostDictionaryBytes)
	return &textEncoder{finishedPages: finishedPages{file: f, flatColumn: c, head: headBytes}, coding: true, dictionary: textDictionary{mem: f.mem, limit: limit}}
}

// free implements columnEncoder.
func (e *textEncoder) free() {
	e.drop()
	e.dictionary.drop()
	mem := e.file.mem
	mem.Free(e.indices[:cap(e.indices)])
	mem.Free(e.page[:cap(e.page)])
	mem.Free(e.bits)
}

// bytes implements columnEncoder.
func (e *textEncoder) bytes(data arrow.ArrayData, at, n int) (int64, error) {
	s, err := textSlotsOf(data, at, n)
	if err != nil {
		return 0, err
	}
	return s.bytes(n), nil
}

// add implements columnEncoder.
func (e *textEncoder) add(data arrow.ArrayData, at, n int, _ []byte) error {
	from, err := textSlotsOf(data, at, n)
	if err != nil {
		return err
	}
	for row := 0; row < n; {
		took, err := e.fill(&from, row, min(n-row, textPageRows-e.rows))
		if err != nil {
			return err
		}
		row += took
		if e.full() {
			e.end()
		}
	}
	return nil
}

// full says whether the page is to end.
func (e *textEncoder) full() bool {
	return e.rows == textPageRows || len(e.page)-headBytes >= e.file.pageBytes
}

// fill appends rows to the page until it is full, at most n, and says how many it took.
func (e *textEncoder) fill(from *textSlots, row, n int) (took int, err error) {
	valid := validRows{from.validity.bits, from.validity.at + row}
	e.note(e.file.mem, &valid, n)
	for took < n && !e.full() {
		if valid.bits == nil || bitutil.BitIsSet(valid.bits, valid.at+took) {
			if err := e.value(from.value(row + took)); err != nil {
				return took, err
			}
			e.valid++
		}
		e.rows++
		took++
	}
	return took, nil
}

// value appends one value to the page.
func (e *textEncoder) value(v []byte) error {
	if !e.coding {
		e.extent.add(v)
		return e.plainValue(v)
	}
	number, added, ok := e.dictionary.number(v)
	if ok && e.judged < judgedTexts {
		e.judged++
		e.plainBytes += 4 + len(v)
		ok = e.judged < judgedTexts || 4*len(e.dictionary.values) <= 3*e.plainBytes
	}
	if added {
		e.extent.add(v)
	}
	if ok {
		if len(e.indices)+4 > cap(e.indices) {
			e.indices = roomFor(e.file.mem, e.indices, max(len(e.indices), 4))
		}
		e.indices = binary.LittleEndian.AppendUint32(e.indices, number)
		return nil
	}
	if err := e.giveUp(); err != nil {
		return err
	}
	e.unlike = e.unlike || !e.coded
	e.extent.add(v)
	return e.plainValue(v)
}

// plainValue appends a value with its length.
func (e *textEncoder) plainValue(v []byte) error {
	if len(v) > mostTextBytes {
		return fmt.Errorf("a value of %d bytes is too long for a page of Parquet: %d are the most", len(v), mostTextBytes)
	}
	e.makePage(4 + len(v))
	e.page = append(binary.LittleEndian.AppendUint32(e.page, uint32(len(v))), v...)
	return nil
}

// makePage makes room for n bytes in the page. The value that does not fit into what a page
// has at first is its last, and those of a dictionary come with the size of all: none grows by steps.
func (e *textEncoder) makePage(n int) {
	if len(e.page) == 0 {
		n += headBytes + e.file.pageBytes
	}
	e.page = roomFor(e.file.mem, e.page, n)
	if len(e.page) == 0 {
		e.page = e.page[:headBytes]
	}
}

// giveUp goes on without the dictionary. The page's values become plain; a page of them
// may be longer than others.
func (e *textEncoder) giveUp() error {
	e.coding = false
	if values := e.valuesBytes(); values > e.file.pageBytes {
		e.makePage(values - e.file.pageBytes)
	}
	for _, number := range arrow.Uint32Traits.CastFromBytes(e.indices) {
		if err := e.plainValue(e.dictionary.value(number)); err != nil {
			return err
		}
	}
	if !e.coded {
		e.dictionary.drop()
	}
	e.file.mem.Free(e.indices[:cap(e.indices)])
	e.indices = nil
	return nil
}

// end finishes the page and begins another.
func (e *textEncoder) end() {
	p := encodedPage{encoding: parquet.Encodings.Plain}
	if e.coding && e.dictionary.n > 0 { // or all were nulls
		e.coded = true
		e.packIndices()
		p.encoding = parquet.Encodings.RLEDict
	}
	e.makePage(0)
	e.finishRows(p, &e.pageRows, nil, e.page)
	e.begin()
	e.indices = e.indices[:0]
	if cap(e.page) > 2*(headBytes+e.file.pageBytes) { // a long value's, or many of a dictionary's
		e.file.mem.Free(e.page[:cap(e.page)])
		e.page = nil
	}
	e.page = e.page[:0]
}

// packIndices makes the page of its indices.
func (e *textEncoder) packIndices() {
	indices, width := arrow.Uint32Traits.CastFromBytes(e.indices), indexWidth(e.dictionary.n)
	e.makePage(1 + indexBytes(len(indices), width))
	e.page = appendHybrid(append(e.page, byte(width)), indices, width)
}

// write implements columnEncoder.
func (e *textEncoder) write(i int, meta *metadata.ColumnChunkMetaDataBuilder) error {
	if e.coding && !e.coded && !e.pays() {
		if err := e.giveUp(); err != nil {
			return err
		}
		e.unlike = e.judged >= leastUnlikeTexts
	}
	if e.rows > 0 {
		e.end()
	}
	var dictionary *file.DictionaryPage
	if e.dictionary.n > 0 {
		dictionary = file.NewDictionaryPage(memory.NewBufferBytes(e.dictionary.values), int32(e.dictionary.n), parquet.Encodings.Plain)
		defer dictionary.Release()
	}
	least, most := e.extent.take()
	err := e.finishedPages.write(i, meta, dictionary, least, most)
	e.dictionary.drop()
	e.coding, e.coded, e.judged, e.plainBytes = !e.unlike, false, 0, 0
	return err
}

// pays says whether a dictionary and the indices of the only page take fewer bytes than
// its values.
func (e *textEncoder) pays() bool {
	return len(e.dictionary.values)+len(e.indices)/4*indexWidth(e.dictionary.n)/8 < e.valuesBytes()
}

// valuesBytes is what the values of the page's indices take without a dictionary.
func (e *textEncoder) valuesBytes() (n int) {
	for _, number := range arrow.Uint32Traits.CastFromBytes(e.indices) {
		n += 4 + len(e.dictionary.value(number))
	}
	return n
}
