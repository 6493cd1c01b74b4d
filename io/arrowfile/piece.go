package arrowfile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// data gives n rows of a column, checked.
func (p *pieces) data(c *pieceColumn, from, n int64) (arrow.ArrayData, error) {
	out := pieceData{buffers: []*memory.Buffer{nil}}
	defer out.release()
	nulls := 0
	if !c.validity.absent {
		validity, err := p.bits(&c.validity, from, n)
		if err != nil {
			return nil, err
		}
		out.buffers[0] = validity
		nulls = int(n) - bitutil.CountSetBits(validity.Bytes(), 0, int(n))
	}
	if c.storage.ID() == arrow.NULL {
		nulls = int(n)
	}
	if err := p.fill(&out, c, from, n); err != nil {
		return nil, err
	}
	data := array.NewData(c.given, int(n), out.buffers, out.children, nulls, 0)
	if c.dict != nil {
		data.SetDictionary(c.dict)
	}
	return data, nil
}

// pieceData is an array in the making, whose references it owns.
type pieceData struct {
	buffers  []*memory.Buffer // the first is the validity
	children []arrow.ArrayData
}

func (d *pieceData) release() {
	for _, b := range d.buffers {
		if b != nil {
			b.Release()
		}
	}
	for _, c := range d.children {
		c.Release()
	}
}

// fill adds what follows the validity.
func (p *pieces) fill(out *pieceData, c *pieceColumn, from, n int64) error {
	switch t := c.storage.(type) {
	case *arrow.NullType:
		return nil
	case *arrow.StructType:
		for _, field := range c.within {
			if err := p.child(out, field, from, n); err != nil {
				return err
			}
		}
		return nil
	case *arrow.FixedSizeListType:
		k := int64(t.Len())
		return p.child(out, c.within[0], from*k, n*k)
	case *arrow.ListType, *arrow.LargeListType, *arrow.MapType:
		first, end, err := p.offsets(out, c, from, n, c.within[0].rows)
		if err != nil {
			return err
		}
		return p.child(out, c.within[0], first, end-first)
	case *arrow.StringViewType, *arrow.BinaryViewType:
		return p.viewed(out, c, from, n)
	case arrow.BinaryDataType:
		first, end, err := p.offsets(out, c, from, n, c.values.size)
		if err != nil {
			return err
		}
		return out.add(p.bytes(&c.values, first, end))
	case *arrow.DictionaryType:
		width := int64(t.IndexType.(arrow.FixedWidthDataType).Bytes())
		if err := out.add(p.bytes(&c.values, from*width, (from+n)*width)); err != nil {
			return err
		}
		return checkIndices(&parts{validity: out.buffers[0], first: from}, t.IndexType, out.buffers[1].Bytes(), uint64(c.dict.Len()))
	case *arrow.BooleanType:
		return out.add(p.bits(&c.values, from, n))
	default:
		width := int64(t.(arrow.FixedWidthDataType).Bytes())
		return out.add(p.bytes(&c.values, from*width, (from+n)*width))
	}
}

// add takes over a buffer.
func (d *pieceData) add(b *memory.Buffer, err error) error {
	if err == nil {
		d.buffers = append(d.buffers, b)
	}
	return err
}

// child adds n rows of a column within another.
func (p *pieces) child(out *pieceData, c *pieceColumn, from, n int64) error {
	data, err := p.data(c, from, n)
	if err == nil {
		out.children = append(out.children, data)
	}
	return err
}

// offsets adds the offsets of n rows, which start with 0 there, and gives the values that
// they reach: from first to end, which is no more than there are.
func (p *pieces) offsets(out *pieceData, c *pieceColumn, from, n, values int64) (first, end int64, err error) {
	b, first, end, err := p.offsetsOf(c, from, n)
	if err != nil {
		return 0, 0, err
	}
	out.buffers = append(out.buffers, b)
	if end > values { // and the last one is not: it descends later
		if err := p.descent(c); err != nil {
			return 0, 0, err
		}
		return 0, 0, damaged("offset %d is %d of %d", from+n, end, values)
	}
	return first, end, nil
}

// offsetsOf copies the offsets of n rows, checks that they ascend, and has them start with 0.
func (p *pieces) offsetsOf(c *pieceColumn, from, n int64) (b *memory.Buffer, first, end int64, err error) {
	if n == 0 {
		return zeroOffsets, 0, 0, nil
	}
	width := int64(offsetBytes(c.storage))
	if b, err = p.copied(&c.offsets, from*width, (from+n+1)*width); err != nil {
		return nil, 0, 0, err
	}
	if width == 4 {
		first, end, err = fromZero(arrow.Int32Traits.CastFromBytes(b.Bytes()), from)
	} else {
		first, end, err = fromZero(arrow.Int64Traits.CastFromBytes(b.Bytes()), from)
	}
	if err != nil {
		b.Release()
		return nil, 0, 0, err
	}
	return b, first, end, nil
}

