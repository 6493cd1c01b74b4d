package parquetfile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/millrace/millrace/io/format"
)

// Statistics implements format.Reader. Bounds are given for columns that are not
// nested, where the footer says by which order they are: the fields min and max of old
// writers are not looked at, since these compared text and unsigned numbers as signed
// bytes. Source: parquet-format:src/main/thrift/parquet.thrift, Statistics and
// ColumnOrder.
func (r *Reader) Statistics(span, column int) format.Statistics {
	s := format.Unknown()
	if span < 0 || span >= len(r.spans) || column < 0 || column >= len(r.fields) || r.fields[column].kind != leafNode {
		return s
	}
	n := r.fields[column]
	c := r.md.groups[span].chunks[n.leaf]
	s.Nulls = c.nulls
	if r.md.Schema.Column(n.leaf).MaxDefinitionLevel() == 0 {
		s.Nulls = 0
	}
	if c.missing || c.encrypted || c.external || n.leaf >= len(r.md.ColumnOrders) || !r.md.ColumnOrders[n.leaf].IsSetTYPE_ORDER() {
		return s
	}
	if !c.bounded {
		return s
	}
	low, lowest := bound(n.storage, c.physical, c.least)
	high, highest := bound(n.storage, c.physical, c.most)
	if lowest && highest {
		s.Min, s.Max = low, high
	}
	return s
}

// bound reads a bound as it is stored, for columns whose values are those stored.
func bound(t arrow.DataType, physical parquet.Type, stored []byte) (value any, ok bool) {
	switch physical {
	case parquet.Types.Boolean:
		if len(stored) == 1 && t.ID() == arrow.BOOL {
			return stored[0] != 0, true
		}
	case parquet.Types.Int32:
		if len(stored) == 4 {
			return boundOf32(t, binary.LittleEndian.Uint32(stored))
		}
	case parquet.Types.Int64:
		if len(stored) != 8 {
			return nil, false
		}
		v := binary.LittleEndian.Uint64(stored)
		switch t.ID() {
		case arrow.UINT64:
			return v, true
		case arrow.INT64, arrow.TIMESTAMP, arrow.TIME64, arrow.DURATION, arrow.DECIMAL128, arrow.DECIMAL256:
			return int64(v), true
		default:
		}
	case parquet.Types.Float:
		if len(stored) == 4 && t.ID() == arrow.FLOAT32 {
			v := float64(math.Float32frombits(binary.LittleEndian.Uint32(stored)))
			return v, v == v
		}
	case parquet.Types.Double:
		if len(stored) == 8 && t.ID() == arrow.FLOAT64 {
			v := math.Float64frombits(binary.LittleEndian.Uint64(stored))
			return v, v == v
		}
	case parquet.Types.ByteArray, parquet.Types.FixedLenByteArray:
		switch t.ID() {
		case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY:
			return string(stored), true
		case arrow.DECIMAL128, arrow.DECIMAL256:
			return boundOfDecimal(stored)
		default:
		}
	}
	return nil, false
}

// boundOf32 reads a bound of 32 bits. A value that its type does not hold loses bits
// when it is read, and bounds nothing.
func boundOf32(t arrow.DataType, bits uint32) (value any, ok bool) {
	v := int64(int32(bits))
	switch t.ID() {
	case arrow.INT8:
		return v, v == int64(int8(v))
	case arrow.INT16:
		return v, v == int64(int16(v))
	case arrow.INT32, arrow.DATE32, arrow.TIME32, arrow.DECIMAL128, arrow.DECIMAL256:
		return v, true
	case arrow.DATE64:
		return v * millisPerDay, true
	case arrow.UINT8:
		return uint64(bits), bits <= math.MaxUint8
	case arrow.UINT16:
		return uint64(bits), bits <= math.MaxUint16
	case arrow.UINT32:
		return uint64(bits), true
	default:
		return nil, false
	}
}

// boundOfDecimal reads a bound of decimals that are stored big endian, if 64 bits have room for it.
func boundOfDecimal(stored []byte) (value any, ok bool) {
	var low [wordBytes]byte
	if len(stored) == 0 || decimal(low[:], stored) != nil {
		return nil, false
	}
	return int64(binary.LittleEndian.Uint64(low[:])), true
}
