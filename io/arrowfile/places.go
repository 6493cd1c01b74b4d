package arrowfile

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/millrace/millrace/io/mapped"
)

// pieceColumn is a column of a batch that is given in pieces, or what lies within one.
type pieceColumn struct {
	*column

	given    arrow.DataType // dtype, as the column around it has it
	rows     int64          // of the whole batch
	nulls    int64          // among them
	validity pieceBuffer    // absent where there are none
	offsets  pieceBuffer    // of texts, lists and maps
	values   pieceBuffer    // numbers, bits, texts, views, or indices into dict
	views    []pieceBuffer  // what views reach
	end      int64          // the last of offsets
	dict     *array.Data
	within   []*pieceColumn // of a list its values, of a struct its fields
}

// pieceBuffer is where a buffer lies.
type pieceBuffer struct {
	absent bool
	view   []byte // of the mapping; nil in scratch
	at     int64  // in the file, or in scratch
	size   int64  // bytes
}

// place notes where the next column's buffers lie, and puts those into scratch that do
// not lie in the file as they are.
func (p *pieces) place(l *loader, c *column, given arrow.DataType) (*pieceColumn, error) {
	n, err := l.nextNode()
	if err != nil {
		return nil, err
	}
	if n.rows > maxRows {
		return nil, unsupported("an array of %d values", n.rows)
	}
	out := &pieceColumn{column: c, given: given, rows: n.rows, nulls: n.nulls, validity: pieceBuffer{absent: true}}
	if l.hasValidity(c.storage.ID()) {
		if out.validity, err = p.placeValidity(l, n); err != nil {
			return nil, err
		}
	}
	switch t := c.storage.(type) {
	case *arrow.NullType:
		out.nulls = n.rows
		return out, nil
	case *arrow.StructType:
		return out, p.placeFields(l, out, t)
	case *arrow.FixedSizeListType:
		return out, p.placeFixedSizeList(l, out, t)
	case *arrow.MapType:
		return out, p.placeList(l, out, t.Elem())
	case *arrow.ListType:
		return out, p.placeList(l, out, t.Elem())
	case *arrow.LargeListType:
		return out, p.placeList(l, out, t.Elem())
	case *arrow.StringViewType, *arrow.BinaryViewType:
		return out, p.placeViews(l, out)
	case *arrow.DictionaryType:
		return out, p.placeIndices(l, out, t)
	case arrow.BinaryDataType:
		return out, p.placeTexts(l, out)
	case arrow.FixedWidthDataType:
		need, w := bitutil.BytesForBits(n.rows), bytesWord
		if t.BitWidth() > 1 {
			w = wordOf(t)
			if need, err = fixedBytes(n.rows, t.Bytes()); err != nil {
				return nil, err
			}
		}
		out.values, err = p.placeBuffer(l, need, w)
		return out, err
	default:
		return nil, unsupported("type %s", t)
	}
}

// countBytes are looked at of a bitmap before its pages are given back.
const countBytes = 4 << 20

// placeValidity is place of a bitmap, whose nulls it counts.
func (p *pieces) placeValidity(l *loader, n node) (at pieceBuffer, err error) {
	if n.nulls == 0 {
		_, err := l.nextBuffer()
		return pieceBuffer{absent: true}, err
	}
	if at, err = p.placeBuffer(l, bitutil.BytesForBits(n.rows), bytesWord); err != nil {
		return at, err
	}
	set := int64(0)
	for from := int64(0); from < n.rows; from += 8 * countBytes {
		count := min(n.rows-from, 8*countBytes)
		bits, err := p.bits(&at, from, count)
		if err != nil {
			return at, err
		}
		set += int64(bitutil.CountSetBits(bits.Bytes(), 0, int(count)))
		bits.Release()
		if at.view != nil {
			p.passed(at.at + from/8 + bitutil.BytesForBits(count))
		}
	}
	return at, checkNulls(n, set)
}

