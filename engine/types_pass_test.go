package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// kept is one Arrow type as a column that passes through.
type kept struct {
	name   string
	dt     arrow.DataType
	values string // JSON, three of them; rows repeat them
	csv    string // of the first value
	// parquet is what Parquet gives back: nil says dt, refused that the run
	// must fail before it starts.
	parquet arrow.DataType
}

// refused stands for a type that a format cannot hold.
var refused = arrow.Null

func structType() arrow.DataType {
	return arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	)
}

func unionFields() []arrow.Field {
	return []arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}
}

func dictionary(index, values arrow.DataType) arrow.DataType {
	return &arrow.DictionaryType{IndexType: index, ValueType: values}
}

func jsonType(t *testing.T) arrow.DataType {
	t.Helper()
	dt, err := extensions.NewJSONType(arrow.BinaryTypes.String)
	if err != nil {
		t.Fatal(err)
	}
	return dt
}

func keptTypes(t *testing.T) []kept {
	t.Helper()
	p, f := arrow.PrimitiveTypes, arrow.FixedWidthTypes
	ms, s := &arrow.TimestampType{Unit: arrow.Millisecond}, &arrow.TimestampType{Unit: arrow.Second}
	return []kept{
		{"bool", f.Boolean, `[true, null, false]`, "true", nil},
		{"int8", p.Int8, `[-128, null, 127]`, "-128", nil},
		{"int16", p.Int16, `[-32768, null, 1]`, "-32768", nil},
		{"int32", p.Int32, `[-2147483648, null, 1]`, "-2147483648", nil},
		{"int64", p.Int64, `[-9223372036854775808, null, 1]`, "-9223372036854775808", nil},
		{"uint8", p.Uint8, `[255, null, 1]`, "255", nil},
		{"uint16", p.Uint16, `[65535, null, 1]`, "65535", nil},
		{"uint32", p.Uint32, `[4294967295, null, 1]`, "4294967295", nil},
		{"uint64", p.Uint64, `[18446744073709551615, null, 1]`, "18446744073709551615", nil},
		{"float16", f.Float16, `[1.5, null, -2]`, "1.5", nil},
		{"float32", p.Float32, `[1.5, null, "NaN"]`, "1.5", nil},
		{"float64", p.Float64, `[1.5, null, "-Inf"]`, "1.5", nil},
		{"decimal32", &arrow.Decimal32Type{Precision: 9, Scale: 2}, `["1234567.89", null, "-0.01"]`, "1234567.89", &arrow.Decimal128Type{Precision: 9, Scale: 2}},
		{"decimal64", &arrow.Decimal64Type{Precision: 18, Scale: 2}, `["1234567.89", null, "-0.01"]`, "1234567.89", &arrow.Decimal128Type{Precision: 18, Scale: 2}},
		{"decimal128", &arrow.Decimal128Type{Precision: 38, Scale: 10}, `["1234567890123456789012345678.0123456789", null, "-0.0000000001"]`, "1234567890123456789012345678.0123456789", nil},
		{"decimal256", &arrow.Decimal256Type{Precision: 76, Scale: 2}, `["12345678901234567890123456789012345678901234567890.25", null, "-0.01"]`, "12345678901234567890123456789012345678901234567890.25", nil},
		{"date32", f.Date32, `["1969-12-31", null, "2024-02-29"]`, "1969-12-31", nil},
		{"date64", f.Date64, `["1969-12-31", null, "2024-02-29"]`, "1969-12-31", nil},
		{"time32s", f.Time32s, `["12:34:56", null, "00:00:01"]`, "12:34:56", f.Time32ms},
		{"time32ms", f.Time32ms, `["12:34:56.789", null, "00:00:01"]`, "12:34:56.789", nil},
		{"time64us", f.Time64us, `["12:34:56.789012", null, "00:00:01"]`, "12:34:56.789012", nil},
		{"time64ns", f.Time64ns, `["12:34:56.789012345", null, "00:00:01"]`, "12:34:56.789012345", nil},
		{"timestamp s", s, `["1969-12-31 23:59:59", null, "2024-02-29 01:02:03"]`, "1969-12-31T23:59:59", ms},
		{"timestamp ms", ms, `["1969-12-31 23:59:59.123", null, "2024-02-29 01:02:03"]`, "1969-12-31T23:59:59.123", nil},
		{"timestamp us UTC", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `["2024-07-01 12:00:00.123456Z", null, "1969-12-31 23:59:59Z"]`, "2024-07-01T12:00:00.123456Z", nil},
		{"timestamp ns zone", &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "Europe/Berlin"}, `["2024-07-01 12:00:00.123456789Z", null, "1969-12-31 23:59:59Z"]`, "2024-07-01T12:00:00.123456789Z", nil},
		{"duration s", f.Duration_s, `["-1s", null, "2s"]`, "PT-1S", nil},
		{"duration ns", f.Duration_ns, `["1ns", null, "2s"]`, "PT0.000000001S", nil},
		{"months", f.MonthInterval, `[{"months": 14}, null, {"months": -1}]`, "P14M", refused},
		{"day time", f.DayTimeInterval, `[{"days": 3, "milliseconds": 5}, null, {"days": 0, "milliseconds": -1}]`, "P3DT0.005S", refused},
		{"month day nano", f.MonthDayNanoInterval, `[{"months": 1, "days": 2, "nanoseconds": 3}, null, {"months": 0, "days": 0, "nanoseconds": -1}]`, "P1M2DT0.000000003S", refused},
		{"string", arrow.BinaryTypes.String, `["häß,", null, ""]`, "häß,", nil},
		{"large string", arrow.BinaryTypes.LargeString, `["a\nb", null, ""]`, "a\nb", nil},
		{"string view", arrow.BinaryTypes.StringView, `["longer than twelve bytes", null, "short"]`, "longer than twelve bytes", arrow.BinaryTypes.String},
		{"binary", arrow.BinaryTypes.Binary, `["AQID", null, ""]`, "AQID", nil},
		{"large binary", arrow.BinaryTypes.LargeBinary, `["AQID", null, ""]`, "AQID", nil},
		{"binary view", arrow.BinaryTypes.BinaryView, `["AQIDAQIDAQIDAQIDAQIDAQID", null, ""]`, "AQIDAQIDAQIDAQIDAQIDAQID", arrow.BinaryTypes.Binary},
		{"fixed size binary", &arrow.FixedSizeBinaryType{ByteWidth: 3}, `["YWJj", null, "eHl6"]`, "YWJj", nil},
		{"null", arrow.Null, `[null, null, null]`, "", nil},
		{"list", arrow.ListOf(p.Float32), `[[1, null, 3], null, []]`, "[1,null,3]", nil},
		{"large list", arrow.LargeListOf(arrow.BinaryTypes.String), `[["a", null], null, []]`, `["a",null]`, nil},
		{"list view", arrow.ListViewOf(p.Int16), `[[1, null, 3], null, []]`, "[1,null,3]", refused},
		{"large list view", arrow.LargeListViewOf(p.Int16), `[[1, null, 3], null, []]`, "[1,null,3]", refused},
		{"fixed size list", arrow.FixedSizeListOf(2, p.Float64), `[[1, 2], null, [3, null]]`, "[1,2]", nil},
		{"nested lists", arrow.ListOf(arrow.FixedSizeListOf(2, p.Int8)), `[[[1, 2], null], null, []]`, "[[1,2],null]", nil},
		{"struct", structType(), `[{"a": 1, "b": ["x", null]}, null, {"a": null, "b": null}]`, `{"a":1,"b":["x",null]}`, nil},
		{"list of structs", arrow.ListOf(structType()), `[[{"a": 1, "b": ["x"]}, null], null, []]`, `[{"a":1,"b":["x"]},null]`, nil},
		{"map", arrow.MapOf(arrow.BinaryTypes.String, p.Int64), `[[{"key": "k", "value": 1}, {"key": "l", "value": null}], null, []]`, `[{"key":"k","value":1},{"key":"l","value":null}]`, nil},
		{"dictionary", dictionary(p.Int8, arrow.BinaryTypes.String), `["a", null, "b"]`, "a", arrow.BinaryTypes.String},
		{"dictionary of numbers", dictionary(p.Uint32, p.Int64), `[7, null, 8]`, "7", p.Int64},
		{"dictionary of timestamps", dictionary(p.Int16, ms), `["2024-02-29 01:02:03", null, "1970-01-01"]`, "2024-02-29T01:02:03.000", ms},
		{"list of dictionaries", arrow.ListOf(dictionary(p.Int8, arrow.BinaryTypes.String)), `[["a", "b"], null, ["b", null]]`, `["a","b"]`, arrow.ListOf(arrow.BinaryTypes.String)},
		{"run-end encoded", arrow.RunEndEncodedOf(p.Int32, arrow.BinaryTypes.String), `["a", "a", null]`, "a", refused},
		{"run-end encoded, 16 bits", arrow.RunEndEncodedOf(p.Int16, p.Float64), `[1.5, null, null]`, "1.5", refused},
		{"uuid", extensions.NewUUIDType(), `["00000000-0000-0000-0000-000000000001", null, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"]`, "AAAAAAAAAAAAAAAAAAAAAQ==", nil},
		{"json", jsonType(t), `["{}", null, "[1]"]`, "{}", nil},
		{"bool8", extensions.NewBool8Type(), `[true, null, false]`, "1", nil},
		{"sparse union", arrow.SparseUnionOf(unionFields(), []arrow.UnionTypeCode{0, 1}), `[[0, 5], [1, null], [1, "x"]]`, "5", refused},
		{"dense union", arrow.DenseUnionOf(unionFields(), []arrow.UnionTypeCode{0, 1}), `[[0, 5], [1, "y"], [1, "x"]]`, "5", refused},
		{"dense union with far codes", arrow.DenseUnionOf(unionFields(), []arrow.UnionTypeCode{5, 9}), `[[5, 5], [9, "y"], [9, "x"]]`, "5", refused},
	}
}

