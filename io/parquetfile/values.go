package parquetfile

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/millrace/millrace/io/format"
)

// values holds the dense values of a leaf: those read and not dropped.
type values interface {
	// read decodes up to n levels from the current page. It appends their
	// values, for which grow has made room.
	read(r file.ColumnChunkReader, n int, defs, reps []int16) (levels int64, dense int, err error)
	// step is the most levels to read at a time.
	step() int
	len() int
	grow(extra int) error
	// drop forgets the first n.
	drop(n int)
	release()
}

// newValues returns the store for a physical type; width is that of a fixed
// length byte array.
func newValues(t parquet.Type, width int, mem *budget) (values, error) {
	switch t {
	case parquet.Types.Boolean:
		return &boolValues{fixed: fixed{width: 1, mem: mem}}, nil
	case parquet.Types.Int32, parquet.Types.Float:
		return &fixed{width: 4, mem: mem}, nil
	case parquet.Types.Int64, parquet.Types.Double:
		return &fixed{width: 8, mem: mem}, nil
	case parquet.Types.Int96:
		return &fixed{width: parquet.Int96SizeBytes, mem: mem}, nil
	case parquet.Types.FixedLenByteArray:
		if width <= 0 {
			return nil, damaged("fixed length byte array of %d bytes", width)
		}
		return &fixedBytes{fixed: fixed{width: width, mem: mem}}, nil
	case parquet.Types.ByteArray:
		return &byteArrays{mem: mem, batch: minByteArrays}, nil
	}
	return nil, unsupported("physical type %s", t)
}

// fixed holds values of a fixed width, one after the other.
type fixed struct {
	width int
	n     int
	buf   *memory.Buffer // room for at least n values; nil until the first grow
	mem   *budget
}

func (v *fixed) len() int  { return v.n }
func (v *fixed) step() int { return math.MaxInt32 }

func (v *fixed) grow(extra int) error {
	if v.buf == nil {
		v.buf = memory.NewResizableBuffer(v.mem)
	}
	if need := (v.n + extra) * v.width; need > v.buf.Len() {
		if v.n > 0 { // the number is not known before: grow by doubling
			need = max(need, 2*v.buf.Len())
		}
		v.buf.ResizeNoShrink(need)
	}
	return nil
}

func (v *fixed) read(r file.ColumnChunkReader, n int, defs, reps []int16) (levels int64, dense int, err error) {
	b := v.buf.Bytes()
	switch r := r.(type) {
	case *file.Int32ColumnChunkReader:
		levels, dense, err = r.ReadBatchInPage(int64(n), arrow.Int32Traits.CastFromBytes(b)[v.n:], defs, reps)
	case *file.Int64ColumnChunkReader:
		levels, dense, err = r.ReadBatchInPage(int64(n), arrow.Int64Traits.CastFromBytes(b)[v.n:], defs, reps)
	case *file.Float32ColumnChunkReader:
		levels, dense, err = r.ReadBatchInPage(int64(n), arrow.Float32Traits.CastFromBytes(b)[v.n:], defs, reps)
	case *file.Float64ColumnChunkReader:
		levels, dense, err = r.ReadBatchInPage(int64(n), arrow.Float64Traits.CastFromBytes(b)[v.n:], defs, reps)
	case *file.Int96ColumnChunkReader:
		levels, dense, err = r.ReadBatchInPage(int64(n), parquet.Int96Traits.CastFromBytes(b)[v.n:], defs, reps)
	default:
		return 0, 0, unsupported("column reader %T", r)
	}
	v.n += max(dense, 0)
	return levels, dense, err
}

func (v *fixed) drop(n int) {
	if v.buf != nil {
		b := v.buf.Bytes()
		copy(b, b[n*v.width:v.n*v.width])
	}
	v.n -= n
}