// placeBuffer is place of the next buffer, of need bytes at least.
func (p *pieces) placeBuffer(l *loader, need int64, w word) (at pieceBuffer, err error) {
	e, err := l.nextBuffer()
	if err != nil || need == 0 || e.length == 0 && need == whole {
		return at, err
	}
	b := flowing{stored: l.body[e.offset : e.offset+e.length], plain: true, size: e.length, word: w}
	if l.meta.codec != codecNone && e.length > 0 {
		size, frame, err := l.frameOf(b.stored, need)
		if err != nil || size == 0 {
			return at, err
		}
		b.stored, b.plain, b.size = frame, size < 0, size
		if b.plain {
			b.size = int64(len(frame))
		}
	}
	if err := checkLength(b.size, need); err != nil {
		return at, err
	}
	if b.kept = b.size; need != whole {
		b.kept = need
	}
	if view := b.stored; b.plain && (!l.swap || w == bytesWord) && mapped.Aligned(view, w.align()) {
		return pieceBuffer{view: view[:b.kept], at: l.bodyAt(view), size: b.kept}, nil
	}
	at = pieceBuffer{at: p.size, size: b.kept}
	return at, p.flow.into(p, l, b)
}

// placeOffsets is place of offsets, of which it reads the last.
func (p *pieces) placeOffsets(l *loader, c *pieceColumn) error {
	width := offsetBytes(c.storage)
	if c.rows == 0 { // see loader.offsets
		_, err := l.nextBuffer()
		c.offsets.absent = true
		return err
	}
	need, err := fixedBytes(c.rows+1, width)
	if err != nil {
		return err
	}
	w := bytesWord // copies are aligned
	if l.swap {
		w = word(width)
	}
	if c.offsets, err = p.placeBuffer(l, need, w); err != nil {
		return err
	}
	if l.meta.codec != codecNone || l.swap {
		if err := p.descent(c); err != nil {
			return err
		}
	}
	c.end = p.offsetAt(c, c.rows)
	return nil
}

// placeTexts is place of what follows the validity of texts and binaries.
func (p *pieces) placeTexts(l *loader, c *pieceColumn) (err error) {
	if err := p.placeOffsets(l, c); err != nil {
		return err
	}
	if l.meta.codec != codecNone || l.swap { // the offsets are checked
		c.values, err = p.placeBuffer(l, c.end, bytesWord)
		return err
	}
	if c.values, err = p.placeBuffer(l, whole, bytesWord); err != nil {
		return err
	}
	if err := p.checkEnd(c, c.values.size); err != nil {
		return err
	}
	return checkLength(c.values.size, c.end)
}

// checkEnd checks that the offsets start at 0 or above, and that the last does not lie
// beyond those that there are values for, unless it is an earlier offset that is wrong.
func (p *pieces) checkEnd(c *pieceColumn, values int64) error {
	if c.rows == 0 || p.offsetAt(c, 0) >= 0 && c.end >= 0 && c.end <= values {
		return nil
	}
	return p.descent(c)
}

// placeList is place of what follows the validity of lists and maps.
func (p *pieces) placeList(l *loader, c *pieceColumn, elem arrow.DataType) error {
	if err := p.placeOffsets(l, c); err != nil {
		return err
	}
	child, err := p.place(l, &c.children[0], elem)
	if err != nil {
		return err
	}
	c.within = []*pieceColumn{child}
	if err := p.checkEnd(c, child.rows); err != nil {
		return err
	}
	if c.end > child.rows {
		return damaged("lists end at value %d of %d", c.end, child.rows)
	}
	if c.storage.ID() == arrow.MAP {
		if nulls := child.nulls + child.within[0].nulls; nulls > 0 {
			return damaged("a map with %d null entries or keys", nulls)
		}
	}
	if c.rows > 0 {
		if err := p.passOver(child, 0, min(p.offsetAt(c, 0), c.end)); err != nil {
			return err
		}
	}
	return p.passOver(child, c.end, child.rows)
}

