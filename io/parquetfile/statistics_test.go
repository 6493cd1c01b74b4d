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
	"github.com/apache/arrow-go/v18/arrow/float16"
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

// Floats have no bounds where a NaN is among them, in whatever row group: readers do not look for
// NaN in row groups that have some. A null count, and what others have, stays.
func TestNoBoundsBesideNaN(t *testing.T) {
	floats := func(t *testing.T, dt arrow.DataType, nested bool) arrow.RecordBatch {
		t.Helper()
		fields := []arrow.Field{{Name: "x", Type: dt, Nullable: true}, {Name: "i", Type: arrow.PrimitiveTypes.Int32}}
		if list := arrow.ListOf(dt); nested {
			fields = append(fields, arrow.Field{Name: "s", Type: arrow.StructOf(arrow.Field{Name: "l", Type: list, Nullable: true})})
		} else {
			if dt.ID() == arrow.FLOAT16 { // whose lists the other encoder writes
				list = arrow.ListOf(arrow.PrimitiveTypes.Float32)
			}
			fields = append(fields, arrow.Field{Name: "l", Type: list})
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
		defer b.Release()
		for i, v := range []string{"1", "2", "-3", "NaN", "null", "-NaN", "NaN", "NaN"} { // two a row group
			b.Field(1).(*array.Int32Builder).Append(int32(i))
			list := b.Field(2)
			if nested {
				list.(*array.StructBuilder).Append(true)
				list = list.(*array.StructBuilder).FieldBuilder(0)
			}
			list.(*array.ListBuilder).Append(true)
			for _, to := range []array.Builder{b.Field(0), list.(*array.ListBuilder).ValueBuilder()} {
				if err := appendFloat(to, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		return b.NewRecordBatch()
	}
	for _, dt := range []arrow.DataType{arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64} {
		for _, nested := range []bool{false, true} {
			batch := floats(t, dt, nested)
			data, err := os.ReadFile(write(t, format.WriteOptions{RowGroupRows: 2}, batch))
			if err != nil {
				t.Fatal(err)
			}
			md := openLibrary(t, data).MetaData()
			batch.Release()
			for g := range md.NumRowGroups() {
				for c := range md.Schema.NumColumns() {
					chunk, err := md.RowGroup(g).ColumnChunk(c)
					if err != nil {
						t.Fatal(err)
					}
					s, err := chunk.Statistics()
					if err != nil {
						t.Fatal(err)
					}
					// Where a struct is in the file, the other encoder writes it: floats have no statistics.
					want := c == 1 || g == 0 && !nested
					if got := s != nil && s.HasMinMax(); got != want {
						t.Errorf("%s, nested %v, row group %d, column %d: bounds: %v; want %v", dt, nested, g, c, got, want)
					}
					if (c == 1 || !nested) && (s == nil || !s.HasNullCount()) {
						t.Errorf("%s, nested %v, row group %d, column %d: no null count", dt, nested, g, c)
					}
				}
			}
		}
	}
}

func appendFloat(to array.Builder, text string) error {
	if text == "-NaN" { // the sign is not looked at
		switch to := to.(type) {
		case *array.Float16Builder:
			to.Append(float16.FromBits(0xfe00))
		case *array.Float32Builder:
			to.Append(math.Float32frombits(0xffc00000))
		case *array.Float64Builder:
			to.Append(math.Float64frombits(0xfff8000000000000))
		}
		return nil
	}
	if text == "null" {
		to.AppendNull()
		return nil
	}
	return to.AppendValueFromString(text)
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
