package dataset

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// Statistics are what is known of a column in one span of a file: what the file says,
// for columns among Options.Statistics, or the one value of a partition column.
func (d *Dataset) Statistics(file, span int, column string) format.Statistics {
	src := d.files[file]
	if span < 0 || span >= len(src.spans) {
		return format.Unknown()
	}
	if value, ok := d.PartitionValue(file, column); ok { // even where the file has one of that name
		return ofOne(value, src.spans[span].Rows)
	}
	if kept := src.statistics[column]; span < len(kept) {
		return kept[span]
	}
	return format.Unknown()
}

// ofOne are the statistics of rows that all have the value of an array of one.
func ofOne(value arrow.Array, rows int64) format.Statistics {
	if value.IsNull(0) {
		return format.Statistics{Nulls: rows}
	}
	s := format.Statistics{}
	switch a := value.(type) {
	case *array.Boolean:
		s.Min = a.Value(0)
	case *array.Int8:
		s.Min = int64(a.Value(0))
	case *array.Int16:
		s.Min = int64(a.Value(0))
	case *array.Int32:
		s.Min = int64(a.Value(0))
	case *array.Int64:
		s.Min = a.Value(0)
	case *array.Uint8:
		s.Min = uint64(a.Value(0))
	case *array.Uint16:
		s.Min = uint64(a.Value(0))
	case *array.Uint32:
		s.Min = uint64(a.Value(0))
	case *array.Uint64:
		s.Min = a.Value(0)
	case *array.Float32:
		s.Min = known(float64(a.Value(0)))
	case *array.Float64:
		s.Min = known(a.Value(0))
	case *array.Date32:
		s.Min = int64(a.Value(0))
	case *array.Timestamp:
		s.Min = int64(a.Value(0))
	case *array.String:
		s.Min = a.Value(0)
	case *array.Dictionary:
		if entries, ok := a.Dictionary().(*array.String); ok {
			s.Min = entries.Value(a.GetValueIndex(0))
		}
	}
	s.Max = s.Min
	return s
}

// known is a number as a bound; a NaN bounds nothing.
func known(v float64) any {
	if v != v {
		return nil
	}
	return v
}

// keepStatistics copies the statistics of columns, in the metadata's place.
func (s *source) keepStatistics(reader format.Reader, columns []string) {
	for _, name := range columns {
		at := s.shape.index[name]
		if len(at) != 1 {
			continue
		}
		spans := make([]format.Statistics, len(s.spans))
		for i := range spans {
			spans[i] = reader.Statistics(i, at[0])
			if n := spans[i].Nulls; n < 0 || n > s.spans[i].Rows {
				spans[i].Nulls = -1
			}
		}
		if s.statistics == nil {
			s.statistics = map[string][]format.Statistics{}
		}
		s.statistics[name] = spans
	}
}
