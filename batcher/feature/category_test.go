package feature_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

// TestCategories: what equals what, and which bucket it is in. Hashes are the vectors of
// the xxHash specification (of "" and "abc") and sklearn.utils.murmurhash3_32's.
func TestCategories(t *testing.T) {
	f32, f64, i64, text := arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	tests := []struct {
		name      string
		typ       arrow.DataType
		values    string
		transform string
		want      string
	}{
		{"a float32 equals a number that rounds to it", f32, `[0.1, 0.25]`, `{"equals": 0.1}`, "1 0"},
		{"as float64 it is another", f64, `[0.1, 0.10000000149011612]`, `{"equals": 0.1}`, "1 0"},
		{"integers by all digits", i64, `[9007199254740992, 9007199254740993]`, `{"equals": 9007199254740993}`, "0 1"},
		{"texts by the digits that were written", text, `["7", "007"]`, `{"equals": "007"}`, "0 1"},
		{"a number means its text", text, `["10001", "10001.0"]`, `{"equals": 10001}`, "1 0"},
		{"minus zero is zero", f64, `[0, -0.0, 1]`, `{"map": {"values": {"0": 5}, "default": 6}}`, "5 5 6"},
		{"NaN is a category, where it is listed", f64, `["NaN", 1, null]`, `{"map": {"values": {".nan": 5, "1": 6}, "null": 7}}`, "5 6 7"},
		{"truth values by their names", arrow.FixedWidthTypes.Boolean, `[true, false]`, `{"map": {"values": {"true": 1, "false": -1}}}`, "1 -1"},
		{"xxh64", text, `["", "abc"]`, `{"hash": {"buckets": 1000}}`, "921 249"},
		{"murmur3_32", text, `["AA"]`, `{"hash": {"buckets": 1000, "algorithm": "murmur3_32"}}`, "553"},
		{"murmur3_32 with a seed, of UTF-8", text, `["É"]`, `{"hash": {"buckets": 1000, "algorithm": "murmur3_32", "seed": 7}}`, "744"},
		{"murmur3_32 of more than a block", text, `["a longer text"]`, `{"hash": {"buckets": 1000, "algorithm": "murmur3_32", "seed": 42}}`, "474"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			column, _, err := array.FromJSON(memory.DefaultAllocator, test.typ, strings.NewReader(test.values))
			if err != nil {
				t.Fatal(err)
			}
			schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: test.typ, Nullable: true}}, nil)
			record := array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
			defer record.Release()
			var specs []feature.Feature
			if err := json.Unmarshal([]byte(`[{"column": "c", "transforms": [`+test.transform+`]}]`), &specs); err != nil {
				t.Fatal(err)
			}
			programs, err := feature.Compile(specs, schema)
			if err != nil {
				t.Fatal(err)
			}
			matrix, _ := evaluateAll(t, programs, record)
			got := make([]string, 0, len(matrix))
			for _, row := range matrix {
				got = append(got, fmt.Sprint(row[0]))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s of %s = %s; want %s", test.transform, test.values, got, test.want)
			}
		})
	}
}
