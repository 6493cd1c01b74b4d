package table

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// column is an array of a type, from JSON.
func column(t *testing.T, is arrow.DataType, values string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, is, strings.NewReader(values))
	if err != nil {
		t.Fatalf("%s from JSON %s: %v", is, values, err)
	}
	t.Cleanup(a.Release)
	return a
}

func digestOf(t *testing.T, columns ...arrow.Array) Digest {
	t.Helper()
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: "c", Type: c.DataType(), Nullable: true}
	}
	record := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(columns[0].Len()))
	defer record.Release()
	var d Digest
	if err := d.AddRecord(record); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	int8s    = arrow.PrimitiveTypes.Int8
	int64s   = arrow.PrimitiveTypes.Int64
	float32s = arrow.PrimitiveTypes.Float32
	float64s = arrow.PrimitiveTypes.Float64
	texts    = arrow.BinaryTypes.String
)

// What a database makes of a type does not count.
func TestDigestIsOfValuesAlone(t *testing.T) {
	for _, c := range []struct {
		what          string
		a, b          arrow.DataType
		aText, bValue string
	}{
		{"whole numbers of other widths", int8s, int64s, `[1,-2,null]`, `[1,-2,null]`},
		{"unsigned ones", arrow.PrimitiveTypes.Uint64, int64s, `[1,2]`, `[1,2]`},
		{"whole numbers as floats", int8s, float64s, `[1,-2]`, `[1,-2]`},
		{"whole numbers as decimals", int64s, &arrow.Decimal128Type{Precision: 38}, `[1,-2,9223372036854775807]`, `["1","-2","9223372036854775807"]`},
		{"decimals of another scale", &arrow.Decimal128Type{Precision: 10, Scale: 2}, &arrow.Decimal128Type{Precision: 10, Scale: 3}, `["1.50","-0.07","100.00"]`, `["1.500","-0.070","100.000"]`},
		{"floats", float32s, float64s, `[0.5,null,1e30]`, `[0.5,null,1.0000000150474662e30]`},
		{"texts", texts, arrow.BinaryTypes.LargeString, `["a","",null]`, `["a","",null]`},
		{"a dictionary", &arrow.DictionaryType{IndexType: int8s, ValueType: texts}, texts, `["a","b",null,"a"]`, `["a","b",null,"a"]`},
		{"bytes", arrow.BinaryTypes.Binary, &arrow.FixedSizeBinaryType{ByteWidth: 3}, `["AAEC"]`, `["AAEC"]`},
		{"days", arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, `["2013-01-31",null]`, `["2013-01-31",null]`},
		{"moments", arrow.FixedWidthTypes.Timestamp_s, arrow.FixedWidthTypes.Timestamp_us, `["2013-01-31 17:05:00Z"]`, `["2013-01-31 17:05:00Z"]`},
		{"times of day", arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, `["17:05:00.25"]`, `["17:05:00.25"]`},
		{"lists", arrow.ListOf(int8s), arrow.LargeListOf(int64s), `[[1,null],[],null]`, `[[1,null],[],null]`},
		{"lists of one length", arrow.FixedSizeListOf(2, float32s), arrow.ListOf(float32s), `[[0.5,1],[2,3]]`, `[[0.5,1],[2,3]]`},
	} {
		if a, b := digestOf(t, column(t, c.a, c.aText)), digestOf(t, column(t, c.b, c.bValue)); a != b {
			t.Errorf("%s: %s as %s, and %s as %s; want the same", c.what, a, c.a, b, c.b)
		}
	}
}

