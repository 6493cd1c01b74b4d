package arrowfile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// The checks below are of values that other code uses as addresses. They see
// buffers of exactly the rows' length, in the machine's byte order. Slots of
// null rows may hold anything where nothing looks at them.

// Sizes of a view and of the text that fits into it.
const (
	viewBytes   = 16
	inlineBytes = 12
)

// checkOffsets checks that offsets start at 0 or above and never descend, and
// returns the last.
func checkOffsets(b []byte, width int) (int64, error) {
	if width == 4 {
		o := arrow.Int32Traits.CastFromBytes(b)
		return ascending(o)
	}
	return ascending(arrow.Int64Traits.CastFromBytes(b))
}

func ascending[T int32 | int64](o []T) (int64, error) {
	if o[0] < 0 {
		return 0, damaged("the first offset is %d", o[0])
	}
	prev := o[0]
	for i, v := range o {
		if v < prev {
			return 0, damaged("offset %d is %d after %d", i, v, prev)
		}
		prev = v
	}
	return int64(prev), nil
}

// checkIndices checks that the indices of valid rows lie below n.
func checkIndices(p *parts, index arrow.DataType, b []byte, n uint64) error {
	switch index.ID() {
	case arrow.INT8:
		return below(p, arrow.Int8Traits.CastFromBytes(b), n)
	case arrow.UINT8:
		return below(p, b, n)
	case arrow.INT16:
		return below(p, arrow.Int16Traits.CastFromBytes(b), n)
	case arrow.UINT16:
		return below(p, arrow.Uint16Traits.CastFromBytes(b), n)
	case arrow.INT32:
		return below(p, arrow.Int32Traits.CastFromBytes(b), n)
	case arrow.UINT32:
		return below(p, arrow.Uint32Traits.CastFromBytes(b), n)
	case arrow.INT64:
		return below(p, arrow.Int64Traits.CastFromBytes(b), n)
	default:
		return below(p, arrow.Uint64Traits.CastFromBytes(b), n)
	}
}

// below takes a negative index for a huge one, by sign extension.
func below[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](p *parts, indices []T, n uint64) error {
	for i, v := range indices {
		if uint64(v) >= n && p.valid(i) {
			return damaged("row %d has index %d into a dictionary of %d values", p.first+int64(i), v, n)
		}
	}
	return nil
}

// checkViews checks that the views of valid rows lie within their buffers, of sizes in
// bytes.
func checkViews(p *parts, views []byte, sizes []int64) error {
	for i := 0; len(views) >= viewBytes; i, views = i+1, views[viewBytes:] {
		n := int32(binary.NativeEndian.Uint32(views))
		if n >= 0 && n <= inlineBytes || !p.valid(i) {
			continue
		}
		at, off := int32(binary.NativeEndian.Uint32(views[8:])), int32(binary.NativeEndian.Uint32(views[12:]))
		if n < 0 || at < 0 || int(at) >= len(sizes) || off < 0 {
			return damaged("row %d is a view of %d bytes at %d of buffer %d of %d", p.first+int64(i), n, off, at, len(sizes))
		}
		// arrow-go adds the two in 32 bits.
		if end := int64(off) + int64(n); end > sizes[at] || end > math.MaxInt32 {
			return damaged("row %d is a view of %d bytes at %d of a buffer of %d", p.first+int64(i), n, off, sizes[at])
		}
	}
	return nil
}

// checkNulls checks how many bits of a validity bitmap are set.
func checkNulls(n node, set int64) error {
	if set != n.rows-n.nulls {
		return damaged("the validity bitmap has %d nulls; the metadata says %d", n.rows-set, n.nulls)
	}
	return nil
}

// checkListViews checks that every view, null or not, lies within the child:
// the format asks for that.
func checkListViews(offsets, sizes []byte, width int, n int64) error {
	for i := 0; len(offsets) >= width; i, offsets, sizes = i+1, offsets[width:], sizes[width:] {
		off, size := intAt(offsets, width), intAt(sizes, width)
		if off < 0 || size < 0 || off > n || size > n-off {
			return damaged("row %d is a list of %d values at %d of %d", i, size, off, n)
		}
	}
	return nil
}

// intAt reads the signed number of a width at the start of b.
func intAt(b []byte, width int) int64 {
	switch width {
	case 2:
		return int64(int16(binary.NativeEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.NativeEndian.Uint32(b)))
	default:
		return int64(binary.NativeEndian.Uint64(b))
	}
}

// checkUnion checks that every row's type is one of the union's and, when
// dense, that its offset lies within that child.
func checkUnion(codes []arrow.UnionTypeCode, types, offsets []byte, children []*array.Data) error {
	var childOf [256]int
	for i := range childOf {
		childOf[i] = -1
	}
	for i, c := range codes {
		childOf[uint8(c)] = i
	}
	for i, t := range types {
		child := childOf[t]
		if child < 0 {
			return damaged("row %d is of union type %d, which the schema does not have", i, int8(t))
		}
		if offsets == nil {
			continue
		}
		if off := intAt(offsets[4*i:], 4); off < 0 || off >= int64(children[child].Len()) {
			return damaged("row %d is value %d of %d of union type %d", i, off, children[child].Len(), int8(t))
		}
	}
	return nil
}

// checkRuns checks that run ends ascend from above 0 to rows or more.
func checkRuns(ends []byte, width int, rows int64) error {
	last := int64(0)
	for i := 0; len(ends) >= width; i, ends = i+1, ends[width:] {
		end := intAt(ends, width)
		if end <= last {
			return damaged("run %d ends at %d after %d", i, end, last)
		}
		last = end
	}
	if last < rows {
		return damaged("runs end at %d of %d rows", last, rows)
	}
	return nil
}