// repeated is a JSON array of n of the values, starting over at their end.
func repeated(t *testing.T, values string, n int) []string {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(values), &all); err != nil {
		t.Fatal(err)
	}
	out := make([]string, n)
	for i := range out {
		out[i] = string(all[i%len(all)])
	}
	return out
}

// Every Arrow type passes through with its type and its values, through batches
// that lie within spans, join them and lose rows, or is refused before anything
// is scored.
func TestEveryTypePassesThrough(t *testing.T) {
	const rows = 20
	rejected := func(row int) bool { return row%5 == 4 }
	x, keptRows := counting(rows), make([]string, 0, rows)
	for row := range rows {
		if rejected(row) {
			x[row] = "null"
		} else {
			keptRows = append(keptRows, strconv.Itoa(row))
		}
	}
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N"))
	for _, k := range keptTypes(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			values := repeated(t, k.values, rows)
			left := make([]string, 0, rows)
			for row, v := range values {
				if !rejected(row) {
					left = append(left, v)
				}
			}
			in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{6, 2, 1, 1},
				named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, jsonList(x))},
				named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(counting(rows)))},
				named{"k", fromJSON(t, k.dt, jsonList(values))})
			want := fromJSON(t, k.dt, jsonList(left))
			opts := engine.Options{
				Model: model, Inputs: []string{in}, IDs: []string{"id"}, Keep: []string{"k"}, BatchRows: 4, Workers: 2, MaxRejects: -1,
				Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject")},
			}
			ids := fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(keptRows))
			for _, file := range []string{"out.arrow", "parts", "out.parquet"} {
				opts.Output, opts.Format, opts.PartRows = filepath.Join(dir, file), "", 0
				if file == "parts" {
					opts.Format, opts.PartRows = format.ArrowFile, 5
				}
				wantType := k.dt
				if file == "out.parquet" && k.parquet != nil {
					wantType = k.parquet
				}
				if file == "out.parquet" && k.parquet == refused {
					_, err := run(t, opts)
					checkRefused(t, err, "k", k.dt)
					continue
				}
				summary := mustRun(t, opts)
				if summary.Rows.Scored != int64(len(left)) {
					t.Errorf("%s: rows = %+v; want %d scored", file, summary.Rows, len(left))
				}
				schema, records := readBack(t, opts.Output)
				checkColumn(t, schema, records, "id", ids)
				checkColumn(t, schema, records, "k", fromJSONOf(t, want, wantType, left))
			}
			opts.Output = filepath.Join(dir, "out.csv")
			mustRun(t, opts)
			header, lines := readCSV(t, opts.Output)
			if !slices.Equal(header, []string{"id", "k", "y"}) || len(lines) != len(left) || lines[0][1] != k.csv {
				t.Errorf("CSV = %q, %d rows, first %q; want %q, %d rows, first %q", header, len(lines), lines[0], []string{"id", "k", "y"}, len(left), k.csv)
			}
		})
	}
}