// Any other value is seen, and which column and row it is in; the order of rows is not.
func TestDigestSeesEveryValue(t *testing.T) {
	seen := map[Digest]string{}
	for _, c := range []struct {
		what    string
		columns []arrow.Array
	}{
		{"two rows", []arrow.Array{column(t, int64s, `[1,2]`), column(t, float32s, `[0.5,0.25]`)}},
		{"another value", []arrow.Array{column(t, int64s, `[1,2]`), column(t, float32s, `[0.5,0.250001]`)}},
		{"values that changed places", []arrow.Array{column(t, int64s, `[1,2]`), column(t, float32s, `[0.25,0.5]`)}},
		{"a null", []arrow.Array{column(t, int64s, `[1,2]`), column(t, float32s, `[0.5,null]`)}},
		{"a zero", []arrow.Array{column(t, int64s, `[1,2]`), column(t, float32s, `[0.5,0]`)}},
		{"a row more", []arrow.Array{column(t, int64s, `[1,2,2]`), column(t, float32s, `[0.5,0.25,0.25]`)}},
		{"a row less", []arrow.Array{column(t, int64s, `[1]`), column(t, float32s, `[0.5]`)}},
		{"a large number", []arrow.Array{column(t, arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`)}},
		{"the same bits with a sign", []arrow.Array{column(t, int64s, `[-1]`)}},
		{"a decimal", []arrow.Array{column(t, &arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50"]`)}},
		{"another decimal", []arrow.Array{column(t, &arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.51"]`)}},
		{"texts", []arrow.Array{column(t, texts, `["ab"]`), column(t, texts, `["c"]`)}},
		{"texts cut in another place", []arrow.Array{column(t, texts, `["a"]`), column(t, texts, `["bc"]`)}},
		{"an empty text", []arrow.Array{column(t, texts, `[""]`), column(t, texts, `["abc"]`)}},
		{"a null text", []arrow.Array{column(t, texts, `[null]`), column(t, texts, `["abc"]`)}},
		{"a list", []arrow.Array{column(t, arrow.ListOf(int64s), `[[1,2]]`)}},
		{"a list of a null", []arrow.Array{column(t, arrow.ListOf(int64s), `[[1,null]]`)}},
		{"a shorter list", []arrow.Array{column(t, arrow.ListOf(int64s), `[[1]]`)}},
		{"a day", []arrow.Array{column(t, arrow.FixedWidthTypes.Date32, `["1970-01-02"]`)}},
		{"its number", []arrow.Array{column(t, int64s, `[1]`)}},
	} {
		d := digestOf(t, c.columns...)
		if other, twice := seen[d]; twice {
			t.Errorf("%s has the digest of %s", c.what, other)
		}
		seen[d] = c.what
	}
	if a, b := digestOf(t, column(t, int64s, `[1,2,3]`)), digestOf(t, column(t, int64s, `[3,1,2]`)); a != b {
		t.Errorf("rows in another order: %s and %s; want the same", a, b)
	}
	minus, plus := digestOf(t, column(t, float64s, `[-0.0]`)), digestOf(t, column(t, float64s, `[0]`))
	if minus == plus {
		t.Error("a zero with a sign has the digest of one without")
	}
	sliced := array.NewSlice(column(t, texts, `["x","a","b"]`), 1, 3)
	defer sliced.Release()
	if a, b := digestOf(t, sliced), digestOf(t, column(t, texts, `["a","b"]`)); a != b {
		t.Errorf("a slice: %s, and its rows %s; want the same", a, b)
	}
}

// BenchmarkAddRecord is run by go test ./engine/sink/table -run '^$' -bench AddRecord.
func BenchmarkAddRecord(b *testing.B) {
	const rows = 1 << 16
	ids, scores := array.NewInt64Builder(memory.DefaultAllocator), array.NewFloat64Builder(memory.DefaultAllocator)
	for i := range rows {
		ids.Append(int64(i))
		scores.Append(float64(i) * 0.37)
	}
	columns := []arrow.Array{ids.NewArray(), scores.NewArray()}
	record := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: int64s}, {Name: "y", Type: float64s}}, nil), columns, rows)
	b.ReportAllocs()
	var d Digest
	for b.Loop() {
		if err := d.AddRecord(record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
