package parquetfile

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
)

// bytesExtent is the extent of values of a fixed width, which are ordered by their bytes, or,
// if they are signed, as big endian integers, as decimals are.
type bytesExtent struct {
	width  int
	signed bool
	paged  byteBounds
	all    byteBounds
}

// byteBounds are a least and a greatest value; nil where there is none.
type byteBounds struct{ least, most []byte }

// add implements extent.
func (e *bytesExtent) add(values []byte) {
	if e.width > mostBoundBytes {
		return
	}
	for ; len(values) > 0; values = values[e.width:] {
		e.widen(&e.paged, values[:e.width])
	}
}

// widen makes bounds take in a value, which it copies.
func (e *bytesExtent) widen(b *byteBounds, v []byte) {
	switch {
	case b.least == nil:
		b.least, b.most = bytes.Clone(v), bytes.Clone(v)
	case e.less(v, b.least):
		copy(b.least, v)
	case e.less(b.most, v):
		copy(b.most, v)
	}
}

func (e *bytesExtent) less(a, b []byte) bool {
	const sign = 1 << 7
	if e.signed && (a[0]^b[0])&sign != 0 {
		return a[0]&sign != 0
	}
	return bytes.Compare(a, b) < 0
}

// page implements extent.
func (e *bytesExtent) page() (least, most []byte) {
	least, most = e.paged.least, e.paged.most
	e.paged = byteBounds{}
	if least != nil {
		e.widen(&e.all, least)
		e.widen(&e.all, most)
	}
	return least, most
}

// chunk implements extent.
func (e *bytesExtent) chunk() (least, most []byte) { return e.all.least, e.all.most }

// newHalfExtent is the extent of float16, in the order of whole numbers: a float is a sign and
// a magnitude, whose bits are ordered as it is. NaN is above all of them.
func newHalfExtent() extent {
	const sign, infinity = 1 << 15, 0x7c00
	var room []int32
	var e *extentOf[int32]
	numbers := func(values []byte) []int32 {
		room = room[:0]
		for _, bits := range arrow.Uint16Traits.CastFromBytes(values) {
			switch magnitude := int32(bits &^ sign); {
			case magnitude > infinity:
				e.paged.NaN = true
			case bits&sign != 0:
				room = append(room, -magnitude)
			default:
				room = append(room, magnitude)
			}
		}
		return room
	}
	half := func(number int32, zeroSign uint16) []byte {
		bits := uint16(number)
		if number < 0 {
			bits = uint16(-number) | sign
		}
		if number == 0 { // see zeros
			bits = zeroSign
		}
		return binary.LittleEndian.AppendUint16(nil, bits)
	}
	e = newExtentOf(math.MinInt32, math.MaxInt32, numbers, func(least, most int32) ([]byte, []byte) {
		return half(least, sign), half(most, 0)
	})
	return e
}