// take gives the first n values in a buffer with room for room; the caller
// releases it. drop(n) must follow.
func (v *fixed) take(n, room int) *memory.Buffer {
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
func (v *fixed) bytes(n int) []byte {
	if v.buf == nil {
		return nil
	}
	return v.buf.Bytes()[:n*v.width]
}

func (v *fixed) release() {
	if v.buf != nil {
		v.buf.Release()
		v.buf = nil
	}
}

// boolValues holds one byte per value.
type boolValues struct {
	fixed
	scratch []bool
}

const boolStep = 8192

func (v *boolValues) step() int { return boolStep }

func (v *boolValues) read(r file.ColumnChunkReader, n int, defs, reps []int16) (levels int64, dense int, err error) {
	cr, ok := r.(*file.BooleanColumnChunkReader)
	if !ok {
		return 0, 0, unsupported("column reader %T", r)
	}
	if v.scratch == nil {
		v.scratch = make([]bool, boolStep)
	}
	levels, dense, err = cr.ReadBatchInPage(int64(n), v.scratch, defs, reps)
	if err != nil || dense <= 0 {
		return levels, dense, err
	}
	out := v.buf.Bytes()[v.n:]
	for i, b := range v.scratch[:dense] {
		if b {
			out[i] = 1
		} else {
			out[i] = 0
		}
	}
	v.n += dense
	return levels, dense, nil
}

// fixedBytes holds fixed length byte arrays.
type fixedBytes struct {
	fixed
	scratch []parquet.FixedLenByteArray // aliases the page during read only
}

const fixedBytesStep = 2048

func (v *fixedBytes) step() int { return fixedBytesStep }

func (v *fixedBytes) read(r file.ColumnChunkReader, n int, defs, reps []int16) (levels int64, dense int, err error) {
	cr, ok := r.(*file.FixedLenByteArrayColumnChunkReader)
	if !ok {
		return 0, 0, unsupported("column reader %T", r)
	}
	if v.scratch == nil {
		v.scratch = make([]parquet.FixedLenByteArray, fixedBytesStep)
	}
	levels, dense, err = cr.ReadBatchInPage(int64(n), v.scratch, defs, reps)
	if err != nil || dense <= 0 {
		return levels, dense, err
	}
	out := v.buf.Bytes()[v.n*v.width:]
	for i, b := range v.scratch[:dense] {
		if len(b) != v.width {
			return 0, 0, damaged("value of %d bytes in a column of %d", len(b), v.width)
		}
		copy(out[i*v.width:], b)
	}
	v.n += dense
	return levels, dense, nil
}

// byteArrays holds values of any length.
type byteArrays struct {
	n       int
	offsets *memory.Buffer // n+1 int32
	data    *memory.Buffer
	mem     *budget
	batch   int
	scratch []parquet.ByteArray // aliases the page during read only
}

// The number of values decoded at a time follows their length: a page of
// delta byte arrays can stand for far more bytes than it has, outside of the
// budget while it is being decoded.
const (
	minByteArrays   = 64
	maxByteArrays   = 4096
	byteArraysBytes = 1 << 20 // aimed at per batch
)

func (v *byteArrays) len() int  { return v.n }
func (v *byteArrays) step() int { return v.batch }

func (v *byteArrays) grow(extra int) error {
	if v.offsets == nil {
		v.offsets = memory.NewResizableBuffer(v.mem)
		v.offsets.ResizeNoShrink(4)
		v.offsets.Bytes()[0], v.offsets.Bytes()[1], v.offsets.Bytes()[2], v.offsets.Bytes()[3] = 0, 0, 0, 0
		v.data = memory.NewResizableBuffer(v.mem)
	}
	if need := 4 * (v.n + extra + 1); need > v.offsets.Len() {
		if v.n > 0 {
			need = max(need, 2*v.offsets.Len())
		}
		v.offsets.ResizeNoShrink(need)
	}
	return nil
}

func (v *byteArrays) read(r file.ColumnChunkReader, n int, defs, reps []int16) (levels int64, dense int, err error) {
	cr, ok := r.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return 0, 0, unsupported("column reader %T", r)
	}
	if v.scratch == nil {
		v.scratch = make([]parquet.ByteArray, maxByteArrays)
	}
	levels, dense, err = cr.ReadBatchInPage(int64(n), v.scratch, defs, reps)
	if err != nil || dense <= 0 {
		return levels, dense, err
	}
	offsets := arrow.Int32Traits.CastFromBytes(v.offsets.Bytes())
	end := int(offsets[v.n])
	total := end
	for _, b := range v.scratch[:dense] {
		total += len(b)
	}
	if total > math.MaxInt32 {
		return 0, 0, fmt.Errorf("%w: more than 2 GiB of strings in one chunk; read fewer rows at a time", format.ErrBudget)
	}
	if total > v.data.Len() {
		v.data.ResizeNoShrink(max(total, min(2*v.data.Len(), math.MaxInt32)))
	}
	data := v.data.Bytes()
	for i, b := range v.scratch[:dense] {
		end += copy(data[end:], b)
		offsets[v.n+i+1] = int32(end)
	}
	if mean := (total-int(offsets[v.n]))/dense + 1; mean > 0 {
		v.batch = min(max(byteArraysBytes/mean, minByteArrays), maxByteArrays)
	}
	v.n += dense
	clear(v.scratch[:dense])
	return levels, dense, nil
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
}
