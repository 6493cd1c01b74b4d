package parquetfile

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

// statisticsOf writes one column as one row group, and gives its statistics and the
// reader, to spoil.
func statisticsOf(t *testing.T, column arrow.Array) (format.Statistics, *Reader) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: column.DataType(), Nullable: true}}, nil)
	record := array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
	defer record.Release()
	var out bytes.Buffer
	w, err := NewWriter(&out, schema, format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record), w.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r.Statistics(0, 0), r.(*Reader)
}

// Bounds are in the column's own unit and type.
func TestStatistics(t *testing.T) {
	for _, c := range []struct {
		why    string
		dt     arrow.DataType
		values string
		want   format.Statistics
	}{
		{"integers", arrow.PrimitiveTypes.Int64, `[3, null, -1]`, format.Statistics{Nulls: 1, Min: int64(-1), Max: int64(3)}},
		{"unsigned ones above the signed", arrow.PrimitiveTypes.Uint32, `[1, 4294967295]`, format.Statistics{Min: uint64(1), Max: uint64(math.MaxUint32)}},
		{"small ones", arrow.PrimitiveTypes.Int8, `[-128, 127]`, format.Statistics{Min: int64(-128), Max: int64(127)}},
		{"floats", arrow.PrimitiveTypes.Float32, `[0.5, -2]`, format.Statistics{Min: -2.0, Max: 0.5}},
		{"text", arrow.BinaryTypes.String, `["é", "a", "b"]`, format.Statistics{Min: "a", Max: "é"}},
		{"times", &arrow.TimestampType{Unit: arrow.Millisecond}, `["1970-01-01T00:00:01", "1970-01-01T00:00:02"]`, format.Statistics{Min: int64(1000), Max: int64(2000)}},
		{"decimals as integers of 4 bytes", &arrow.Decimal128Type{Precision: 9, Scale: 2}, `["-1.50", "20000.00", null]`, format.Statistics{Nulls: 1, Min: int64(-150), Max: int64(2000000)}},
		{"of 8 bytes", &arrow.Decimal256Type{Precision: 18, Scale: 2}, `["-1.50", "20000.00"]`, format.Statistics{Min: int64(-150), Max: int64(2000000)}},
		{"as bytes", &arrow.Decimal128Type{Precision: 38, Scale: 2}, `["-1.50", "20000.00", "0.00"]`, format.Statistics{Min: int64(-150), Max: int64(2000000)}},
		{"as more bytes", &arrow.Decimal256Type{Precision: 76}, `["-92233720368547758", "12"]`, format.Statistics{Min: int64(-92233720368547758), Max: int64(12)}},
		{"decimals beyond 64 bits", &arrow.Decimal128Type{Precision: 38}, `["-3", "1234567890123456789012"]`, format.Statistics{}},
		{"nulls alone", arrow.PrimitiveTypes.Int64, `[null, null]`, format.Statistics{Nulls: 2}},
	} {
		column, _, err := array.FromJSON(memory.DefaultAllocator, c.dt, strings.NewReader(c.values))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := statisticsOf(t, column)
		column.Release()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
	}
}

// What cannot be trusted is not given: bounds without their order, those of old writers,
// NaN, values that the type does not hold, and bounds that are too short.
func TestStatisticsThatAreNotGiven(t *testing.T) {
	column, _, err := array.FromJSON(memory.DefaultAllocator, arrow.PrimitiveTypes.Int8, strings.NewReader(`[1, 2]`))
	if err != nil {
		t.Fatal(err)
	}
	defer column.Release()
	for _, c := range []struct {
		why   string
		spoil func(r *Reader)
	}{
		{"no order", func(r *Reader) { r.md.ColumnOrders = nil }},
		{"one bound, or none", func(r *Reader) { r.md.groups[0].chunks[0].bounded = false }},
		{"a bound of three bytes", func(r *Reader) { r.md.groups[0].chunks[0].most = []byte{1, 0, 0} }},
		{"a bound that is no int8", func(r *Reader) { r.md.groups[0].chunks[0].most = []byte{0, 1, 0, 0} }},
	} {
		before, r := statisticsOf(t, column)
		c.spoil(r)
		if got := r.Statistics(0, 0); before.Min == nil || got.Min != nil || got.Max != nil {
			t.Errorf("%s: %+v, from %+v; want no bounds", c.why, got, before)
		}
	}
	if v, ok := bound(arrow.PrimitiveTypes.Float64, parquet.Types.Double, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}); ok {
		t.Errorf("bound(NaN) = %v; want none", v)
	}
}
