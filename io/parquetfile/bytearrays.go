package parquetfile

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/millrace/millrace/io/format"
)

// byteArrays decodes and holds values of any length.
type byteArrays struct {
	n       int
	offsets *memory.Buffer // n+1 int32
	data    *memory.Buffer
	mem     *budget

	// The dictionary's page, from mem: value i is dict[starts[i]:starts[i+1]-4], for the next
	// one's length lies between.
	dict     []byte
	starts   []uint32
	haveDict bool

	// The current page.
	encoding parquet.Encoding
	page     []byte // PLAIN: values to come
	indices  hybrid
	scratch  []uint32 // indices
	arrays   lengths
}

// plainLengthBytes come before a PLAIN value.
const plainLengthBytes = 4

// byteArraysStep bounds the scratch for indices.
const byteArraysStep = 4096

func (v *byteArrays) len() int  { return v.n }
func (v *byteArrays) step() int { return byteArraysStep }

// plainLength is the length of the PLAIN value at the front of b, which follows
// in 4 bytes.
func plainLength(b []byte) (int, error) {
	if len(b) < 4 {
		return 0, damaged("page ends before its last value")
	}
	n := le32(b)
	if uint64(n) > uint64(len(b)-4) {
		return 0, damaged("value of %d bytes where the page has %d", n, len(b)-4)
	}
	return int(n), nil
}

func (v *byteArrays) dictionary(n int, data []byte) error {
	if v.haveDict {
		return damaged("column chunk has two dictionaries")
	}
	if n > len(data)/4 {
		return damaged("dictionary of %d values has %d bytes", n, len(data))
	}
	v.haveDict = true
	v.starts = arrow.Uint32Traits.CastFromBytes(v.mem.Allocate(4 * (n + 1)))[:n+1]
	at := plainLengthBytes
	v.starts[0] = plainLengthBytes
	for i := range n {
		length, err := plainLength(data[at-plainLengthBytes:])
		if err != nil {
			return err
		}
		at += length + plainLengthBytes
		v.starts[i+1] = uint32(at)
	}
	v.dict = data
	return nil
}

func (v *byteArrays) open(enc parquet.Encoding, data []byte, n int) (err error) {
	v.page = data
	switch e := parquet.Encodings; enc {
	case e.Plain:
	case e.PlainDict, e.RLEDict:
		enc = e.RLEDict
		v.indices, err = openIndices(data, v.haveDict)
	case e.DeltaLengthByteArray, e.DeltaByteArray:
		v.arrays.mem = v.mem
		err = v.arrays.open(enc, data, n)
	default:
		return unsupportedEncoding(enc, parquet.Types.ByteArray)
	}
	v.encoding = enc
	return err
}

func (v *byteArrays) grow(extra int) {
	if v.offsets == nil {
		v.offsets = memory.NewResizableBuffer(v.mem)
		v.offsets.ResizeNoShrink(4)
		clear(v.offsets.Bytes())
		v.data = memory.NewResizableBuffer(v.mem)
	}
	if need := 4 * (v.n + extra + 1); need > v.offsets.Len() {
		if v.n > 0 {
			need = max(need, 2*v.offsets.Len())
		}
		v.offsets.ResizeNoShrink(need)
	}
}

// ends gives the offsets of n new values, the first one's start in front, and
// room for their bytes.
func (v *byteArrays) ends(n int, bytes int64) (ends []int32, data []byte, err error) {
	ends = arrow.Int32Traits.CastFromBytes(v.offsets.Bytes())[v.n : v.n+n+1]
	total := int64(ends[0]) + bytes
	if total > math.MaxInt32 {
		return nil, nil, fmt.Errorf("%w: more than 2 GiB of strings in one chunk; read fewer rows at a time", format.ErrBudget)
	}
	if int(total) > v.data.Len() {
		v.data.ResizeNoShrink(max(int(total), min(2*v.data.Len(), math.MaxInt32)))
	}
	return ends, v.data.Bytes(), nil
}

func (v *byteArrays) read(n int) (err error) {
	switch v.encoding {
	case parquet.Encodings.Plain:
		err = v.readPlain(n)
	case parquet.Encodings.RLEDict:
		err = v.readIndices(n)
	default:
		err = v.readLengths(n)
	}
	if err == nil {
		v.n += n
	}
	return err
}

func (v *byteArrays) readPlain(n int) error {
	rest := v.page
	for range n {
		length, err := plainLength(rest)
		if err != nil {
			return err
		}
		rest = rest[4+length:]
	}
	ends, data, err := v.ends(n, int64(len(v.page)-len(rest)-4*n))
	if err != nil {
		return err
	}
	page, end := v.page, int(ends[0])
	for i := range n {
		length := int(le32(page))
		end += copy(data[end:], page[4:4+length])
		page = page[4+length:]
		ends[i+1] = int32(end)
	}
	v.page = page
	return nil
}

func (v *byteArrays) readIndices(n int) error {
	if v.scratch == nil {
		v.scratch = make([]uint32, byteArraysStep)
	}
	indices, count := v.scratch[:n], len(v.starts)-1
	if err := decode(&v.indices, indices); err != nil {
		return err
	}
	bytes := int64(0)
	for _, x := range indices {
		if int(x) >= count {
			return badIndex(x, count)
		}
		bytes += int64(v.starts[x+1] - v.starts[x] - plainLengthBytes)
	}
	ends, data, err := v.ends(n, bytes)
	if err != nil {
		return err
	}
	end := int(ends[0])
	for i, x := range indices {
		end += copy(data[end:], v.dict[v.starts[x]:v.starts[x+1]-plainLengthBytes])
		ends[i+1] = int32(end)
	}
	return nil
}

func (v *byteArrays) readLengths(n int) error {
	bytes, err := v.arrays.total(n)
	if err != nil {
		return err
	}
	ends, data, err := v.ends(n, bytes)
	if err != nil {
		return err
	}
	end := int(ends[0])
	for i := range n {
		size, err := v.arrays.value(data[end:])
		if err != nil {
			return err
		}
		end += size
		ends[i+1] = int32(end)
	}
	return nil
}

func (v *byteArrays) drop(n int) {
	if n == 0 {
		return
	}
	if n == v.n { // the bytes may have been taken
		v.n = 0
		return
	}
	offsets := arrow.Int32Traits.CastFromBytes(v.offsets.Bytes())
	from, to := offsets[n], offsets[v.n]
	copy(v.data.Bytes(), v.data.Bytes()[from:to])
	for i := range v.n - n + 1 {
		offsets[i] = offsets[n+i] - from
	}
	v.n -= n
}

func (v *byteArrays) release() {
	if v.offsets != nil {
		v.offsets.Release()
		v.data.Release()
		v.offsets, v.data = nil, nil
	}
	if v.starts != nil {
		v.mem.Free(arrow.Uint32Traits.CastToBytes(v.starts))
		v.mem.Free(v.dict)
		v.starts, v.dict = nil, nil
	}
	v.arrays.release()
}
