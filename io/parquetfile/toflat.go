package parquetfile

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/nulls"
	"github.com/millrace/millrace/io/format"
)

// toFlat is an array in the type that a flatFile encodes it in; see flatType.
func toFlat(arr arrow.Array, t arrow.DataType, mem *budget) (arrow.Array, error) {
	d, ok := arr.(*array.Dictionary)
	if ok && !arrow.TypeEqual(d.Dictionary().DataType(), t) { // its values are converted, once each
		values, err := toFlat(d.Dictionary(), t, mem)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		flat := &arrow.DictionaryType{IndexType: d.Indices().DataType(), ValueType: t}
		arr = array.NewDictionaryArray(flat, d.Indices(), values)
		defer arr.Release()
	}
	if _, ok := arr.DataType().(arrow.DecimalType); ok {
		return decimalsToFlat(arr, t.(arrow.FixedWidthDataType), mem)
	}
	switch a := arr.(type) {
	case array.ExtensionArray:
		if arrow.TypeEqual(a.Storage().DataType(), t) {
			a.Storage().Retain()
			return a.Storage(), nil
		}
		return toFlat(a.Storage(), t, mem)
	case *array.Null:
		return nulls.Array(zeroed{mem}, t, a.Len()), nil
	case *array.Int8:
		return eachValue(a, a.Int8Values(), t, mem, widened)
	case *array.Int16:
		return eachValue(a, a.Int16Values(), t, mem, widened)
	case *array.Uint8:
		return eachValue(a, a.Uint8Values(), t, mem, widened)
	case *array.Uint16:
		return eachValue(a, a.Uint16Values(), t, mem, widened)
	case *array.Date64:
		if err := wholeDays(a); err != nil {
			return nil, err
		}
		return eachValue(a, a.Date64Values(), t, mem, inDays)
	case *array.Time32:
		return eachValue(a, a.Time32Values(), t, mem, inMillis[arrow.Time32, int32])
	case *array.Timestamp:
		return eachValue(a, a.TimestampValues(), t, mem, inMillis[arrow.Timestamp, int64])
	}
	return toStored(arr, t, zeroed{mem})
}

// widened is a short integer in 4 bytes.
func widened[T int8 | int16 | uint8 | uint16](v T) (wide int32, ok bool) { return int32(v), true }

// wholeDays refuses dates with a time of day, which Parquet's dates do not have.
func wholeDays(dates *array.Date64) error {
	for i, v := range dates.Date64Values() {
		if v%millisPerDay != 0 && dates.IsValid(i) {
			return fmt.Errorf("row %d of %d: %w: %s has a time of day, and %s has none; write the column as a timestamp",
				i, dates.Len(), format.ErrValue, time.UnixMilli(int64(v)).UTC().Format("2006-01-02T15:04:05.000"), arrow.FixedWidthTypes.Date32)
		}
	}
	return nil
}

// inDays gives milliseconds in days; ok is false where these are too many.
func inDays(millis arrow.Date64) (days int32, ok bool) {
	all := millis / millisPerDay
	return int32(all), arrow.Date64(int32(all)) == all
}

// inMillis gives seconds in milliseconds; ok is false where these are too many.
func inMillis[T arrow.Time32 | arrow.Timestamp, O int32 | int64](seconds T) (millis O, ok bool) {
	const millisPerSecond = 1000
	millis = O(seconds) * millisPerSecond
	return millis, millis/millisPerSecond == O(seconds)
}

// eachValue is an array of values that are made one by one of those of another. One that cannot
// be made is an error, unless it is null.
func eachValue[T arrow.FixedWidthType, O int32 | int64](arr arrow.Array, values []T, t arrow.DataType, mem *budget, value func(T) (O, bool)) (arrow.Array, error) {
	if len(values) < arr.Len() {
		return nil, fmt.Errorf("an array of %d rows does not have values for all of them", arr.Len())
	}
	buffer := memory.NewResizableBuffer(mem)
	defer buffer.Release()
	buffer.Resize(t.(arrow.FixedWidthDataType).Bytes() * arr.Len())
	out := arrow.GetData[O](buffer.Bytes())
	for i, v := range values {
		made, ok := value(v)
		if !ok && arr.IsValid(i) {
			return nil, fmt.Errorf("row %d of %d: %w: %s is beyond what %s can hold", i, arr.Len(), format.ErrValue, arr.ValueStr(i), t)
		}
		out[i] = made
	}
	return withValidityOf(arr, t, buffer, mem), nil
}

// withValidityOf is an array of values, which it retains, that are null where those of another are.
func withValidityOf(arr arrow.Array, t arrow.DataType, values *memory.Buffer, mem *budget) arrow.Array {
	var valid *memory.Buffer
	if arr.NullN() > 0 {
		valid = cutBits(arr.Data().Buffers()[0], arr.Data().Offset(), arr.Len(), mem)
		defer valid.Release()
	}
	data := array.NewData(t, arr.Len(), []*memory.Buffer{valid, values}, nil, arr.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}
