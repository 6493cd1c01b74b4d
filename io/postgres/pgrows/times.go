package pgrows

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"
)

// PostgreSQL counts from 2000-01-01: this many days, and microseconds, after 1970.
const (
	epochDays   = 10957
	epochMicros = epochDays * 24 * 3600 * 1_000_000
	dayMicros   = 24 * 3600 * 1_000_000
)

var errInfinite = errors.New("it is infinite, which no date or time of Arrow is; replace it in the query, such as by nullif")

// timeKind is that of dates and times; nil for other types.
func timeKind(oid uint32) *kind {
	switch oid {
	case pgtype.DateOID:
		return fixed(arrow.FixedWidthTypes.Date32, 4, func(b *array.Date32Builder, v []byte) error {
			days := int32(binary.BigEndian.Uint32(v))
			if days == math.MaxInt32 || days == math.MinInt32 {
				return errInfinite
			}
			b.Append(arrow.Date32(days + epochDays)) // the last date is in the year 5874897
			return nil
		})
	case pgtype.TimestampOID:
		return timestamps(&arrow.TimestampType{Unit: arrow.Microsecond})
	case pgtype.TimestamptzOID:
		return timestamps(&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"})
	case pgtype.TimeOID:
		return fixed(arrow.FixedWidthTypes.Time64us, 8, func(b *array.Time64Builder, v []byte) error {
			micros := int64(binary.BigEndian.Uint64(v))
			if micros < 0 || micros >= dayMicros {
				return errors.New("it is 24:00:00, which no time of Arrow is")
			}
			b.Append(arrow.Time64(micros))
			return nil
		})
	}
	return nil
}

func timestamps(t *arrow.TimestampType) *kind {
	return fixed(t, 8, func(b *array.TimestampBuilder, v []byte) error {
		micros := int64(binary.BigEndian.Uint64(v))
		if micros == math.MaxInt64 || micros == math.MinInt64 {
			return errInfinite
		}
		if micros > math.MaxInt64-epochMicros { // PostgreSQL's last is in the year 294276
			return errors.New("it is after 294247-01-10 04:00:54.775807, the last time that microseconds since 1970 count; replace it in the query, or cast it to text")
		}
		b.Append(arrow.Timestamp(micros + epochMicros))
		return nil
	})
}
