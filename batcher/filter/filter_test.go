package filter

import (
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// sample has columns of most types. JSON is how arrow-go writes them: times and
// decimals as text, float16 and float32 by their nearest.
var sampleFields = []arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int64},
	{Name: "u", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "small", Type: arrow.PrimitiveTypes.Int8},
	{Name: "f", Type: arrow.PrimitiveTypes.Float64},
	{Name: "f32", Type: arrow.PrimitiveTypes.Float32},
	{Name: "half", Type: arrow.FixedWidthTypes.Float16},
	{Name: "price", Type: &arrow.Decimal128Type{Precision: 20, Scale: 2}},
	{Name: "s", Type: arrow.BinaryTypes.String},
	{Name: "large", Type: arrow.BinaryTypes.LargeString},
	{Name: "view", Type: arrow.BinaryTypes.StringView},
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "c", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Millisecond}},
	{Name: "zoned", Type: &arrow.TimestampType{Unit: arrow.Second, TimeZone: "America/New_York"}},
	{Name: "clock", Type: arrow.FixedWidthTypes.Time64us},
	{Name: "code", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
	{Name: "arr delay", Type: arrow.PrimitiveTypes.Int32},
	{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32)},
	{Name: "none", Type: arrow.Null},
}

const sampleRows = `[
 {"i": 1, "u": 18446744073709551615, "small": -5, "f": 0.5, "f32": 0.1, "half": 0.1, "price": "10.25", "s": "EWR", "large": "EWR", "view": "EWR", "b": true, "c": true, "day": "2013-01-01", "at": "2013-01-01T05:00:00", "zoned": "2013-01-01 05:00:00Z", "clock": "05:00:00", "code": "AA", "arr delay": 3, "list": [1]},
 {"i": 9007199254740993, "u": 0, "small": 127, "f": 1e300, "f32": 2, "half": 2, "price": "-0.01", "s": "", "large": "jfk", "view": "a longer text than twelve", "b": false, "c": true, "day": "2013-12-31", "at": "2013-12-31T23:59:59", "zoned": "2013-12-31 23:59:59Z", "clock": "23:59:59", "code": "UA", "arr delay": -3, "list": null},
 {"i": -9223372036854775808, "u": 7, "small": 0, "f": -0.0, "f32": -1, "half": -1, "price": "99.99", "s": "JFK", "large": "JFK", "view": "JFK", "b": true, "c": false, "day": "1969-12-31", "at": "1969-12-31T00:00:00", "zoned": "1969-12-31 00:00:00Z", "clock": "00:00:00", "code": "AA", "arr delay": 0, "list": []},
 {"i": null, "u": null, "small": null, "f": null, "f32": null, "half": null, "price": null, "s": null, "large": null, "view": null, "b": null, "c": null, "day": null, "at": null, "zoned": null, "clock": null, "code": null, "arr delay": null, "list": null}
]`

func sample(tb testing.TB) arrow.RecordBatch {
	tb.Helper()
	fields := slices.Clone(sampleFields)
	for i := range fields {
		fields[i].Nullable = true
	}
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader(sampleRows))
	if err != nil {
		tb.Fatal(err)
	}
	return record
}

// rowsOf are the rows of a record batch that pass.
func rowsOf(tb testing.TB, f *Filter, record arrow.RecordBatch) []int {
	tb.Helper()
	e := f.NewEvaluator()
	defer e.Close()
	columns := make([]arrow.Array, 0, len(f.Columns()))
	for _, name := range f.Columns() {
		columns = append(columns, record.Column(record.Schema().FieldIndices(name)[0]))
	}
	passed, failed := e.Eval(columns, int(record.NumRows()))
	for i := range passed.words {
		if passed.words[i]&failed.words[i] != 0 {
			tb.Errorf("%s: rows pass and fail: %b, %b", f, passed.words, failed.words)
		}
	}
	return slices.Collect(passed.Rows)
}

