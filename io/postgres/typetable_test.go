package postgres

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

var update = flag.Bool("update", false, "write the table of types into docs/postgres.md")

// TestTypeTable: docs/postgres.md has what TypeOf says of every type of Arrow.
func TestTypeTable(t *testing.T) {
	rows := []struct {
		name string
		of   arrow.DataType
		note string
	}{
		{"null", arrow.Null, "all null"},
		{"bool", arrow.FixedWidthTypes.Boolean, ""},
		{"int8, int16, uint8", arrow.PrimitiveTypes.Int16, ""},
		{"int32, uint16", arrow.PrimitiveTypes.Int32, ""},
		{"int64, uint32", arrow.PrimitiveTypes.Int64, ""},
		{"uint64", arrow.PrimitiveTypes.Uint64, ""},
		{"float16, float32", arrow.PrimitiveTypes.Float32, ""},
		{"float64", arrow.PrimitiveTypes.Float64, ""},
		{"decimal(p, s)", &arrow.Decimal128Type{Precision: 10, Scale: 3}, "`numeric` where the scale is negative"},
		{"utf8, large_utf8, string_view", arrow.BinaryTypes.String, ""},
		{"binary, large_binary, binary_view, fixed_size_binary", arrow.BinaryTypes.Binary, ""},
		{"extension arrow.uuid", extensions.NewUUIDType(), "other extensions: their storage's"},
		{"date32, date64", arrow.FixedWidthTypes.Date32, ""},
		{"timestamp without a zone", &arrow.TimestampType{Unit: arrow.Microsecond}, "nanoseconds have to be whole microseconds"},
		{"timestamp with a zone", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, "the instant; the zone's name is not kept"},
		{"time32, time64", arrow.FixedWidthTypes.Time64us, "nanoseconds have to be whole microseconds"},
		{"duration, month_interval, day_time_interval, month_day_nano_interval", arrow.FixedWidthTypes.Duration_us, "nanoseconds have to be whole microseconds"},
		{"dictionary", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "its values'"},
		{"list, large_list, fixed_size_list, list views", arrow.ListOf(arrow.PrimitiveTypes.Float32), "fixed-size lists within one another are an array of several dimensions"},
		{"list of lists", arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float32)), ""},
		{"struct", arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int8}), ""},
		{"map", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8), ""},
		{"union", arrow.SparseUnionOf([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int8}}, []int8{0}), ""},
		{"run_end_encoded", arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int8), ""},
	}
	var b strings.Builder
	b.WriteString("| Arrow | PostgreSQL | |\n|---|---|---|\n")
	for _, r := range rows {
		is := "refused"
		if got, err := TypeOf(r.of); err == nil {
			is = "`" + got.String() + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, is, r.note)
	}
	const page, begin, end = "../../docs/postgres.md", "-update writes it -->\n", "<!-- type table: end -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	if old == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has\n%s; want\n%s(-update writes it)", page, old, b.String())
	}
	if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
