package parquetfile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
)

// values decodes the values of a leaf, those that are not null, and holds those
// read and not dropped.
type values interface {
	// dictionary takes over the n values of a dictionary page, in a buffer of the budget's. After
	// an error that is the caller's.
	dictionary(n int, data []byte) error
	// open starts a data page: at most n values, borrowed until the next open.
	open(enc parquet.Encoding, data []byte, n int) error
	// read appends the next n values of the page, for which grow has made
	// room. All of them are there, or it returns an error.
	read(n int) error
	// step is the most values to read at a time.
	step() int
	len() int
	grow(extra int)
	// drop forgets the first n.
	drop(n int)
	release()
}

// newValues returns the store for a physical type; width is that of a fixed
// length byte array.
func newValues(t parquet.Type, width int, mem *budget) (values, error) {
	switch t {
	case parquet.Types.Boolean:
		return &boolValues{held: held{width: 1, mem: mem}}, nil
	case parquet.Types.ByteArray:
		return &byteArrays{mem: mem}, nil
	}
	width, ok := fixedWidth(t, width)
	if !ok {
		return nil, unsupported("physical type %s", t)
	}
	if width <= 0 {
		return nil, damaged("fixed length byte array of %d bytes", width)
	}
	return &fixed{held: held{width: width, mem: mem}, physical: t}, nil
}

// fixedWidth is the size in bytes of a value of a physical type that has one; length is
// that of a fixed length byte array.
func fixedWidth(t parquet.Type, length int) (width int, ok bool) {
	switch t {
	case parquet.Types.Int32, parquet.Types.Float:
		return arrow.Int32SizeBytes, true
	case parquet.Types.Int64, parquet.Types.Double:
		return arrow.Int64SizeBytes, true
	case parquet.Types.Int96:
		return parquet.Int96SizeBytes, true
	case parquet.Types.FixedLenByteArray:
		return length, true
	}
	return 0, false
}

// held is values of a fixed width, one after the other.
type held struct {
	width int
	n     int
	buf   *memory.Buffer // room for at least n values; nil until the first grow
	mem   *budget
}

func (v *held) len() int { return v.n }

func (v *held) grow(extra int) {
	if v.buf == nil {
		v.buf = memory.NewResizableBuffer(v.mem)
	}
	if need := (v.n + extra) * v.width; need > v.buf.Len() {
		if v.n > 0 { // the number is not known before: grow by doubling
			need = max(need, 2*v.buf.Len())
		}
		v.buf.ResizeNoShrink(need)
	}
}

// room is where the next n values go.
func (v *held) room(n int) []byte {
	return v.buf.Bytes()[v.n*v.width : (v.n+n)*v.width]
}

func (v *held) drop(n int) {
	if v.buf != nil {
		b := v.buf.Bytes()
		copy(b, b[n*v.width:v.n*v.width])
	}
	v.n -= n
}

// take gives the first n values in a buffer with room for room; the caller
// releases it. drop(n) must follow.
func (v *held) take(n, room int) *memory.Buffer {
	if v.buf != nil && n == v.n {
		// All of them: the buffer itself.
		out := v.buf
		v.buf = nil
		out.ResizeNoShrink(room * v.width)
		return out
	}
	out := memory.NewResizableBuffer(v.mem)
	out.ResizeNoShrink(room * v.width)
	if v.buf != nil {
		copy(out.Bytes(), v.buf.Bytes()[:n*v.width])
	}
	return out
}

// bytes are the first n values.
func (v *held) bytes(n int) []byte {
	if v.buf == nil {
		return nil
	}
	return v.buf.Bytes()[:n*v.width]
}

func (v *held) release() {
	if v.buf != nil {
		v.buf.Release()
		v.buf = nil
	}
}

// noValues is the error of a page that has fewer values than levels say.
func noValues(missing int) error { return damaged("page ends %d values early", missing) }

func unsupportedEncoding(enc parquet.Encoding, t parquet.Type) error {
	return unsupported("encoding %s of %s", enc, t)
}

// openIndices starts a data page of dictionary indices: their bits u8, then a
// hybrid. A page of nulls may have no bytes.
func openIndices(data []byte, dictionary bool) (hybrid, error) {
	switch {
	case !dictionary:
		return hybrid{}, damaged("page of dictionary indices before any dictionary")
	case len(data) == 0:
		return hybrid{}, nil
	case data[0] > 32:
		return hybrid{}, damaged("dictionary indices of %d bits", data[0])
	}
	return newHybrid(data[1:], uint(data[0])), nil
}

// fixed decodes the types of a fixed width but booleans.
type fixed struct {
	held
	physical parquet.Type
	dict     []byte // the dictionary's values, from mem
	haveDict bool

	// The current page.
	encoding parquet.Encoding
	page     []byte // PLAIN: values to come; BYTE_STREAM_SPLIT: all of it
	at       int    // BYTE_STREAM_SPLIT: values read
	indices  hybrid
	deltas   deltas
	arrays   lengths
}

// anyStep is no bound: a page and what was asked for are.
const anyStep = math.MaxInt32

func (v *fixed) step() int { return anyStep }

func (v *fixed) dictionary(n int, data []byte) error {
	if v.haveDict {
		return damaged("column chunk has two dictionaries")
	}
	if n > len(data)/v.width {
		return damaged("dictionary of %d values has %d bytes", n, len(data))
	}
	v.haveDict = true
	v.dict = data[:n*v.width]
	return nil
}