func (p *pieces) placeFixedSizeList(l *loader, c *pieceColumn, t *arrow.FixedSizeListType) error {
	child, err := p.place(l, &c.children[0], t.Elem())
	if err != nil {
		return err
	}
	if child.rows/int64(t.Len()) < c.rows {
		return damaged("%d lists of %d values have %d values", c.rows, t.Len(), child.rows)
	}
	c.within = []*pieceColumn{child}
	return p.passOver(child, c.rows*int64(t.Len()), child.rows)
}

func (p *pieces) placeFields(l *loader, c *pieceColumn, t *arrow.StructType) error {
	for i, field := range t.Fields() {
		child, err := p.place(l, &c.children[i], field.Type)
		if err != nil {
			return err
		}
		if child.rows < c.rows {
			return damaged("field %q has %d values for %d rows", field.Name, child.rows, c.rows)
		}
		c.within = append(c.within, child)
		if err := p.passOver(child, c.rows, child.rows); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) placeViews(l *loader, c *pieceColumn) error {
	need, err := fixedBytes(c.rows, viewBytes)
	if err != nil {
		return err
	}
	w := bytesWord // copies are aligned
	if l.swap {
		w = viewWord
	}
	if c.values, err = p.placeBuffer(l, need, w); err != nil {
		return err
	}
	n, err := l.nextVariadic()
	if err != nil {
		return err
	}
	c.views = make([]pieceBuffer, n)
	for i := range c.views {
		if c.views[i], err = p.placeBuffer(l, whole, bytesWord); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) placeIndices(l *loader, c *pieceColumn, t *arrow.DictionaryType) error {
	width := t.IndexType.(arrow.FixedWidthDataType).Bytes()
	need, err := fixedBytes(c.rows, width)
	if err != nil {
		return err
	}
	if c.values, err = p.placeBuffer(l, need, word(width)); err != nil {
		return err
	}
	if c.dict, err = l.dictionaryOf(c.column); err != nil {
		return err
	}
	c.dict.Retain()
	p.dicts = append(p.dicts, c.dict)
	return nil
}

// passOver checks values that no row has: those around the ones of lists.
func (p *pieces) passOver(c *pieceColumn, from, end int64) error {
	for c.checked() && from < end {
		n := min(end-from, passOverRows)
		data, err := p.data(c, from, n)
		if err != nil {
			return err
		}
		data.Release()
		from += n
	}
	return nil
}

// passOverRows are checked at a time.
const passOverRows = 1 << 12

// checked reports whether each row of a column is. If so, its rows have bytes.
func (c *pieceColumn) checked() bool {
	switch c.storage.(type) {
	case *arrow.DictionaryType, arrow.BinaryDataType, *arrow.ListType, *arrow.LargeListType, *arrow.MapType:
		return true
	}
	return slices.ContainsFunc(c.within, (*pieceColumn).checked)
}

// offsetBytes is the size of an offset.
func offsetBytes(t arrow.DataType) int {
	switch t.ID() {
	case arrow.LARGE_STRING, arrow.LARGE_BINARY, arrow.LARGE_LIST:
		return 8
	default:
		return 4
	}
}

// offsetAt is an offset as it stands in the file, unchecked.
func (p *pieces) offsetAt(c *pieceColumn, i int64) int64 {
	width := int64(offsetBytes(c.storage))
	var word [8]byte
	b := word[:]
	switch file, err := p.fileOf(&c.offsets); {
	case err != nil:
		return math.MinInt64 // found out where the offsets are read
	case file == nil:
		b = c.offsets.view[i*width:]
	default:
		if _, err := file.ReadAt(word[:width], c.offsets.at+i*width); err != nil {
			return math.MinInt64
		}
	}
	if width == 4 {
		return int64(int32(binary.NativeEndian.Uint32(b)))
	}
	return int64(binary.NativeEndian.Uint64(b))
}

// descent is the error of offsets that do not ascend; nil if they do.
func (p *pieces) descent(c *pieceColumn) error {
	for from := int64(0); from < c.rows; from += passOverRows {
		b, _, _, err := p.offsetsOf(c, from, min(c.rows-from, passOverRows))
		if err != nil {
			return err
		}
		b.Release()
	}
	return nil
}
