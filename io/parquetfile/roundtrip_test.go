package parquetfile

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// everyType has one case per Arrow type that the writer takes; values are JSON.
var everyType = []struct {
	name   string
	typ    arrow.DataType
	values string
	back   arrow.DataType // what is read; nil says typ
}{
	{"null", arrow.Null, `[null,null,null]`, nil},
	{"bool", arrow.FixedWidthTypes.Boolean, `[true,null,false]`, nil},
	{"int8", arrow.PrimitiveTypes.Int8, `[-128,null,127]`, nil},
	{"uint8", arrow.PrimitiveTypes.Uint8, `[0,null,255]`, nil},
	{"int16", arrow.PrimitiveTypes.Int16, `[-32768,null,32767]`, nil},
	{"uint16", arrow.PrimitiveTypes.Uint16, `[0,null,65535]`, nil},
	{"int32", arrow.PrimitiveTypes.Int32, `[-2147483648,null,2147483647]`, nil},
	{"uint32", arrow.PrimitiveTypes.Uint32, `[0,null,4294967295]`, nil},
	{"int64", arrow.PrimitiveTypes.Int64, `[-9223372036854775808,null,9223372036854775807]`, nil},
	{"uint64", arrow.PrimitiveTypes.Uint64, `[0,null,18446744073709551615]`, nil},
	{"float16", arrow.FixedWidthTypes.Float16, `[1.5,null,-2]`, nil},
	{"float32", arrow.PrimitiveTypes.Float32, `[1.5,null,-2]`, nil},
	{"float64", arrow.PrimitiveTypes.Float64, `[1.5,null,-2]`, nil},
	{"string", arrow.BinaryTypes.String, `["a",null,"","häß"]`, nil},
	{"binary", arrow.BinaryTypes.Binary, `["YQ==",null,""]`, nil},
	{"large string", arrow.BinaryTypes.LargeString, `["a",null,""]`, nil},
	{"large binary", arrow.BinaryTypes.LargeBinary, `["YQ==",null,""]`, nil},
	{"fixed size binary", &arrow.FixedSizeBinaryType{ByteWidth: 3}, `["YWJj",null,"eHl6"]`, nil},
	{"date32", arrow.FixedWidthTypes.Date32, `["1969-12-31",null,"2024-02-29"]`, nil},
	{"date64", arrow.FixedWidthTypes.Date64, `["1969-12-31",null,"2024-02-29"]`, nil},
	{"time32 ms", arrow.FixedWidthTypes.Time32ms, `["12:34:56.789",null,"00:00:00.000"]`, nil},
	{"time32 s", arrow.FixedWidthTypes.Time32s, `["12:34:56",null,"00:00:00"]`, arrow.FixedWidthTypes.Time32ms},
	{"time64 us", arrow.FixedWidthTypes.Time64us, `["12:34:56.789012",null,"00:00:00.000000"]`, nil},
	{"time64 ns", arrow.FixedWidthTypes.Time64ns, `["12:34:56.789012345",null,"00:00:00.000000000"]`, nil},
	{"timestamp s", &arrow.TimestampType{Unit: arrow.Second}, `["1969-12-31 23:59:59",null]`, &arrow.TimestampType{Unit: arrow.Millisecond}},
	{"timestamp ms", &arrow.TimestampType{Unit: arrow.Millisecond}, `["1969-12-31 23:59:59.123",null]`, nil},
	{"timestamp us UTC", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `["1969-12-31 23:59:59.123456Z",null]`, nil},
	{"timestamp ns zone", &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "Europe/Berlin"}, `["2024-07-01 12:00:00.123456789Z",null]`, nil},
	{"timestamp s zone", &arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Berlin"}, `["2024-07-01 12:00:00Z",null]`, &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"}},
	{"duration s", arrow.FixedWidthTypes.Duration_s, `["-1s",null]`, nil},
	{"duration ns", arrow.FixedWidthTypes.Duration_ns, `["1ns",null]`, nil},
	{"decimal 9", &arrow.Decimal128Type{Precision: 9, Scale: 2}, `["-1234567.89",null,"0.01"]`, nil},
	{"decimal 18", &arrow.Decimal128Type{Precision: 18, Scale: 4}, `["-12345678901234.5678",null]`, nil},
	{"decimal 38", &arrow.Decimal128Type{Precision: 38, Scale: 10}, `["-1234567890123456789012345678.0123456789",null,"1.0000000000"]`, nil},
	{"decimal256", &arrow.Decimal256Type{Precision: 76, Scale: 10}, `["-123456789012345678901234567890123456789012345678.0123456789",null]`, nil},
	{"decimal256 narrow", &arrow.Decimal256Type{Precision: 20, Scale: 2}, `["-1.01",null]`, nil},
	{"list", arrow.ListOf(arrow.PrimitiveTypes.Float32), `[[1,null,3],null,[],[4]]`, nil},
	{"list of required", arrow.ListOfNonNullable(arrow.PrimitiveTypes.Int64), `[[1,2],null,[],[4]]`, nil},
	{"large list", arrow.LargeListOf(arrow.BinaryTypes.String), `[["a",null],null,[]]`, nil},
	{"fixed size list", arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1,2],[3,null]]`, nil},
	{"fixed size list with nulls", arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1,2],null,null,[3,null],null]`, nil},
	{"fixed size list of strings", arrow.FixedSizeListOf(2, arrow.BinaryTypes.String), `[["a","b"],null,["c",null]]`, nil},
	{"fixed size list of nulls in structs", arrow.FixedSizeListOf(2, arrow.StructOf(arrow.Field{Name: "a", Type: arrow.Null, Nullable: true})), `[[{"a":null},null],null]`, nil},
	{"fixed size list of lists of nulls", arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, arrow.Null)), `[null,[[null,null,null],null]]`, nil},
	{"list of lists", arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int32)), `[[[1],null,[]],null,[],[[2,null],[3]]]`, nil},
	{"list of fixed size lists", arrow.ListOf(arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32)), `[[[1,2],null],null,[]]`, nil},
	{"struct", arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true},
	), `[{"a":1,"b":"x"},null,{"a":null,"b":null}]`, nil},
	{"struct of lists", arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
		arrow.Field{Name: "b", Type: arrow.StructOf(arrow.Field{Name: "c", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}), Nullable: true},
	), `[{"a":[1],"b":{"c":true}},null,{"a":null,"b":null},{"a":[],"b":{"c":null}}]`, nil},
	{"list of structs", arrow.ListOf(arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(arrow.PrimitiveTypes.Int8), Nullable: true},
	)), `[[{"a":1,"b":[1,2]},null,{"a":null,"b":null}],null,[],[{"a":2,"b":[]}]]`, nil},
	{"map", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64), `[[{"key":"a","value":1},{"key":"b","value":null}],null,[]]`, nil},
	{"map of lists", arrow.MapOf(arrow.PrimitiveTypes.Int32, arrow.ListOf(arrow.PrimitiveTypes.Int32)), `[[{"key":1,"value":[1,2]},{"key":2,"value":null}],null,[{"key":3,"value":[]}]]`, nil},
	{"dictionary", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["a","b",null,"a"]`, arrow.BinaryTypes.String},
	{"dictionary of numbers", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int64}, `[7,8,null,7]`, arrow.PrimitiveTypes.Int64},
	{"list of dictionary", arrow.ListOf(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}), `[["a","b"],null,["a",null]]`, arrow.ListOf(arrow.BinaryTypes.String)},
	{"string view", arrow.BinaryTypes.StringView, `["longer than twelve bytes",null,"","häß"]`, arrow.BinaryTypes.String},
	{"binary view", arrow.BinaryTypes.BinaryView, `["AQIDAQIDAQIDAQIDAQIDAQID",null,""]`, arrow.BinaryTypes.Binary},
	{"decimal32", &arrow.Decimal32Type{Precision: 9, Scale: 2}, `["-1234567.89",null,"0.01"]`, &arrow.Decimal128Type{Precision: 9, Scale: 2}},
	{"decimal64", &arrow.Decimal64Type{Precision: 18, Scale: 4}, `["-12345678901234.5678",null,"0.0001"]`, &arrow.Decimal128Type{Precision: 18, Scale: 4}},
	{"list of views", arrow.ListOf(arrow.BinaryTypes.StringView), `[["longer than twelve bytes",null],null,[],["a"],null,["b"]]`, arrow.ListOf(arrow.BinaryTypes.String)},
	{"fixed size list of views", arrow.FixedSizeListOf(2, arrow.BinaryTypes.BinaryView), `[["YQ==","YWJjZGVmZ2hpamtsbW5v"],null,["Yg==",null]]`, arrow.FixedSizeListOf(2, arrow.BinaryTypes.Binary)},
	{
		"map of views", arrow.MapOf(arrow.BinaryTypes.StringView, &arrow.Decimal64Type{Precision: 12, Scale: 1}), `[[{"key":"longer than twelve bytes","value":"1.5"},{"key":"b","value":null}],null,[]]`,
		arrow.MapOf(arrow.BinaryTypes.String, &arrow.Decimal128Type{Precision: 12, Scale: 1}),
	},
	{"struct of views", arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.BinaryTypes.StringView, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(&arrow.Decimal32Type{Precision: 5, Scale: 2}), Nullable: true},
	), `[{"a":"x","b":["1.25",null]},null,{"a":null,"b":null},{"a":"longer than twelve bytes","b":[]}]`, arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(&arrow.Decimal128Type{Precision: 5, Scale: 2}), Nullable: true},
	)},
	{"dictionary of small decimals", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: &arrow.Decimal32Type{Precision: 5, Scale: 2}}, `["1.25","-1.00",null,"1.25"]`, &arrow.Decimal128Type{Precision: 5, Scale: 2}},
	{"uuid", extensions.NewUUIDType(), `["0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",null]`, nil},
}

// sameText says whether values print alike as both types.
func sameText(a, b arrow.DataType) bool {
	_, dictionary := a.(*arrow.DictionaryType)
	return b == nil || !dictionary && a.ID() != arrow.TIME32 && a.ID() != arrow.TIMESTAMP && !strings.Contains(a.String(), "dictionary")
}

func fromJSON(t *testing.T, mem memory.Allocator, typ arrow.DataType, values string) arrow.Array {
	t.Helper()
	arr, _, err := array.FromJSON(mem, typ, strings.NewReader(values))
	if err != nil {
		t.Fatalf("values of %s: %v", typ, err)
	}
	return arr
}

func batchOf(arr arrow.Array, nullable bool) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arr.DataType(), Nullable: nullable}}, nil)
	return array.NewRecordBatch(schema, []arrow.Array{arr}, int64(arr.Len()))
}

// Values are compared as JSON, which is what the case gives.
func TestRoundTripOfEveryType(t *testing.T) {
	for _, c := range everyType {
		t.Run(c.name, func(t *testing.T) {
			for _, opts := range []format.WriteOptions{{}, {RowGroupRows: 1, Compression: "snappy"}, {RowGroupRows: 2, Compression: "none"}} {
				for _, chunkRows := range []int{1, 2, 100} {
					mem := checked(t)
					opts.Allocator = mem
					in := fromJSON(t, mem, c.typ, c.values)
					batch := batchOf(in, true)
					in.Release()
					path := write(t, opts, batch)
					r := open(t, path, format.ReadOptions{Allocator: mem, ChunkRows: chunkRows})
					want := c.typ
					if c.back != nil {
						want = c.back
					}
					if got := r.Schema().Field(0).Type; !arrow.TypeEqual(got, want) && !sameButNames(got, want) {
						t.Errorf("type read = %s; want %s", got, want)
					}
					got, rows, err := readAll(r, []int{0}, chunkRows, mem)
					if err != nil {
						t.Fatal(err)
					}
					if rows != batch.NumRows() {
						t.Errorf("%d rows; want %d", rows, batch.NumRows())
					}
					if g, w := valueStrings(got[0]), valueStrings(batch.Column(0)); g != w && sameText(c.typ, c.back) {
						t.Errorf("values read = %s; want %s", g, w)
					}
					release(got)
					batch.Release()
				}
			}
		})
	}
}

func valueStrings(a arrow.Array) string {
	var b strings.Builder
	for i := range a.Len() {
		b.WriteString(a.ValueStr(i))
		b.WriteByte('\n')
	}
	return b.String()
}

// sameButNames compares types whose list elements have other names: Parquet
// calls them "element".
func sameButNames(a, b arrow.DataType) bool {
	clean := strings.NewReplacer("element", "item")
	return clean.Replace(a.String()) == clean.Replace(b.String())
}

// A struct that is null has no values in Parquet, whatever its fields hold there, as in
// arrays that others masked.
func TestNullStructsOverValues(t *testing.T) {
	rows := []string{"null", "2", "4", "1", "3"}
	fields := map[string]struct {
		typ    arrow.DataType
		values func(string) string
	}{
		"decimal128":      {&arrow.Decimal128Type{Precision: 38, Scale: 2}, func(v string) string { return v }},
		"decimal256":      {&arrow.Decimal256Type{Precision: 60, Scale: 2}, func(v string) string { return v }},
		"int64":           {arrow.PrimitiveTypes.Int64, func(v string) string { return v }},
		"list":            {arrow.ListOf(arrow.PrimitiveTypes.Int64), func(v string) string { return "[" + v + "," + v + "]" }},
		"fixed size list": {arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int64), func(v string) string { return "[" + v + "," + v + "]" }},
		"map":             {arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), func(v string) string { return `[{"key":"a","value":` + v + `}]` }},
		"dictionary":      {&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: &arrow.Decimal128Type{Precision: 38}}, func(v string) string { return v }},
		"struct":          {arrow.StructOf(arrow.Field{Name: "x", Type: &arrow.Decimal128Type{Precision: 38}, Nullable: true}), func(v string) string { return `{"x":` + v + `}` }},
	}
	for name, c := range fields {
		t.Run(name, func(t *testing.T) {
			mem := checked(t)
			values := make([]string, len(rows))
			for i, v := range rows {
				values[i] = c.values(v)
			}
			under := fromJSON(t, mem, c.typ, "["+strings.Join(values, ",")+"]")
			defer under.Release()
			for _, nulls := range []byte{0b01000, 0b00110, 0b10001} {
				validity := memory.NewBufferBytes([]byte{^nulls})
				typ := arrow.StructOf(arrow.Field{Name: "v", Type: c.typ, Nullable: true})
				data := array.NewData(typ, len(rows), []*memory.Buffer{validity}, []arrow.ArrayData{under.Data()}, array.UnknownNullCount, 0)
				whole := array.NewStructData(data)
				data.Release()
				for _, from := range []int64{0, 1} {
					in := array.NewSlice(whole, from, int64(len(rows)))
					batch := batchOf(in, true)
					r := open(t, write(t, format.WriteOptions{Allocator: mem}, batch), format.ReadOptions{Allocator: mem})
					got, _, err := readAll(r, []int{0}, len(rows), mem)
					if err != nil {
						t.Fatal(err)
					}
					if g, w := valueStrings(got[0]), valueStrings(in); g != w {
						t.Errorf("nulls %05b from row %d: values read = %s; want %s", nulls, from, g, w)
					}
					release(got)
					batch.Release()
					in.Release()
				}
				whole.Release()
			}
		})
	}
}
