package batcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/models"
)

// parsed is an array of JSON values.
func parsed(t *testing.T, dt arrow.DataType, values string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(values))
	if err != nil {
		t.Fatalf("%s from %s: %v", dt, values, err)
	}
	return a
}

// TestRejectBad: every kind of bad value rejects its row, with the reason, and nothing
// else of the batch.
func TestRejectBad(t *testing.T) {
	broken := func(texts ...string) arrow.Array {
		offsets, data := make([]int32, 1, 1+len(texts)), []byte(nil)
		for _, s := range texts {
			data = append(data, s...)
			offsets = append(offsets, int32(len(data)))
		}
		return raw(text, len(texts), 0, nil, nil, int32s(offsets...), data)
	}
	number := input("x", models.Float32, -1)
	tests := []struct {
		name   string
		input  models.Value
		column arrow.Array
		opts   Options
		want   []string // of rejects
	}{
		{"nulls", number, parsed(t, f32, `[1, null, 3, null]`), Options{}, []string{"1 null", "3 null"}},
		{
			"nulls that the policy rejects", number, parsed(t, f32, `[1, null, 3]`),
			Options{Nulls: NullPolicies{Default: NullPolicy{Action: NullReject}}},
			[]string{"1 null, asked"},
		},
		{
			"fractions and NaN into integers", input("x", models.Int8, -1), parsed(t, f64, `[1, 2.5, "NaN", -128, 128]`),
			Options{},
			[]string{
				`1 value 2.5 does not fit int8, which model input "x" wants`, `2 value NaN does not fit int8, which model input "x" wants`,
				`4 value 128 does not fit int8, which model input "x" wants`,
			},
		},
		{"rounding", number, parsed(t, i64, `[1, 16777217, 16777216]`), Options{}, []string{`1 value 16777217 would be rounded to fit float32, which model input "x" wants`}},
		{"no rounding, as it is allowed", number, parsed(t, i64, `[1, 16777217, 16777216]`), Options{Lossy: AllowLossy}, nil},
		{
			"rounding in a list, once for its row", input("x", models.Float32, -1, 2), parsed(t, fsl(2, i64), `[[16777217, 16777217], [1, 2], [3, 16777217]]`),
			Options{},
			[]string{`0 value 16777217 would be rounded to fit float32, which model input "x" wants`, `2 value 16777217 would be rounded to fit float32, which model input "x" wants`},
		},
		{"NaN where it may be", number, parsed(t, f32, `["NaN", "Inf", 1]`), Options{}, nil},
		{"NaN where it may not", number, parsed(t, f32, `["NaN", "-Inf", 1, null]`), Options{
			Finite: FinitePolicy{Columns: []string{"x"}}, Nulls: NullPolicies{Default: NullPolicy{Action: NullNaN}},
		}, []string{"0 value NaN is not finite", "1 value -Inf is not finite"}},
		{"in a column that would be a view", number, parsed(t, f32, `[1, "Inf"]`), Options{Finite: FinitePolicy{All: true}}, []string{"1 value +Inf is not finite"}},
		{
			"an infinity in a list", input("x", models.Float64, -1, 2), parsed(t, fsl(2, f64), `[[1, "Inf"], [2, 3], null]`),
			Options{Finite: FinitePolicy{All: true}, Nulls: NullPolicies{Default: NullPolicy{Action: NullFill, Value: "inf"}}},
			[]string{"0 value +Inf is not finite"},
		},
		{"an infinity that is no value of the model's", input("x", models.Float16, -1), parsed(t, f64, `["Inf", 1]`), Options{Finite: FinitePolicy{All: true}, Lossy: AllowLossy}, []string{"0 value +Inf is not finite"}},
		{"text that is none", input("x", models.String, -1), broken("a", "\xff", "", "é"), Options{}, []string{`1 value "\xff" is not UTF-8`}},
		{"a rune in two values", input("x", models.String, -1), broken("\xc3", "\xa9", "b"), Options{}, []string{`0 value "\xc3" is not UTF-8`, `1 value "\xa9" is not UTF-8`}},
		{
			"lists of another length, beside a null one", input("x", models.Float32, -1, 2), parsed(t, arrow.ListOf(f32), `[[1, 2], [1], null, [], [3, 4], [1, 2, 3]]`),
			Options{Nulls: NullPolicies{Default: NullPolicy{Action: NullReject}}},
			[]string{"1 list has 1 values; the model wants 2", "3 list has 0 values; the model wants 2", "5 list has 3 values; the model wants 2", "2 null, asked"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			schema := schemaOf("x", test.column.DataType())
			lossy := test.opts.Lossy
			test.opts.Lossy = AllowLossy // of the type; lossy is of values
			plan, err := Bind([]models.Value{test.input}, schema, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, []arrow.Array{test.column})
			defer batch.Release()
			a := plan.NewAssembler(10, lossy)
			a.RejectBad()
			for range 2 { // whatever the batch before had
				tensors, err := a.Assemble(batch)
				if err != nil {
					t.Fatalf("Assemble = %v; want no error", err)
				}
				got := make([]string, 0, len(tensors.Rejects))
				for _, r := range tensors.Rejects {
					asked := ""
					if r.Asked {
						asked = ", asked"
					}
					if r.Column != "x" {
						t.Errorf("reject names column %q; want x", r.Column)
					}
					got = append(got, fmt.Sprintf("%d %s%s", r.Row, r.Reason, asked))
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("Rejects = %q; want %q", got, test.want)
				}
			}
		})
	}
}

