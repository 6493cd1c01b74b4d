package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// listEncoder is the columnEncoder of lists of numbers of 4 or 8 bytes, as embeddings and
// probabilities are. An entry of a page is an element, or a list without any. Pages are
// looked at after every list.
type listEncoder struct {
	numberEncoder // of the elements, which are its rows

	entries  int    // in the page
	repeated []byte // whose bits are set for elements that are not the first of their list
	defined  []byte // each entry's definition level; none while all are the greatest
}

// listedWidth is the width of a list's elements, if they are numbers that are stored as they are.
func listedWidth(t arrow.ListLikeType) (width int, ok bool) {
	switch t := t.(type) {
	case *arrow.FixedSizeListType:
		ok = t.Len() > 0
	case *arrow.ListType, *arrow.LargeListType:
		ok = true
	}
	if ok = ok && storedAsItIs(t.Elem()); ok {
		width = t.Elem().(arrow.FixedWidthDataType).Bytes()
	}
	return width, ok
}

func newListEncoder(f *flatFile, c flatColumn) *listEncoder {
	e := &listEncoder{numberEncoder: *newNumberEncoder(f, c)}
	e.head = headBytes // entries may be many more than elements
	return e
}

// free implements columnEncoder.
func (e *listEncoder) free() {
	e.numberEncoder.free()
	e.file.mem.Free(e.repeated)
	e.file.mem.Free(e.defined[:cap(e.defined)])
}

// listSlots are the rows of an array of lists, from a row on.
type listSlots struct {
	validity validRows
	size     int     // of lists that all have as many elements, or 0
	first    int     // of those: the first row's first element
	short    []int32 // of others: where the elements begin, and the last end
	long     []int64
	elements arrow.ArrayData
}

// listSlotsOf are n rows of an array, from row at on.
func listSlotsOf(data arrow.ArrayData, at, n int) (s listSlots, err error) {
	s.elements = data.Children()[0]
	at += data.Offset()
	s.validity = validRowsOf(data, at)
	end := 0
	switch t := data.DataType().(type) {
	case *arrow.FixedSizeListType:
		s.size, s.first = int(t.Len()), at*int(t.Len())
		end = (at + n) * s.size
	default:
		offsets, width := data.Buffers()[1], 4
		if t.ID() == arrow.LARGE_LIST {
			width = 8
		}
		if n > 0 && (offsets == nil || offsets.Len() < (at+n+1)*width) {
			return s, fmt.Errorf("an array of %d rows does not have offsets for all of them", data.Len())
		}
		switch {
		case n == 0:
		case width == 4:
			s.short = arrow.Int32Traits.CastFromBytes(offsets.Bytes())[at : at+n+1]
			end = int(s.short[n])
		default:
			s.long = arrow.Int64Traits.CastFromBytes(offsets.Bytes())[at : at+n+1]
			end = int(s.long[n])
		}
	}
	if end > s.elements.Len() {
		return s, fmt.Errorf("an array of %d rows does not have elements for all of them", data.Len())
	}
	return s, nil
}

// span is where a row's elements lie; ok is false where the row is null.
func (s *listSlots) span(row int) (from, to int, ok bool) {
	ok = s.validity.bits == nil || bitutil.BitIsSet(s.validity.bits, s.validity.at+row)
	switch {
	case s.size > 0:
		from = s.first + row*s.size
		return from, from + s.size, ok
	case s.short != nil:
		return int(s.short[row]), int(s.short[row+1]), ok
	}
	return int(s.long[row]), int(s.long[row+1]), ok
}

// bytes implements columnEncoder.
func (e *listEncoder) bytes(data arrow.ArrayData, at, n int) (int64, error) {
	s, err := listSlotsOf(data, at, n)
	if err != nil || n == 0 {
		return 0, err
	}
	from, _, _ := s.span(0)
	_, to, _ := s.span(n - 1)
	return int64(4*n + (to-from)*e.width), nil
}

// add implements columnEncoder.
func (e *listEncoder) add(data arrow.ArrayData, at, n int, dense []byte) error {
	s, err := listSlotsOf(data, at, n)
	if err != nil {
		return err
	}
	elements := s.elements.NullN() != 0
	for row := 0; row < n; {
		from, to, ok := s.span(row)
		lists := 1
		switch {
		case !ok:
			e.without(0)
		case from == to:
			e.without(e.ofEmpty())
		default:
			if s.size > 0 && s.validity.bits == nil && !elements {
				lists = e.atOnce(n-row, s.size)
				to = from + lists*s.size
			}
			if err := e.lists(s.elements, from, to, lists, dense); err != nil {
				return err
			}
		}
		row += lists
		if len(e.values) >= e.file.pageBytes || e.entries >= mostPageRows {
			e.end()
		}
	}
	return nil
}

// ofEmpty is the definition level of a list without elements.
func (e *listEncoder) ofEmpty() byte {
	if e.nullable {
		return 1
	}
	return 0
}

// atOnce is how many of n lists of a size may be appended before the page is looked at: as
// many as fill it, where it is known how many bytes they take.
func (e *listEncoder) atOnce(n, size int) int {
	if e.encoding != parquet.Encodings.Plain {
		return 1
	}
	list, left := size*e.width, e.file.pageBytes-len(e.values)
	return max(min(n, (left+list-1)/list), 1)
}

