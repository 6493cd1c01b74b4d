//go:build duckdb && duckdb_arrow

package duckdb

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// errFiner stands for a value that DuckDB's scan of Arrow's arrays would cut.
var errFiner = errors.New("a time is finer than a microsecond, which DuckDB's TIME and TIMESTAMP WITH TIME ZONE cannot hold; write the column in microseconds")

const nanosPerMicro = 1000

// checkTimes returns an error for times of day, and times in a zone, that are not whole
// microseconds. DuckDB has columns for those in nanoseconds without a zone alone.
func checkTimes(record arrow.RecordBatch) error {
	for i, c := range record.Columns() {
		if finer(c) {
			return fmt.Errorf("column %q: %w", record.ColumnName(i), errFiner)
		}
	}
	return nil
}

func finer(a arrow.Array) bool {
	switch a := a.(type) {
	case *array.Time64:
		return a.DataType().(*arrow.Time64Type).Unit == arrow.Nanosecond && anyFiner(a, a.Time64Values())
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		return t.Unit == arrow.Nanosecond && t.TimeZone != "" && anyFiner(a, a.TimestampValues())
	case *array.Dictionary:
		return finer(a.Dictionary())
	case array.ExtensionArray:
		return finer(a.Storage())
	case array.ListLike:
		elements := a.ListValues()
		if a.Len() == 0 || elements.Len() == 0 {
			return false
		}
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(a.Len() - 1)
		part := array.NewSlice(elements, from, to)
		defer part.Release()
		return finer(part)
	}
	return false
}

func anyFiner[T arrow.Time64 | arrow.Timestamp](a arrow.Array, values []T) bool {
	for i, v := range values {
		if v%nanosPerMicro != 0 && a.IsValid(i) {
			return true
		}
	}
	return false
}
