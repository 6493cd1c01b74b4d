package filter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// typedRows says which rows of a column x pass expressions. Of four values that are in
// order x has the second, the first, a null, the third and the fourth.
type typedRows struct {
	values [4]string // as an expression writes them
	want   map[string][]int
}

// forms are x as a column of a type with rows before and after it, and as dictionaries
// with every type of index.
func forms(t *testing.T, dt arrow.DataType, json string) map[string]arrow.Array {
	t.Helper()
	values := fromJSON(t, dt, json)
	row := func(i int64) arrow.Array { return array.NewSlice(values, i, i+1) }
	null := array.MakeArrayOfNull(memory.DefaultAllocator, dt, 1)
	long, err := array.Concatenate([]arrow.Array{row(3), row(1), row(0), null, row(2), row(3), row(0)}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]arrow.Array{"column": array.NewSlice(long, 1, 6)}
	for _, index := range []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	} {
		typ := &arrow.DictionaryType{IndexType: index, ValueType: dt}
		long := array.NewDictionaryArray(typ, fromJSON(t, index, `[3, 1, 0, null, 2, 3, 0]`), values)
		all["dictionary by "+index.Name()] = array.NewSlice(long, 1, 6)
	}
	return all
}

// Every type that has an order passes the rows that it should, and so do dictionaries of
// it.
func TestEveryType(t *testing.T) {
	numbers := typedRows{[4]string{"1", "2", "3", "7"}, map[string][]int{
		`x * 2 == 4`: {0}, `x - 1 < 2`: {0, 1}, `(x ?? 2) == 2`: {0, 2}, `(x + 1) == nil`: {2}, `x == n`: {4}, `n > x`: {0, 1},
		`x > f`: {1, 3}, `f >= x`: {0}, `x < u`: {0, 4}, `u <= x`: {1, 3}, `x != x + 0`: nil, `x == x`: {0, 1, 3, 4},
		`x in 2..3`: {0, 3},
	}}
	text := func(a, b, c, d string) typedRows {
		return typedRows{[4]string{`"` + a + `"`, `"` + b + `"`, `"` + c + `"`, `"` + d + `"`}, map[string][]int{`x == x`: {0, 1, 3, 4}}}
	}
	texts := text("1", "2", "3", "7")
	for _, c := range []struct {
		types []arrow.DataType
		json  string
		typedRows
	}{
		{[]arrow.DataType{
			arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
			arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
			arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
		}, `[1, 2, 3, 7]`, numbers},
		{[]arrow.DataType{
			&arrow.Decimal32Type{Precision: 5, Scale: 2}, &arrow.Decimal64Type{Precision: 12, Scale: 3},
			&arrow.Decimal128Type{Precision: 20, Scale: 0}, &arrow.Decimal256Type{Precision: 60, Scale: 30},
		}, `["1", "2", "3", "7"]`, numbers},
		{[]arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView}, `["1", "2", "3", "7"]`, texts},
		{[]arrow.DataType{
			arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView, &arrow.FixedSizeBinaryType{ByteWidth: 1},
		}, `["MQ==", "Mg==", "Mw==", "Nw=="]`, texts},
		{[]arrow.DataType{
			arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, &arrow.TimestampType{Unit: arrow.Second}, &arrow.TimestampType{Unit: arrow.Nanosecond},
		}, `["1969-12-31", "1970-01-01", "2013-01-01", "2013-07-04"]`, text("1969-12-31", "1970-01-01", "2013-01-01", "2013-07-04")},
		{[]arrow.DataType{
			arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
		}, `["00:00:01", "05:00:00", "12:30:00", "23:59:59"]`, text("00:00:01", "05:00:00", "12:30:00", "23:59:59")},
		{[]arrow.DataType{arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.Duration_ns}, `["1s", "20s", "60s", "3600s"]`, text("1s", "20s", "1m", "1h")},
	} {
		for _, dt := range c.types {
			for form, x := range forms(t, dt, c.json) {
				checkTyped(t, fmt.Sprintf("%s as %s", dt, form), x, c.typedRows)
			}
		}
	}
}

// checkTyped evaluates what is asked of any type, and of these rows, on a column x beside
// an int64, a float64 and a uint64.
func checkTyped(t *testing.T, what string, x arrow.Array, rows typedRows) {
	t.Helper()
	n, f, u := fromJSON(t, arrow.PrimitiveTypes.Int64, `[5, 4, 3, -7, 7]`), fromJSON(t, arrow.PrimitiveTypes.Float64, `[2.5, 0.5, 1, -1e300, "NaN"]`), fromJSON(t, arrow.PrimitiveTypes.Uint64, `[18446744073709551615, 1, 0, 3, 8]`)
	columns := []arrow.Array{x, n, f, u}
	fields := make([]arrow.Field, len(columns))
	for i, name := range []string{"x", "n", "f", "u"} {
		fields[i] = arrow.Field{Name: name, Type: columns[i].DataType(), Nullable: true}
	}
	record := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 5)
	defer record.Release()
	v := rows.values
	expressions := map[string][]int{
		"x == " + v[3]: {4}, "x != " + v[3]: {0, 1, 3}, "x < " + v[1]: {1}, "x <= " + v[1]: {0, 1}, "x > " + v[1]: {3, 4}, v[1] + " <= x": {0, 3, 4},
		"x == nil": {2}, "x != nil": {0, 1, 3, 4}, "x in [" + v[0] + "," + v[3] + "]": {1, 4}, "x in [" + strings.Join(v[:], ",") + "]": {0, 1, 3, 4},
	}
	maps.Copy(expressions, rows.want)
	for text, want := range expressions {
		parsed, err := Parse(text, record.Schema())
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := rowsOf(t, parsed, record); !slices.Equal(got, want) {
			t.Errorf("%s: %s passes rows %v; want %v", what, parsed, got, want)
		}
	}
}
