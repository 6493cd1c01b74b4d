package parquetfile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

const (
	// spareBytes are what a page grows by at most between looks at its size: the
	// blocks of differences that end in a step, and the page's last one.
	spareBytes = (stepRows/kernel.BlockValues + 1) * deltaBlockBytes
	// mostPageRows end a page of few bytes, as of equal numbers or of nulls.
	mostPageRows = 1 << 20
	// firstRoom is the part of a page that has room at first, 1 in so many bytes.
	firstRoom = 8
)

// numberEncoder is the columnEncoder of values of a fixed width: numbers of 4 or 8 bytes, and
// others, as decimals are. Pages are looked at after every so many rows of the row group, so that
// they do not depend on how rows come.
type numberEncoder struct {
	finishedPages
	pageRows
	page  []byte // head bytes that are free, then the values so far; made for the first rows
	full  int    // bytes of values that make a page
	whole bool   // a page has all values of a column chunk
	steps int    // rows between looks at the page's size
	step  int    // rows since the last

	values []byte // page from head on
	delta  deltaEncoder
	extent extent
}

func newNumberEncoder(f *flatFile, c flatColumn) *numberEncoder {
	head := leastHeadBytes
	full, whole := f.pageBytesFor(c.width)
	if c.nullable {
		head = min(head+levelBytes(2*full/c.width), headBytes)
	}
	return &numberEncoder{finishedPages: finishedPages{file: f, flatColumn: c, head: head}, full: full, whole: whole, steps: stepsOf(c.width), extent: newExtent(c)}
}

// stepsOf is how many rows of values of a width are encoded between looks at a page's size: no more
// bytes than of values of 8, or one row.
func stepsOf(width int) int { return min(stepRows, max(wordBytes*stepRows/width, 1)) }

// free implements columnEncoder.
func (e *numberEncoder) free() {
	e.drop()
	e.file.mem.Free(e.page)
	e.file.mem.Free(e.bits)
}

// begin starts a page.
func (e *numberEncoder) begin() {
	e.pageRows.begin()
	e.step = 0
	e.values = e.page[e.head:e.head:cap(e.page)]
	e.delta.reset()
}

// spare is what a page may have beyond pageBytes: its last step.
func (e *numberEncoder) spare() int {
	step := e.steps * e.width
	switch {
	case e.encoding == parquet.Encodings.DeltaBinaryPacked:
		return max(spareBytes, e.width)
	case e.whole || !e.nullable && e.full%step == 0: // the last step fills it
		return 0
	}
	return step
}

// bytes implements columnEncoder.
func (e *numberEncoder) bytes(_ arrow.ArrayData, _, n int) (int64, error) {
	return int64(n * e.width), nil
}

// add implements columnEncoder.
func (e *numberEncoder) add(data arrow.ArrayData, at, n int, dense []byte) error {
	from, err := numberSlotsOf(data, at, n, e.width)
	if err != nil {
		return err
	}
	for from.left > 0 {
		if e.step == e.steps {
			e.step = 0
			if len(e.values) >= e.full || e.rows >= mostPageRows {
				e.end()
			}
		}
		k := min(from.left, e.steps-e.step)
		e.makeRoom(k)
		e.encode(&from, k, dense)
		e.step += k
	}
	return nil
}

// makeRoom makes room for the next n rows in the page: for all that it is to have, but at first for
// a part of that where a page has a whole column chunk. Files of a few rows of thousands of columns
// need no more, and what is outgrown is kept for others for a while.
func (e *numberEncoder) makeRoom(n int) {
	most, need := e.full+e.spare(), len(e.values)+n*e.width
	if e.encoding == parquet.Encodings.DeltaBinaryPacked {
		need += spareBytes
	}
	if need = min(need, most); e.page != nil && need <= cap(e.values) {
		return
	}
	room := most
	if e.whole && e.page == nil {
		room = max(need, most/firstRoom)
	}
	mem, fresh := e.file.mem, e.page == nil
	page := mem.Allocate(e.head + room)
	values := page[e.head : e.head+len(e.values) : cap(page)]
	copy(values, e.values)
	mem.Free(e.page)
	if e.page, e.values = page, values; fresh {
		e.begin()
	}
}

// encode appends the next n rows to the page.
func (e *numberEncoder) encode(from *numberSlots, n int, dense []byte) {
	into, differences := e.values, e.encoding == parquet.Encodings.DeltaBinaryPacked
	if differences {
		into = dense[:0]
	}
	e.note(e.file.mem, &from.validity, n)
	start := len(into)
	switch {
	case from.validity.bits != nil:
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

// end finishes the page and begins another.
func (e *numberEncoder) end() {
	var header []byte
	if e.encoding == parquet.Encodings.DeltaBinaryPacked {
		e.values = e.delta.finish(e.values)
		header = e.delta.header()
	}
	p := encodedPage{encoding: e.encoding}
	p.least, p.most = e.extent.page()
	e.finishRows(p, &e.pageRows, header, e.page[:e.head+len(e.values)])
	e.begin()
}

// write implements columnEncoder.
func (e *numberEncoder) write(i int, meta *metadata.ColumnChunkMetaDataBuilder) error {
	if e.rows > 0 {
		e.end()
	}
	least, most := e.extent.chunk()
	e.extent = newExtent(e.flatColumn)
	return e.finishedPages.write(i, meta, nil, least, most)
}
