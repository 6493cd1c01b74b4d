package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"
)

// Dates and times in binary count from 2000-01-01, which is that long after 1970 (POSTGRES_EPOCH_JDATE of
// PostgreSQL's timestamp.h, which also has the bounds: 4713 BC, and 294276 or, for dates,
// 5874897 AD).
const (
	epochDays    = 10957
	epochMicros  = epochDays * 86400 * 1e6
	minDate      = -2451545 // of 2000-01-01
	maxDate      = 2145031948
	minTimestamp = -211813488000000000
	maxTimestamp = 9223371331200000000 - 1
)

var (
	errFiner = errors.New("time is finer than a microsecond, which PostgreSQL cannot hold; write the column in microseconds")
	errEra   = errors.New("time is beyond PostgreSQL's calendar")
	errNoon  = errors.New("date has a time of day")
)

// micros is a count of a unit in microseconds.
func micros(v int64, unit arrow.TimeUnit) (int64, error) {
	scale := int64(1)
	switch unit {
	case arrow.Nanosecond:
		if v%1000 != 0 {
			return 0, errFiner
		}
		return v / 1000, nil
	case arrow.Millisecond:
		scale = 1000
	case arrow.Second:
		scale = 1000000
	}
	if v > math.MaxInt64/scale || v < math.MinInt64/scale {
		return 0, errEra
	}
	return v * scale, nil
}

// timeCell is the cell of an array of dates, times and spans of time.
func timeCell(a arrow.Array, to Type) (cell, error) {
	switch a := a.(type) {
	case *array.Date32:
		return func(dst []byte, row int) ([]byte, error) { return appendDate(dst, int64(a.Value(row))) }, nil
	case *array.Date64:
		return func(dst []byte, row int) ([]byte, error) {
			v := int64(a.Value(row))
			if v%86400000 != 0 {
				return dst, errNoon
			}
			return appendDate(dst, v/86400000)
		}, nil
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return func(dst []byte, row int) ([]byte, error) {
			v, err := micros(int64(a.Value(row)), unit)
			if err == nil && (v < minTimestamp+epochMicros || v-epochMicros > maxTimestamp) {
				err = errEra
			}
			return append8(dst, uint64(v-epochMicros)), err
		}, nil
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit
		return timeOfDay(func(row int) int64 { return int64(a.Value(row)) }, unit), nil
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return timeOfDay(func(row int) int64 { return int64(a.Value(row)) }, unit), nil
	}
	return intervalCell(a, to)
}

func appendDate(dst []byte, days int64) ([]byte, error) {
	days -= epochDays
	if days < minDate || days > maxDate {
		return dst, errEra
	}
	return append4(dst, uint32(int32(days))), nil
}

// dayMicros is a day; PostgreSQL has the time 24:00 too.
const dayMicros = 86400 * 1000000

func timeOfDay(value func(row int) int64, unit arrow.TimeUnit) cell {
	return func(dst []byte, row int) ([]byte, error) {
		v, err := micros(value(row), unit)
		if err == nil && (v < 0 || v > dayMicros) {
			err = fmt.Errorf("%d is no time of a day", value(row))
		}
		return append8(dst, uint64(v)), err
	}
}

// interval is a span of time as PostgreSQL has it: parts that no other can stand for.
type interval struct {
	time         int64 // in a unit
	days, months int32
}

func intervalCell(a arrow.Array, to Type) (cell, error) {
	var value func(row int) interval
	unit := arrow.Microsecond
	switch a := a.(type) {
	case *array.Duration:
		unit = a.DataType().(*arrow.DurationType).Unit
		value = func(row int) interval { return interval{time: int64(a.Value(row))} }
	case *array.MonthInterval:
		value = func(row int) interval { return interval{months: int32(a.Value(row))} }
	case *array.DayTimeInterval:
		unit = arrow.Millisecond
		value = func(row int) interval {
			v := a.Value(row)
			return interval{time: int64(v.Milliseconds), days: v.Days}
		}
	case *array.MonthDayNanoInterval:
		unit = arrow.Nanosecond
		value = func(row int) interval {
			v := a.Value(row)
			return interval{time: v.Nanoseconds, days: v.Days, months: v.Months}
		}
	}
	if value == nil || to.OID != pgtype.IntervalOID {
		return nil, mismatch(a, to)
	}
	return func(dst []byte, row int) ([]byte, error) {
		v := value(row)
		us, err := micros(v.time, unit)
		dst = binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 16), uint64(us))
		dst = binary.BigEndian.AppendUint32(dst, uint32(v.days))
		return binary.BigEndian.AppendUint32(dst, uint32(v.months)), err
	}, nil
}
