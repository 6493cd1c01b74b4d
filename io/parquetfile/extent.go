package parquetfile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// extent is the least and the greatest value of a page and of its column chunk
// so far. They are given as Parquet stores them, or as nil where there is none.
//
// Floats among which is a NaN have none either. The format lets a writer give the
// others' and bids readers to expect a NaN all the same, but they do not: Spark and
// DuckDB hold NaN to be greater than all numbers, DataFusion and pyarrow to differ from
// each, and all of them passed over the row groups whose numbers a condition
// excludes, with the NaNs for which it is true. Source: parquet-format:parquet.thrift,
// ColumnOrder; writers that leave them out, too, are parquet-java and DuckDB.
type extent interface {
	// add looks at values of the page.
	add(values []byte)
	// page is the extent of the page, which then ends.
	page() (least, most []byte)
	// chunk is the extent of the pages that ended.
	chunk() (least, most []byte)
}

func newExtent(c flatColumn) extent {
	unsigned := c.order == pqschema.SortUNSIGNED
	switch {
	case c.physical == parquet.Types.Int32 && unsigned:
		return newExtentOf(0, math.MaxUint32, arrow.Uint32Traits.CastFromBytes, encode32[uint32])
	case c.physical == parquet.Types.Int32:
		return newExtentOf(math.MinInt32, math.MaxInt32, arrow.Int32Traits.CastFromBytes, encode32[int32])
	case c.physical == parquet.Types.Int64 && unsigned:
		return newExtentOf(0, math.MaxUint64, arrow.Uint64Traits.CastFromBytes, encode64[uint64])
	case c.physical == parquet.Types.Int64:
		return newExtentOf(math.MinInt64, math.MaxInt64, arrow.Int64Traits.CastFromBytes, encode64[int64])
	case c.physical == parquet.Types.Float:
		inf := float32(math.Inf(1))
		return newExtentOf(-inf, inf, arrow.Float32Traits.CastFromBytes, func(least, most float32) ([]byte, []byte) {
			l, m := zeros(float64(least), float64(most))
			return encode32(math.Float32bits(float32(l)), math.Float32bits(float32(m)))
		})
	case c.as.ID() == arrow.FLOAT16:
		return newHalfExtent()
	case c.physical == parquet.Types.FixedLenByteArray:
		return &bytesExtent{width: c.width, signed: !unsigned}
	}
	return newExtentOf(math.Inf(-1), math.Inf(1), arrow.Float64Traits.CastFromBytes, func(least, most float64) ([]byte, []byte) {
		l, m := zeros(least, most)
		return encode64(math.Float64bits(l), math.Float64bits(m))
	})
}

// zeros gives a least value of zero the sign of the negative zero, and a greatest
// one that of the positive: they are equal, so either may be in the column.
// Source: parquet-format:parquet.thrift, ColumnOrder.
func zeros(least, most float64) (float64, float64) {
	if least == 0 {
		least = math.Copysign(0, -1)
	}
	if most == 0 {
		most = 0
	}
	return least, most
}

func encode32[T int32 | uint32](least, most T) ([]byte, []byte) {
	return binary.LittleEndian.AppendUint32(nil, uint32(least)), binary.LittleEndian.AppendUint32(nil, uint32(most))
}

func encode64[T int64 | uint64](least, most T) ([]byte, []byte) {
	return binary.LittleEndian.AppendUint64(nil, uint64(least)), binary.LittleEndian.AppendUint64(nil, uint64(most))
}

// extentOf starts with a least value above the greatest, which stands for none.
type extentOf[T kernel.Number] struct {
	lowest, highest T
	paged, all      kernel.Extremes[T]
	cast            func([]byte) []T
	encode          func(least, most T) ([]byte, []byte)
}

func newExtentOf[T kernel.Number](lowest, highest T, cast func([]byte) []T, encode func(least, most T) ([]byte, []byte)) *extentOf[T] {
	none := kernel.Extremes[T]{Least: highest, Most: lowest}
	return &extentOf[T]{lowest: lowest, highest: highest, paged: none, all: none, cast: cast, encode: encode}
}

func (e *extentOf[T]) add(values []byte) { e.paged.Add(e.cast(values)) }

func (e *extentOf[T]) page() (least, most []byte) {
	least, most = e.encoded(&e.paged)
	e.all.Least, e.all.Most = min(e.all.Least, e.paged.Least), max(e.all.Most, e.paged.Most)
	e.all.NaN = e.all.NaN || e.paged.NaN
	e.paged.Least, e.paged.Most, e.paged.NaN = e.highest, e.lowest, false
	return least, most
}

func (e *extentOf[T]) chunk() (least, most []byte) { return e.encoded(&e.all) }

func (e *extentOf[T]) encoded(x *kernel.Extremes[T]) (least, most []byte) {
	if x.NaN || x.Least > x.Most {
		return nil, nil
	}
	return e.encode(x.Least, x.Most)
}
