//go:build duckdb && duckdb_arrow

package duckdb

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// errKept says that DuckDB cannot keep a value.
var errKept = errors.New("value cannot be kept in DuckDB")

// What DuckDB's scan of Arrow's arrays would cut, or take for another value.
var (
	errFiner    = errors.New("a time is finer than a microsecond, which DuckDB's TIME and TIMESTAMP WITH TIME ZONE cannot hold; write the column in microseconds")
	errCalendar = errors.New("a date or time is beyond DuckDB's calendar, in which the last number stands for infinity")
	errDay      = errors.New("a date has a time of day, which DuckDB's DATE cannot hold; write the column as a timestamp")
	errClock    = errors.New("a time is none of a day")
	errText     = errors.New("a text is not UTF-8")
)

const (
	nanosPerMicro = 1000
	millisPerDay  = 24 * 3600 * 1000

	// DuckDB's own bounds (src/common/types/date.cpp and timestamp.cpp): days, microseconds and
	// nanoseconds since 1970.
	mostDays    = math.MaxInt32 - 1
	leastMicros = -9223372022400000000
	mostMicros  = math.MaxInt64 - 1
	leastNanos  = -9223286400000000000
)

// checkTimes returns an error for dates and times that DuckDB would not keep as they are.
func checkTimes(record arrow.RecordBatch, before int64) error { return check(record, before, badTime) }

// check returns an error for the first value that is bad.
func check(record arrow.RecordBatch, before int64, bad func(arrow.Array) (row int, err error)) error {
	for i, c := range record.Columns() {
		if row, err := bad(c); err != nil {
			return fmt.Errorf("column %q: %s: %w: %w", record.ColumnName(i), format.RowName(record, row, before+int64(row)), errKept, err)
		}
	}
	return nil
}

// badTime finds a date or time that DuckDB would not keep, and its row.
func badTime(a arrow.Array) (row int, err error) {
	switch a := a.(type) {
	case *array.Date32:
		return find(a, a.Date32Values(), func(v arrow.Date32) error { return inCalendar(int64(v), -mostDays, mostDays) })
	case *array.Date64:
		return find(a, a.Date64Values(), func(v arrow.Date64) error {
			if v%millisPerDay != 0 {
				return errDay
			}
			return inCalendar(int64(v/millisPerDay), -mostDays, mostDays)
		})
	case *array.Time32:
		return find(a, a.Time32Values(), func(v arrow.Time32) error { return inDay(int64(v), a.DataType().(*arrow.Time32Type).Unit) })
	case *array.Time64:
		return find(a, a.Time64Values(), func(v arrow.Time64) error { return inDay(int64(v), a.DataType().(*arrow.Time64Type).Unit) })
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		least, most := bounds(t.Unit)
		whole := t.Unit == arrow.Nanosecond && t.TimeZone != ""
		return find(a, a.TimestampValues(), func(v arrow.Timestamp) error {
			if whole && v%nanosPerMicro != 0 {
				return errFiner
			}
			return inCalendar(int64(v), least, most)
		})
	}
	return within(a, badTime)
}

func inCalendar(v, least, most int64) error {
	if v < least || v > most {
		return errCalendar
	}
	return nil
}

// inDay takes 24:00 too, which DuckDB has.
func inDay(v int64, unit arrow.TimeUnit) error {
	switch {
	case v < 0 || v > int64(24*time.Hour/unit.Multiplier()):
		return errClock
	case unit == arrow.Nanosecond && v%nanosPerMicro != 0:
		return errFiner
	}
	return nil
}

// bounds are the first and the last time of DuckDB's columns of a unit.
func bounds(unit arrow.TimeUnit) (least, most int64) {
	if unit == arrow.Nanosecond {
		return leastNanos, math.MaxInt64 - 1
	}
	micros := int64(unit.Multiplier() / time.Microsecond)
	return leastMicros / micros, mostMicros / micros
}

// badText finds a text that is not UTF-8.
func badText(a arrow.Array) (row int, err error) {
	if a, ok := a.(array.StringLike); ok {
		for row := range a.Len() {
			if a.IsValid(row) && !utf8.ValidString(a.Value(row)) {
				return row, errText
			}
		}
		return 0, nil
	}
	return within(a, badText)
}

// within looks for a bad value in what an array is made of. Which row has it is looked for only
// where there is one, which may be of no row.
func within(a arrow.Array, bad func(arrow.Array) (row int, err error)) (row int, err error) {
	switch a := a.(type) {
	case *array.Dictionary:
		return inRows(a, a.Dictionary(), bad, func(row int) (from, to int64) {
			at := int64(a.GetValueIndex(row))
			return at, at + 1
		})
	case array.ExtensionArray:
		return bad(a.Storage())
	case array.ListLike:
		return inRows(a, a.ListValues(), bad, a.ValueOffsets)
	}
	return 0, nil
}

// inRows looks in values of which each row has some.
func inRows(a, values arrow.Array, bad func(arrow.Array) (row int, err error), of func(row int) (from, to int64)) (row int, err error) {
	if _, err := bad(values); err == nil {
		return 0, nil
	}
	for row := range a.Len() {
		if a.IsNull(row) {
			continue
		}
		from, to := of(row)
		part := array.NewSlice(values, from, to)
		_, err := bad(part)
		part.Release()
		if err != nil {
			return row, err
		}
	}
	return 0, nil
}

// find gives the first row with a value that is bad.
func find[T any](a arrow.Array, values []T, bad func(T) error) (row int, err error) {
	for row, v := range values {
		if err := bad(v); err != nil && a.IsValid(row) {
			return row, err
		}
	}
	return 0, nil
}