// TestFinite: in a matrix the columns that were named are looked at and no others,
// whatever their types; without a name all are. The error names the first value.
func TestFinite(t *testing.T) {
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: f32}
	schema := schemaOf("a", f64, "b", dictionary, "c", i64)
	for _, test := range []struct {
		name   string
		policy FinitePolicy
		want   []string
	}{
		{"none", FinitePolicy{}, nil},
		{"all", FinitePolicy{All: true}, []string{"1 a", "2 b"}},
		{"one", FinitePolicy{Columns: []string{"b"}}, []string{"2 b"}},
		{"integers are", FinitePolicy{Columns: []string{"c"}}, nil},
	} {
		plan, err := Bind([]models.Value{input("x", models.Float32, -1, 3)}, schema, Options{Features: []string{"a", "b", "c"}, Lossy: AllowLossy, Finite: test.policy})
		if err != nil {
			t.Fatal(err)
		}
		batch := batchOf(schema, []arrow.Array{parsed(t, f64, `[0, "NaN", 0]`), parsed(t, dictionary, `[1, 2, "Inf"]`), parsed(t, i64, `[1, 2, 3]`)})
		a := plan.NewAssembler(3, AllowLossy)
		a.RejectBad()
		tensors, err := a.Assemble(batch)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range tensors.Rejects {
			got = append(got, fmt.Sprint(r.Row, " ", r.Column))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: rejects = %q; want %q", test.name, got, test.want)
		}
		if _, err := plan.NewAssembler(3, AllowLossy).Assemble(batch); (err == nil) != (len(test.want) == 0) ||
			err != nil && !strings.HasSuffix(err.Error(), "is not finite; correct the data, or leave the column out of --finite") {
			t.Errorf("%s: Assemble = %v; want an error that names a value if any is bad", test.name, err)
		}
		batch.Release()
	}
	_, err := Bind([]models.Value{input("x", models.Float32, -1, 3)}, schema, Options{Features: []string{"a", "b", "c"}, Lossy: AllowLossy, Finite: FinitePolicy{Columns: []string{"d"}}})
	if err == nil || !strings.Contains(err.Error(), `--finite names column "d", which the data does not have`) {
		t.Errorf("Bind = %v; want an error that names the column", err)
	}
}