// fromJSONOf is values as another type; an array of the same type stays.
func fromJSONOf(t *testing.T, a arrow.Array, dt arrow.DataType, values []string) arrow.Array {
	t.Helper()
	if arrow.TypeEqual(a.DataType(), dt) {
		return a
	}
	return fromJSON(t, dt, jsonList(values))
}

func checkRefused(t *testing.T, err error, column string, dt arrow.DataType) {
	t.Helper()
	if !errors.Is(err, format.ErrColumnType) || !strings.Contains(err.Error(), fmt.Sprintf("%q", column)) || !strings.Contains(err.Error(), dt.String()) {
		t.Errorf("run = %v; want an error that wraps %q and names %q and %s", err, format.ErrColumnType, column, dt)
	}
}

// A value that Parquet has no place for ends the run, by one message, and nothing is published.
func TestValuesWithoutPlaceInParquet(t *testing.T) {
	seconds := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Second})
	seconds.AppendValues([]arrow.Timestamp{0, math.MaxInt64}, nil)
	listed := array.NewListBuilder(memory.DefaultAllocator, seconds.Type())
	for _, v := range []arrow.Timestamp{0, math.MaxInt64} {
		listed.Append(true)
		listed.ValueBuilder().(*array.TimestampBuilder).Append(v)
	}
	days := array.NewDate64Builder(memory.DefaultAllocator)
	days.AppendValues([]arrow.Date64{0, 1}, nil)
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N"))
	for _, b := range []array.Builder{seconds, listed, days} {
		dir := t.TempDir()
		in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{2},
			named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, `[1, 2]`)}, named{"k", b.NewArray()})
		for name, target := range map[string]int64{"out.parquet": 0, "parts": 0, "sized": 1 << 20} {
			out := filepath.Join(dir, name)
			_, err := run(t, engine.Options{Model: model, Inputs: []string{in}, Keep: []string{"k"}, Output: out, TargetFileBytes: target})
			if !errors.Is(err, format.ErrValue) || strings.Count(err.Error(), `column "k"`) != 1 {
				t.Errorf("%s into %s: run = %v; want an error that wraps %q and names \"k\" once", b.Type(), name, err, format.ErrValue)
			}
			if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s is there: %v", b.Type(), name, err)
			}
		}
		b.Release()
	}
}