func (v *fixed) open(enc parquet.Encoding, data []byte, n int) (err error) {
	e, t := parquet.Encodings, parquet.Types
	v.page, v.at = data, 0
	switch enc {
	case e.Plain:
	case e.PlainDict, e.RLEDict:
		enc = e.RLEDict
		v.indices, err = openIndices(data, v.haveDict)
	case e.ByteStreamSplit:
		if v.physical == t.Int96 {
			return unsupportedEncoding(enc, v.physical)
		}
		if len(data)%v.width != 0 {
			return damaged("%d bytes of streams for values of %d", len(data), v.width)
		}
	case e.DeltaBinaryPacked:
		if v.physical != t.Int32 && v.physical != t.Int64 {
			return unsupportedEncoding(enc, v.physical)
		}
		v.deltas = deltas{}
		if len(data) > 0 {
			v.deltas, err = newDeltas(data, n)
		}
	case e.DeltaByteArray:
		if v.physical != t.FixedLenByteArray {
			return unsupportedEncoding(enc, v.physical)
		}
		v.arrays.mem = v.mem
		err = v.arrays.open(enc, data, n)
	default:
		return unsupportedEncoding(enc, v.physical)
	}
	v.encoding = enc
	return err
}

func (v *fixed) read(n int) error {
	out := v.room(n)
	var err error
	switch v.encoding {
	case parquet.Encodings.Plain:
		if len(out) > len(v.page) {
			return noValues(n - len(v.page)/v.width)
		}
		v.page = v.page[copy(out, v.page):]
	case parquet.Encodings.RLEDict:
		err = v.gather(out)
	case parquet.Encodings.ByteStreamSplit:
		streams := len(v.page) / v.width
		if n > streams-v.at {
			return noValues(n - (streams - v.at))
		}
		for j := range v.width {
			for i, b := range v.page[j*streams+v.at : j*streams+v.at+n] {
				out[i*v.width+j] = b
			}
		}
		v.at += n
	case parquet.Encodings.DeltaBinaryPacked:
		if v.width == arrow.Int32SizeBytes {
			err = decodeDeltas(&v.deltas, arrow.Uint32Traits.CastFromBytes(out))
		} else {
			err = decodeDeltas(&v.deltas, arrow.Uint64Traits.CastFromBytes(out))
		}
	case parquet.Encodings.DeltaByteArray:
		for ; len(out) > 0 && err == nil; out = out[v.width:] {
			err = v.arrays.exactly(out[:v.width])
		}
	}
	if err == nil {
		v.n += n
	}
	return err
}

func (v *fixed) gather(out []byte) error {
	switch v.width {
	case arrow.Uint32SizeBytes:
		return gather(&v.indices, arrow.Uint32Traits.CastFromBytes(out), arrow.Uint32Traits.CastFromBytes(v.dict))
	case arrow.Uint64SizeBytes:
		return gather(&v.indices, arrow.Uint64Traits.CastFromBytes(out), arrow.Uint64Traits.CastFromBytes(v.dict))
	}
	var indices [256]uint32
	count := len(v.dict) / v.width
	for len(out) > 0 {
		some := indices[:min(len(indices), len(out)/v.width)]
		if err := decode(&v.indices, some); err != nil {
			return err
		}
		for _, x := range some {
			if int(x) >= count {
				return badIndex(x, count)
			}
			copyValue(out[:v.width], v.dict[int(x)*v.width:(int(x)+1)*v.width])
			out = out[v.width:]
		}
	}
	return nil
}

// copyValue copies a value as long as dst: one of 8 to 16 bytes, as decimals and UUIDs are, by
// two words that may overlap, since copy calls a function.
func copyValue(dst, src []byte) {
	if n := len(src); n >= wordBytes && n <= 2*wordBytes {
		first, last := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[n-wordBytes:])
		binary.LittleEndian.PutUint64(dst, first)
		binary.LittleEndian.PutUint64(dst[n-wordBytes:], last)
		return
	}
	copy(dst, src)
}

func (v *fixed) release() {
	v.held.release()
	v.mem.Free(v.dict)
	v.dict = nil
	v.arrays.release()
}

// boolValues holds one byte per value, 0 or 1.
type boolValues struct {
	held
	bits hybrid
}

func (v *boolValues) step() int { return anyStep }

func (v *boolValues) dictionary(int, []byte) error {
	return damaged("dictionary of booleans")
}

func (v *boolValues) open(enc parquet.Encoding, data []byte, _ int) error {
	switch enc {
	case parquet.Encodings.Plain: // as one bit-packed run
		v.bits = hybrid{width: 1, packed: data, left: 8 * len(data)}
	case parquet.Encodings.RLE:
		v.bits = hybrid{}
		if len(data) == 0 {
			return nil
		}
		if len(data) < 4 || uint64(le32(data)) > uint64(len(data)-4) {
			return damaged("booleans end early")
		}
		v.bits = newHybrid(data[4:4+le32(data)], 1)
	default:
		return unsupportedEncoding(enc, parquet.Types.Boolean)
	}
	return nil
}

func (v *boolValues) read(n int) error {
	if err := decode(&v.bits, v.room(n)); err != nil {
		return err
	}
	v.n += n
	return nil
}