func TestFilter(t *testing.T) {
	record := sample(t)
	defer record.Release()
	for _, c := range []struct {
		why, text string
		want      []int
	}{
		{"a null is neither above nor below", `i > 0 || i <= 0`, []int{0, 1, 2}},
		{"nor is it unequal", `i != 1`, []int{1, 2}},
		{"not of unknown is unknown", `!(i == 1)`, []int{1, 2}},
		{"what is null can be asked", `i == nil`, []int{3}},
		{"and what is not", `i != nil && list != nil`, []int{0, 2}},
		{"a null column is null everywhere", `none == nil`, []int{0, 1, 2, 3}},
		{"and compares with nothing", `none == 1 || none != 1`, nil},
		{"false and unknown is false", `!(i == nil && none == 1) && !(i != nil && small > 127)`, []int{0, 1, 2}},
		{"true or unknown is true", `i == nil || none == 1`, []int{3}},
		{"integers above 2^53 are exact", `i == 9007199254740993`, []int{1}},
		{"and next to them", `i == 9007199254740992`, nil},
		{"a fraction falls between integers", `small > -5.5 && small < 0.5`, []int{0, 2}},
		{"no integer equals a fraction", `small == 0.5 || small != 0.5`, []int{0, 1, 2}},
		{"a number beyond a type", `small < 1000 && small > -1e10`, []int{0, 1, 2}},
		{"none is", `small >= 128`, nil},
		{"unsigned integers", `u == 18446744073709551615`, []int{0}},
		{"unsigned below 0", `u > -1`, []int{0, 1, 2}},
		{"a literal has the column's precision", `f32 == 0.1 && half == 0.1`, []int{0}},
		{"0 is -0", `f == 0`, []int{2}},
		{"decimals are exact", `price == 10.25 || price < 0`, []int{0, 1}},
		{"no decimal has so many digits", `price != 0.001 && price > -1e40 && price < 1e40`, []int{0, 1, 2}},
		{"nor is the least of its bits one", `price <= -1701411834604692317316873037158841057.28`, nil},
		{"a decimal between two", `price > 10.249 && price < 10.251`, []int{0}},
		{"text", `s == "EWR" || s == ""`, []int{0, 1}},
		{"text has an order by bytes", `large >= "JFK"`, []int{1, 2}},
		{"a view of text", `view startsWith "a longer" || view endsWith "FK"`, []int{1, 2}},
		{"contains", `s contains "W"`, []int{0}},
		{"matches is RE2, anywhere", `s matches "^[EJ].[RK]$"`, []int{0, 2}},
		{"not contains", `s not contains "W"`, []int{1, 2}},
		{"a list of texts", `s in ["EWR", "LGA"]`, []int{0}},
		{"a long list of texts", `s in ["EWR", "LGA", "JFK", "X", "Y"]`, []int{0, 2}},
		{"not in a list", `s not in ["EWR", "LGA", "X", "Y", "Z"]`, []int{1, 2}},
		{"a list of integers", `small in [-5, 127, 3, 4.5, 1000]`, []int{0, 1}},
		{"a long list of unsigned", `u in [18446744073709551615, 1, 2, 3]`, []int{0}},
		{"a range", `small in -5..0`, []int{0, 2}},
		{"a list of columns", `small in [small, 5]`, []int{0, 1, 2}},
		{"a column of truth", `b`, []int{0, 2}},
		{"its opposite", `!b`, []int{1}},
		{"compared with a truth", `b == false`, []int{1}},
		{"two of them", `b == c`, []int{0}},
		{"unequal", `b != c`, []int{1, 2}},
		{"a comparison's truth", `(i > 0) == b`, []int{0}},
		{"a date", `day >= "2013-01-01"`, []int{0, 1}},
		{"a date before 1970", `day < date("1970-01-01")`, []int{2}},
		{"a time within a day", `day < "2013-01-01T00:00:01" && day > "2012-12-31T23:59:59"`, []int{0}},
		{"a timestamp", `at > "2013-01-01T04:59:59.9995"`, []int{0, 1}},
		{"a timestamp by its day", `at < "2013-01-02"`, []int{0, 2}},
		{"a zone's clock shows the day", `zoned < "2013-01-01"`, []int{2}},
		{"and the offset is another's", `zoned >= "2013-01-01T00:00:00-05:00"`, []int{0, 1}},
		{"a time of day", `clock < "05:00:01"`, []int{0, 2}},
		{"timestamps against dates", `at > day`, []int{0, 1}},
		{"a dictionary", `code == "AA"`, []int{0, 2}},
		{"nulls of a dictionary", `code == nil`, []int{3}},
		{"a name that is no identifier", `col("arr delay") > 0`, []int{0}},
		{"another way to write it", `$env["arr delay"] < 0`, []int{1}},
		{"arithmetic", `small * 2 + 1 == -9`, []int{0}},
		{"a division is floating", `small / 2 == -2.5`, []int{0}},
		{"a remainder has the sign of the number", `small % 3 == -2`, []int{0}},
		{"a remainder of 0 is unknown", `small % 0 == 0 || small % 0 != 0`, nil},
		{"an overflow is unknown", `i - 1 < 0`, nil},
		{"a sum with a null is null", `(i + small) == nil`, []int{3}},
		{"the overflow is too", `(i * 2) == nil`, []int{2, 3}},
		{"constants fold", `small > 60 * 2 - 1`, []int{1}},
		{"a default for null", `(small ?? 5) == 5`, []int{3}},
		{"and for a truth", `b ?? true`, []int{0, 2, 3}},
		{"columns of two types", `i == small || u > i`, []int{0, 2}},
		{"integers against floats are exact", `i > f`, []int{0}},
		{"a choice", `b ? small < 0 : small > 0`, []int{0, 1}},
		{"unknown chooses the second", `b ? true : i == nil`, []int{0, 2, 3}},
		{"unknown as a value", `(i > 0) == nil`, []int{3}},
		{"a chain", `-10 < small < 10`, []int{0, 2}},
		{"words", `not (b or c) or small == 127 and not b`, []int{1}},
		{"a literal first", `0 < small`, []int{1}},
		{"constants", `1 < 2`, []int{0, 1, 2, 3}},
	} {
		f, err := Parse(c.text, record.Schema())
		if err != nil {
			t.Errorf("%s: %q: %v", c.why, c.text, err)
			continue
		}
		if got := rowsOf(t, f, record); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q (%s) passes rows %v; want %v", c.why, c.text, f, got, c.want)
		}
		// What it is understood as means the same.
		again, err := Parse(f.String(), record.Schema())
		if err != nil {
			t.Errorf("%q is understood as %q: %v", c.text, f, err)
			continue
		}
		if got := rowsOf(t, again, record); !slices.Equal(got, c.want) {
			t.Errorf("%q is understood as %q, which passes %v; want %v", c.text, f, got, c.want)
		}
	}
}
