package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

const (
	millisPerDay = 24 * 60 * 60 * 1000
	nanosPerDay  = millisPerDay * 1_000_000
	// julianUnixEpoch is the Julian day number of 1970-01-01.
	julianUnixEpoch = 2440588
)

// spaced gives the buffers of a leaf's array: validity, which it does not take
// over, and the values at their slots, which the caller releases.
func (a *assembler) spaced(n *node, l *leaf, validity *memory.Buffer, slots int) ([]*memory.Buffer, error) {
	var bits []byte
	if validity != nil {
		bits = validity.Bytes()
	}
	switch v := l.vals.(type) {
	case *byteArrays:
		if w := decimalBytes(n.storage); w > 0 {
			out, err := a.decimalsOfAny(v, l.dense, slots, w)
			if err != nil {
				return nil, err
			}
			spreadOver(out, w, bits, l.dense, slots)
			return []*memory.Buffer{validity, out}, nil
		}
		offsets, data, err := a.strings(n, v, l.dense, bits, slots)
		if err != nil {
			return nil, err
		}
		return []*memory.Buffer{validity, offsets, data}, nil
	case *boolValues:
		dense := v.take(l.dense, slots)
		defer dense.Release()
		spreadOver(dense, 1, bits, l.dense, slots)
		out := a.buffer(int(bitutil.BytesForBits(int64(slots))))
		packBits(out.Bytes(), dense.Bytes()[:slots])
		return []*memory.Buffer{validity, out}, nil
	case *fixed:
		out, width, err := a.fixedWidth(n.storage, v, l.physical, l.dense, slots)
		if err != nil {
			return nil, err
		}
		spreadOver(out, width, bits, l.dense, slots)
		return []*memory.Buffer{validity, out}, nil
	}
	return nil, unsupported("values %T", l.vals)
}

func spreadOver(b *memory.Buffer, width int, bits []byte, dense, slots int) {
	if bits != nil {
		kernel.Spread(b.Bytes(), width, bits, dense, slots)
	}
}

// fixedWidth gives dense values converted to a fixed width Arrow type, in a
// buffer with room for slots, and that width. The caller releases the buffer.
func (a *assembler) fixedWidth(t arrow.DataType, v *fixed, physical parquet.Type, dense, slots int) (*memory.Buffer, int, error) {
	ft, ok := t.(arrow.FixedWidthDataType)
	if !ok {
		return nil, 0, unsupported("%s stored as %s", t, physical)
	}
	width := ft.BitWidth() / 8
	src := v.bytes(dense)
	var out *memory.Buffer
	converted := func() []byte {
		out = a.buffer(width * slots)
		return out.Bytes()
	}
	switch id := t.ID(); {
	case decimalBytes(t) > 0:
		if err := decimals(converted(), width, src, v.width, physical); err != nil {
			out.Release()
			return nil, 0, err
		}
	case physical == parquet.Types.Int96 && id == arrow.TIMESTAMP:
		int96Nanos(arrow.Int64Traits.CastFromBytes(converted()), src)
	case physical == parquet.Types.Int32 && id == arrow.DATE64:
		millis := arrow.Int64Traits.CastFromBytes(converted())
		for i, days := range arrow.Int32Traits.CastFromBytes(src) {
			millis[i] = int64(days) * millisPerDay
		}
	case physical == parquet.Types.Int32 && width == 1:
		narrow := converted()
		for i, x := range arrow.Int32Traits.CastFromBytes(src) {
			narrow[i] = byte(x)
		}
	case physical == parquet.Types.Int32 && width == 2:
		narrow := arrow.Int16Traits.CastFromBytes(converted())
		for i, x := range arrow.Int32Traits.CastFromBytes(src) {
			narrow[i] = int16(x)
		}
	case width == v.width:
		return v.take(dense, slots), width, nil
	default:
		return nil, 0, unsupported("%s stored as %s", t, physical)
	}
	return out, width, nil
}

// int96Nanos turns (nanoseconds of the day u64, Julian day u32) into
// nanoseconds since 1970. A date past what they hold (1677 to 2262) wraps
// around, as it does in Arrow C++.
func int96Nanos(out []int64, src []byte) {
	for i := 0; len(src) >= parquet.Int96SizeBytes; i++ {
		nanos := int64(binary.LittleEndian.Uint64(src))
		day := int64(binary.LittleEndian.Uint32(src[8:])) - julianUnixEpoch
		out[i] = day*nanosPerDay + nanos
		src = src[parquet.Int96SizeBytes:]
	}
}

// strings gives the offsets and bytes of values of any length. A null has no
// bytes.
func (a *assembler) strings(n *node, v *byteArrays, dense int, bits []byte, slots int) (offsets, data *memory.Buffer, err error) {
	large := false
	switch n.storage.ID() {
	case arrow.STRING, arrow.BINARY:
	case arrow.LARGE_STRING, arrow.LARGE_BINARY:
		large = true
	default:
		return nil, nil, unsupported("%s stored as %s", n.storage, parquet.Types.ByteArray)
	}
	if v.offsets == nil {
		v.grow(0)
	}
	from := arrow.Int32Traits.CastFromBytes(v.offsets.Bytes())
	end := int(from[dense])
	if dense == v.n {
		data, v.data = v.data, memory.NewResizableBuffer(a.mem)
		data.ResizeNoShrink(end)
	} else {
		data = a.buffer(end)
		copy(data.Bytes(), v.data.Bytes()[:end])
	}
	if large {
		offsets = a.buffer(8 * (slots + 1))
		spaceOffsets(arrow.Int64Traits.CastFromBytes(offsets.Bytes()), from, bits)
	} else {
		offsets = a.buffer(4 * (slots + 1))
		spaceOffsets(arrow.Int32Traits.CastFromBytes(offsets.Bytes()), from, bits)
	}
	return offsets, data, nil
}

// spaceOffsets gives every slot an offset; one whose bit is not set is empty.
func spaceOffsets[T int32 | int64](out []T, from []int32, bits []byte) {
	out[0] = 0
	if bits == nil {
		for i := range out {
			out[i] = T(from[i])
		}
		return
	}
	k := 0
	for i := range len(out) - 1 {
		k += int(bits[i>>3] >> (i & 7) & 1)
		out[i+1] = T(from[k])
	}
}
