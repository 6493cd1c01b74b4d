package jsonlfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/rowtext"
)

// written writes batches of one schema and returns the text.
func written(tb testing.TB, opts format.WriteOptions, batches ...arrow.RecordBatch) string {
	tb.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, batches[0].Schema(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// Expected texts are written by hand from rowtext's table.
func TestTypes(t *testing.T) {
	for _, tc := range []struct {
		why    string
		dt     arrow.DataType
		values string
		want   []string
	}{
		{"null", arrow.Null, `[null]`, []string{"null"}},
		{"booleans", arrow.FixedWidthTypes.Boolean, `[true, null]`, []string{"true", "null"}},
		{"extremes of int64 have all their digits", arrow.PrimitiveTypes.Int64, `[-9223372036854775808, 9223372036854775807]`, []string{"-9223372036854775808", "9223372036854775807"}},
		{"extremes of uint64", arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, []string{"18446744073709551615"}},
		{"float32 has float32's digits", arrow.PrimitiveTypes.Float32, `[0.1, 16777216, 1e-7]`, []string{"0.1", "16777216.0", "1e-07"}},
		{"float64", arrow.PrimitiveTypes.Float64, `[0.1, 1e21, -0.5]`, []string{"0.1", "1e+21", "-0.5"}},
		{
			"strings escape what JSON must", arrow.BinaryTypes.String, `["a", "", "say \"hi\" \\", "x\ny\r\t\u0001", "é\u2028😀"]`,
			[]string{`"a"`, `""`, `"say \"hi\" \\"`, `"x\ny\r\t\u0001"`, "\"é\u2028😀\""},
		},
		{"binary is base64", arrow.BinaryTypes.Binary, `["AQID/w=="]`, []string{`"AQID/w=="`}},
		{"decimals are strings with their zeros", &arrow.Decimal128Type{Precision: 10, Scale: 3}, `["1.5", "-0.001", null]`, []string{`"1.500"`, `"-0.001"`, "null"}},
		{"decimals beyond 64 bits", &arrow.Decimal128Type{Precision: 38, Scale: 0}, `["-99999999999999999999999999999999999999"]`, []string{`"-99999999999999999999999999999999999999"`}},
		{"dates", arrow.FixedWidthTypes.Date32, `["2013-01-31", "2013-01-31", "1969-12-31"]`, []string{`"2013-01-31"`, `"2013-01-31"`, `"1969-12-31"`}},
		{"timestamps with zone stand in UTC", &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Berlin"}, `["2013-01-31T17:05:00.25Z"]`, []string{`"2013-01-31T17:05:00.250Z"`}},
		{"timestamps without zone", &arrow.TimestampType{Unit: arrow.Second}, `["2013-01-31T17:05:00"]`, []string{`"2013-01-31T17:05:00"`}},
		{"lists", arrow.ListOf(arrow.PrimitiveTypes.Float32), `[[1, null], [], null]`, []string{"[1.0,null]", "[]", "null"}},
		{"structs", arrow.StructOf(arrow.Field{Name: `y"`, Type: arrow.BinaryTypes.String, Nullable: true}), `[{"y\"": "a"}, {"y\"": null}, null]`, []string{`{"y\"":"a"}`, `{"y\"":null}`, "null"}},
		{
			"maps keep order and repeated keys", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32),
			`[[{"key": "k", "value": 1}, {"key": "k", "value": null}]]`,
			[]string{`[{"key":"k","value":1},{"key":"k","value":null}]`},
		},
		{
			"dictionaries give values", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
			`["a\n", "b", "a\n", null]`,
			[]string{`"a\n"`, `"b"`, `"a\n"`, "null"},
		},
		{"run ends give values", arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64), `[7, 7, null]`, []string{"7", "7", "null"}},
	} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		arr, _, err := array.FromJSON(mem, tc.dt, strings.NewReader(tc.values))
		if err != nil {
			t.Fatalf("%s: %v", tc.why, err)
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: `c"`, Type: tc.dt, Nullable: true}, {Name: "same", Type: tc.dt, Nullable: true}}, nil)
		b := array.NewRecordBatch(schema, []arrow.Array{arr, arr}, int64(arr.Len()))
		var want strings.Builder
		for _, text := range tc.want {
			want.WriteString(`{"c\"":` + text + `,"same":` + text + "}\n")
		}
		if got := written(t, format.WriteOptions{}, b); got != want.String() {
			t.Errorf("%s: wrote %s; want %s", tc.why, got, want.String())
		}
		slice := b.NewSlice(1, b.NumRows()) // values lie at an offset
		_, rest, _ := strings.Cut(want.String(), "\n")
		if got := written(t, format.WriteOptions{}, slice); got != rest {
			t.Errorf("%s: wrote a slice as %s; want %s", tc.why, got, rest)
		}
		slice.Release()
		b.Release()
		arr.Release()
		mem.AssertSize(t, 0)
	}
}

// encoding/json reads back what was written, whatever the text, but for bytes that are
// not UTF-8.
func TestTextsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a"\\\n\x00-\x1f\x7fé😀]{0,20}`)).Draw(t, "text")
		var got string
		line := rowtext.AppendString(nil, text)
		if err := json.Unmarshal(line, &got); err != nil || got != strings.ToValidUTF8(text, "�") {
			t.Fatalf("AppendString(%q) = %s, read back as %q, %v", text, line, got, err)
		}
	})
	for _, tc := range []struct{ text, want string }{
		{"a\xff\xfeb", "\"a\ufffd\ufffdb\""},
		{"\xe2\x82", "\"\ufffd\ufffd\""},
		{"\ufffd", "\"\ufffd\""},
	} {
		if got := string(rowtext.AppendString(nil, tc.text)); got != tc.want {
			t.Errorf("AppendString(%q) = %q; want %q", tc.text, got, tc.want)
		}
	}
}

func TestErrors(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.PrimitiveTypes.Int32}}, nil)
	if _, err := NewWriter(io.Discard, schema, format.WriteOptions{Compression: "snappy"}); !errors.Is(err, rowtext.ErrCodec) {
		t.Errorf("an unknown codec gives %v; want ErrCodec", err)
	}
}