// without appends a list that has no elements.
func (e *listEncoder) without(level byte) {
	e.enter(1)
	bitutil.ClearBit(e.repeated, e.entries)
	e.define(1)
	e.defined = append(e.defined, level)
	e.entries++
}

// enter makes room for the repetition levels of n more entries.
func (e *listEncoder) enter(n int) {
	mem := e.file.mem
	if need := (e.entries+n+7)/8 + 16; need > len(e.repeated) { // which is read by words
		grown := mem.Allocate(max(need, 2*len(e.repeated), recycle.MinBytes))
		copy(grown, e.repeated)
		mem.Free(e.repeated)
		e.repeated = grown
	}
}

// define makes definition levels of the entries so far, which are all the greatest, if there
// are none, and room for n more.
func (e *listEncoder) define(n int) {
	if e.defined == nil {
		e.defined = roomFor(e.file.mem, nil, e.entries+n)[:e.entries]
		for i := range e.defined {
			e.defined[i] = byte(e.levels)
		}
	}
	if len(e.defined)+n > cap(e.defined) {
		e.defined = roomFor(e.file.mem, e.defined, max(n, len(e.defined)))
	}
}

// lists appends lists of elements, each of as many.
func (e *listEncoder) lists(elements arrow.ArrayData, from, to, lists int, dense []byte) error {
	n := to - from
	slots, err := numberSlotsOf(elements, from, n, e.width)
	if err != nil {
		return err
	}
	e.enter(n)
	bitutil.SetBitsTo(e.repeated, int64(e.entries), int64(n), true)
	for i := 0; i < n; i += n / lists {
		bitutil.ClearBit(e.repeated, e.entries+i)
	}
	nulls := slots.validity.bits != nil
	if nulls && !e.elementNullable() {
		return errors.New("elements of a list are not nullable and some are null")
	}
	if nulls || e.defined != nil {
		e.define(n)
		for i := range n {
			level := byte(e.levels)
			if nulls && !bitutil.BitIsSet(slots.validity.bits, slots.validity.at+i) {
				level--
			}
			e.defined = append(e.defined, level)
		}
	}
	e.reserve(n)
	for slots.left > 0 {
		e.encode(&slots, min(slots.left, stepRows), dense)
	}
	e.entries += n
	return nil
}

// elementNullable says whether there is a definition level for an element that is null.
func (e *listEncoder) elementNullable() bool { return int(e.levels) == int(e.ofEmpty())+2 }

// reserve makes room for n more elements in the page.
func (e *listEncoder) reserve(n int) {
	need := n*e.width + spareBytes + n/kernel.BlockValues*deltaBlockBytes/16
	if e.page != nil && len(e.values)+need <= cap(e.values) {
		return
	}
	mem := e.file.mem
	page := mem.Allocate(headBytes + max(e.file.pageBytes+spareBytes, len(e.values)+need))
	values := page[headBytes : headBytes+len(e.values) : cap(page)]
	copy(values, e.values)
	mem.Free(e.page)
	fresh := e.page == nil
	e.page, e.values = page, values
	if fresh {
		e.delta.reset()
	}
}

// end finishes the page and begins another.
func (e *listEncoder) end() {
	mem := e.file.mem
	e.reserve(0)
	var header []byte
	if e.encoding == parquet.Encodings.DeltaBinaryPacked {
		e.values = e.delta.finish(e.values)
		header = e.delta.header()
	}
	width := indexWidth(int(e.levels) + 1)
	room := mem.Allocate(4 + levelBytes(e.entries) + 4 + indexBytes(len(e.defined), width))
	defer mem.Free(room)
	firsts := e.entries - bitutil.CountSetBits(e.repeated, 0, e.entries)
	levels := sized(appendLevels(room[:4], e.repeated, e.entries, e.entries-firsts))
	defined := room[len(levels):][:4]
	if e.defined == nil {
		defined = append(binary.AppendUvarint(defined, uint64(e.entries)<<1), byte(e.levels))
	} else {
		defined = e.appendDefined(defined, width)
	}
	p := encodedPage{encoding: e.encoding, entries: e.entries, nulls: e.entries - e.valid}
	p.least, p.most = e.extent.page()
	e.finish(p, room[:len(levels)+len(sized(defined))], header, e.page[:headBytes+len(e.values)])
	mem.Free(e.defined[:cap(e.defined)])
	e.entries, e.defined = 0, nil
	if len(e.page) > 2*(headBytes+e.file.pageBytes+spareBytes) { // a long list's
		mem.Free(e.page)
		e.page = mem.Allocate(headBytes + e.file.pageBytes + spareBytes)
	}
	e.begin()
}

// appendDefined appends the entries' definition levels.
func (e *listEncoder) appendDefined(to []byte, width int) []byte {
	room := e.file.mem.Allocate(4 * len(e.defined))
	defer e.file.mem.Free(room)
	levels := arrow.Uint32Traits.CastFromBytes(room)
	for i, level := range e.defined {
		levels[i] = uint32(level)
	}
	return appendHybrid(to, levels, width)
}

// write implements columnEncoder.
func (e *listEncoder) write(i int, meta *metadata.ColumnChunkMetaDataBuilder) error {
	if e.entries > 0 {
		e.end()
	}
	return e.numberEncoder.write(i, meta)
}
