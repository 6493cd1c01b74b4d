package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"
)

// numberTypes are those that a flatFile takes. The last, durations, arrow-go
// does not read.
var numberTypes = []arrow.DataType{
	arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint64,
	arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Time32ms,
	arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns, arrow.FixedWidthTypes.Timestamp_ms,
	&arrow.TimestampType{Unit: arrow.Microsecond}, arrow.FixedWidthTypes.Timestamp_ns, arrow.FixedWidthTypes.Duration_us,
}

// shapesOf64 are ways to make the bits of the value of a row.
var shapesOf64 = []string{"sequence", "constant", "small", "noise", "ends", "special", "widths"}

var specialFloats = []float64{math.NaN(), 0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1.5, -math.MaxFloat32, math.SmallestNonzeroFloat32}

func bitsOf(shape string, rng *splitmix, row, width int) uint64 {
	switch r := rng.next(); shape {
	case "sequence":
		return uint64(row) * 3
	case "constant":
		return 7
	case "small":
		return r % 200
	case "ends":
		return []uint64{0, math.MaxUint64, 1 << (8*width - 1), 1<<(8*width-1) - 1}[r%4]
	case "special":
		f := specialFloats[r%uint64(len(specialFloats))]
		if width == 4 {
			return uint64(math.Float32bits(float32(f)))
		}
		return math.Float64bits(f)
	case "widths": // every 32 rows another number of bits
		return r & (1<<(row/32%65) - 1)
	default:
		return r
	}
}

// nullsOf are the ways in which values of a column are null.
var nullsOf = []string{"none", "few", "some", "half", "most", "all", "runs", "late"}

func isNull(nulls string, rng *splitmix, row int) bool {
	f := rng.float()
	switch nulls {
	case "few":
		return f < 0.001
	case "some":
		return f < 0.05
	case "half":
		return f < 0.5
	case "most":
		return f < 0.99
	case "all":
		return true
	case "runs":
		return row/97%3 == 0
	case "late":
		return row > 3000
	}
	return false
}

// numberArray has rows from another offset than 0, with noise before them and
// below nulls.
func numberArray(t arrow.DataType, rows, offset int, shape, nulls string, rng *splitmix) arrow.Array {
	width := t.(arrow.FixedWidthDataType).BitWidth() / 8
	values, validity := make([]byte, 0, (offset+rows)*width), make([]byte, (offset+rows+7)/8)
	count := 0
	for i := range offset + rows {
		null := isNull(nulls, rng, i-offset)
		v := bitsOf(shape, rng, i-offset, width)
		if i < offset || null {
			v = rng.next()
		}
		if !null {
			validity[i/8] |= 1 << (i % 8)
		} else if i >= offset {
			count++
		}
		values = append(values, binary.LittleEndian.AppendUint64(nil, v)[:width]...)
	}
	buffers := []*memory.Buffer{memory.NewBufferBytes(validity), memory.NewBufferBytes(values)}
	if nulls == "none" && rng.next()%2 == 0 {
		buffers[0] = nil
	}
	data := array.NewData(t, rows, buffers, nil, count, offset)
	defer data.Release()
	return array.MakeFromData(data)
}

func drawNumbers(t *rapid.T) arrow.RecordBatch {
	rng := splitmix(rapid.Uint64().Draw(t, "seed"))
	rows := rapid.OneOf(
		rapid.SampledFrom([]int{0, 1, 2, 31, 32, 33, 34, 127, 128, 129, 130, 1023, 1024, 1025, 4095, 4096, 4097, 15360, 15361, 30719, 30720, 30721, 61441}),
		rapid.IntRange(0, 70000),
	).Draw(t, "rows")
	fields := make([]arrow.Field, rapid.IntRange(1, 4).Draw(t, "columns"))
	arrays := make([]arrow.Array, 0, len(fields))
	for i := range fields {
		typ := rapid.SampledFrom(numberTypes[:len(numberTypes)-1]).Draw(t, "type")
		nullable, nulls := rapid.Bool().Draw(t, "nullable"), "none"
		if nullable {
			nulls = rapid.SampledFrom(nullsOf).Draw(t, "nulls")
		}
		fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: typ, Nullable: nullable}
		arrays = append(arrays, numberArray(typ, rows, rapid.SampledFrom([]int{0, 1, 8, 13}).Draw(t, "offset"), rapid.SampledFrom(shapesOf64).Draw(t, "shape"), nulls, &rng))
	}
	md := arrow.NewMetadata([]string{"k"}, []string{"v"})
	batch := array.NewRecordBatch(arrow.NewSchema(fields, &md), arrays, int64(rows))
	release(arrays)
	return batch
}

// rawBits are the bytes of a value.
func rawBits(a arrow.Array, i int) uint64 {
	width := a.DataType().(arrow.FixedWidthDataType).BitWidth() / 8
	at := (a.Data().Offset() + i) * width
	var b [8]byte
	copy(b[:], a.Data().Buffers()[1].Bytes()[at:at+width])
	return binary.LittleEndian.Uint64(b[:])
}

// extentOfArray is the least and the greatest value as Parquet's statistics have
// them; equal zeros are told apart by their sign, and beside a NaN there are none.
func extentOfArray(a arrow.Array) (least, most []byte) {
	width := a.DataType().(arrow.FixedWidthDataType).BitWidth() / 8
	less := func(x, y uint64) bool {
		switch a.DataType().ID() {
		case arrow.UINT32, arrow.UINT64:
			return x < y
		case arrow.FLOAT32:
			return lessFloat(float64(math.Float32frombits(uint32(x))), float64(math.Float32frombits(uint32(y))))
		case arrow.FLOAT64:
			return lessFloat(math.Float64frombits(x), math.Float64frombits(y))
		}
		if width == 4 {
			return int32(x) < int32(y)
		}
		return int64(x) < int64(y)
	}
	var valid []uint64
	sign := uint64(1) << (8*width - 1)
	floats := a.DataType().ID() == arrow.FLOAT32 || a.DataType().ID() == arrow.FLOAT64
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		v := rawBits(a, i)
		switch {
		case floats && v&^sign == 0:
			valid = append(valid, 0, sign) // a zero may be either
		case floats && width == 4 && v&^sign > uint64(math.Float32bits(float32(math.Inf(1)))),
			floats && width == 8 && v&^sign > math.Float64bits(math.Inf(1)):
			return nil, nil // a NaN
		default:
			valid = append(valid, v)
		}
	}
	if len(valid) == 0 {
		return nil, nil
	}
	lo, hi := valid[0], valid[0]
	for _, v := range valid {
		if less(v, lo) {
			lo = v
		}
		if less(hi, v) {
			hi = v
		}
	}
	return binary.LittleEndian.AppendUint64(nil, lo)[:width], binary.LittleEndian.AppendUint64(nil, hi)[:width]
}

func lessFloat(x, y float64) bool {
	return x < y || x == 0 && y == 0 && math.Signbit(x) && !math.Signbit(y)
}