// fromZero is ascending of the offsets from a row on, which then start with 0.
func fromZero[T int32 | int64](o []T, row int64) (first, end int64, err error) {
	start := o[0]
	if start < 0 {
		return 0, 0, damaged("the first offset is %d", start)
	}
	prev := start
	for i, v := range o {
		if v < prev {
			return 0, 0, damaged("offset %d is %d after %d", row+int64(i), v, prev)
		}
		o[i] = v - start
		prev = v
	}
	return int64(start), int64(prev), nil
}

// bits gives n bits of a buffer, a copy where they do not begin with a byte.
func (p *pieces) bits(b *pieceBuffer, from, n int64) (*memory.Buffer, error) {
	raw, err := p.bytes(b, from/8, bitutil.BytesForBits(from+n))
	if err != nil || from%8 == 0 || n == 0 {
		return raw, err
	}
	defer raw.Release()
	out, err := p.mem.buffer(bitutil.BytesForBits(n))
	if err != nil {
		return nil, err
	}
	clear(out.Bytes())
	bitutil.CopyBitmap(raw.Bytes(), int(from%8), int(n), out.Bytes(), 0)
	return out, nil
}

// copied gives a copy of a part of a buffer.
func (p *pieces) copied(b *pieceBuffer, first, end int64) (*memory.Buffer, error) {
	raw, err := p.bytes(b, first, end)
	if err != nil || b.view == nil || p.many || first == end {
		return raw, err
	}
	defer raw.Release()
	out, err := p.mem.buffer(end - first)
	if err != nil {
		return nil, err
	}
	copy(out.Bytes(), raw.Bytes())
	return out, nil
}

// bytes gives a part of a buffer.
func (p *pieces) bytes(b *pieceBuffer, first, end int64) (*memory.Buffer, error) {
	if first < 0 || end < first || end > b.size {
		return nil, damaged("bytes %d to %d of a buffer of %d", first, end, b.size)
	}
	if first == end {
		return emptyBuffer, nil
	}
	file, err := p.fileOf(b)
	if err != nil {
		return nil, err
	}
	if file == nil {
		view := b.view[first:end:end]
		if err := p.r.file.Populate(b.at+first, end-first); err != nil {
			return nil, err
		}
		return p.r.file.Buffer(view), nil
	}
	out, err := p.mem.buffer(end - first)
	if err != nil {
		return nil, err
	}
	if _, err := file.ReadAt(out.Bytes(), b.at+first); err != nil {
		out.Release()
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return out, nil
}

// sizeOf is the size in bytes of n rows of a column, as far as their offsets are right.
func (p *pieces) sizeOf(c *pieceColumn, from, n int64) (size int64) {
	if !c.validity.absent {
		size = n / 8
	}
	switch t := c.storage.(type) {
	case *arrow.NullType:
	case *arrow.StructType:
		for _, field := range c.within {
			size += p.sizeOf(field, from, n)
		}
	case *arrow.FixedSizeListType:
		k := int64(t.Len())
		size += p.sizeOf(c.within[0], from*k, n*k)
	case *arrow.ListType, *arrow.LargeListType, *arrow.MapType:
		first, end := p.reach(c, from, n, c.within[0].rows)
		size += int64(offsetBytes(t))*n + p.sizeOf(c.within[0], first, end-first)
	case *arrow.StringViewType, *arrow.BinaryViewType:
		size += viewBytes*n + p.viewedBytes(c, from, n)
	case arrow.BinaryDataType:
		first, end := p.reach(c, from, n, c.values.size)
		size += int64(offsetBytes(t))*n + end - first
	case *arrow.DictionaryType:
		size += n * int64(t.IndexType.(arrow.FixedWidthDataType).Bytes())
	default:
		size += n * int64(t.(arrow.FixedWidthDataType).BitWidth()) / 8
	}
	return size
}

// reach is the values that the offsets of n rows reach; none where they are wrong.
func (p *pieces) reach(c *pieceColumn, from, n, values int64) (first, end int64) {
	if n == 0 {
		return 0, 0
	}
	first, end = p.offsetAt(c, from), p.offsetAt(c, from+n)
	if first < 0 || end < first || end > values {
		return 0, 0
	}
	return first, end
}
