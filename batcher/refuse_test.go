package batcher

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/models"
)

func TestBindRefuses(t *testing.T) {
	wide := make([]any, 0, 90)
	for i := range 45 {
		wide = append(wide, fmt.Sprintf("col%02d", i), f32)
	}
	x3 := []models.Value{input("x", models.Float32, -1, 3)}
	twelve := make([]models.Value, 12)
	for i := range twelve {
		twelve[i] = input(fmt.Sprintf("q%d", i), models.Float32, -1)
	}
	tests := []struct {
		name   string
		inputs []models.Value
		schema *arrow.Schema
		opts   Options
		want   []string // the problems
	}{
		{
			"no list is no guess, and both sides are shown", x3, abc,
			Options{},
			[]string{`model input "x" float32[?,3] has no column of its name, and no list of features: give --features a,b,c (or --bind x=a,b,c); the data's columns are "a", "b", "c"`},
		},
		{
			"one feature short names the missing", x3, abc,
			Options{Features: []string{"a", "c"}},
			[]string{`model input "x" wants 3 features; --features names 2 (missing: "b"?)`},
		},
		{
			"by the model's list, if it has one", x3, schemaOf("a", f32, "b", f32, "c", f32, "id", i64),
			Options{Features: []string{"a", "c"}, Metadata: []string{"a", "b", "c"}},
			[]string{`model input "x" wants 3 features; --features names 2 (missing: "b"?)`},
		},
		{
			"the model's list can be short itself", x3, abc,
			Options{Metadata: []string{"a", "c"}},
			[]string{`model input "x" wants 3 features; the model's metadata names 2 (missing: "b"?)`},
		},
		{
			"and so can --bind", x3, abc,
			Options{Columns: map[string][]string{"x": {"a", "b"}}},
			[]string{`model input "x" wants 3 features; --bind x names 2 (missing: "c"?)`},
		},
		{
			"one too many names what is twice", x3, abc,
			Options{Features: []string{"a", "b", "c", "b"}},
			[]string{`model input "x" wants 3 features; --features names 4 (too many: "b"?)`},
		},
		{
			"or what the model does not know", x3, schemaOf("a", f32, "b", f32, "c", f32, "id", i64),
			Options{Features: []string{"id", "a", "b", "c"}, Metadata: []string{"a", "b", "c"}},
			[]string{`model input "x" wants 3 features; --features names 4 (too many: "id"?)`},
		},
		{
			"a column of the name is not a row of features", x3, schemaOf("x", f32),
			Options{},
			[]string{`model input "x" wants 3 features a row, but column "x" has one value a row; give --features, or a FixedSizeList column`},
		},
		{
			"every unknown column is named, with the nearest", x3, schemaOf("dep_delay", f32, "distance", f32, "carrier", f32),
			Options{Features: []string{"dep_dellay", "distance", "colour"}},
			[]string{
				`no column "dep_dellay" for model input "x" (did you mean "dep_delay"?)`,
				`no column "colour" for model input "x"; the data's columns are "dep_delay", "distance", "carrier"`,
			},
		},
		{
			"of very many the first are named",
			[]models.Value{input("x", models.Float32, -1, 14)},
			schemaOf("a", f32),
			Options{Features: strings.Split("q1 q2 q3 q4 q5 q6 q7 q8 q9 q10 q11 q12 q13 q14", " ")},
			[]string{
				`no column "q1" for model input "x"`, `no column "q2" for model input "x"`, `no column "q3" for model input "x"`, `no column "q4" for model input "x"`, `no column "q5" for model input "x"`,
				`no column "q6" for model input "x"`, `no column "q7" for model input "x"`, `no column "q8" for model input "x"`, `no column "q9" for model input "x"`, `no column "q10" for model input "x"`,
				`and 4 more of model input "x"; the data's columns are "a"`,
			},
		},
		{
			"of very many inputs without a column the first are named",
			twelve,
			schemaOf("a", f32),
			Options{},
			[]string{`12 model inputs have no column of their name: "q0" float32[?], "q1" float32[?], "q2" float32[?], "q3" float32[?], "q4" float32[?], "q5" float32[?], ` +
				`"q6" float32[?], "q7" float32[?], "q8" float32[?], "q9" float32[?], and 2 more; give --bind input=column for each; the data's columns are "a"`},
		},
		{
			"long lists of columns are cut",
			[]models.Value{input("y", models.Float32, -1)},
			schemaOf(wide...),
			Options{},
			[]string{`model input "y" float32[?] has no column of its name: give --bind y=column; the data's columns are ` + quotedRange(40) + " and 5 more"},
		},
		{
			"a column of a likely name is not taken, but named",
			[]models.Value{input("Ages", models.Float32, -1)},
			schemaOf("age", f32),
			Options{},
			[]string{`model input "Ages" float32[?] has no column of its name (did you mean "age"?): give --bind Ages=column; the data's columns are "age"`},
		},
		{
			"a name that stands twice cannot be told apart",
			[]models.Value{input("a", models.Float32, -1)},
			schemaOf("a", f32, "a", f32),
			Options{},
			[]string{`column "a" for model input "a" stands 2 times in the data; which one is meant cannot be told`},
		},
		{
			"rounding names the flag",
			[]models.Value{input("a", models.Float32, -1)},
			schemaOf("a", f64),
			Options{},
			[]string{`column "a" is float64, but model input "a" wants float32, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write the column as float32`},
		},
		{
			"columns that round alike are one problem, in the place of the first",
			[]models.Value{input("a", models.Float32, -1), input("x", models.Float32, -1, 11)},
			schemaOf("a", f64, "b", text, "c", f64, "d", f64, "e", f64, "f", f64, "g", f64, "h", f64, "i", f64, "j", f64, "k", arrow.PrimitiveTypes.Int64),
			Options{Columns: map[string][]string{"x": {"b", "c", "d", "e", "f", "g", "h", "i", "j", "a", "k"}}},
			[]string{
				`columns are float64 where the model wants float32, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write them as float32: "a", "c", "d", "e", "f", "g", "h", "i" and 1 more`,
				`column "b" is utf8, but model input "x" wants float32: text does not become float32 by itself; make it a feature of a job file (by cast, map or onehot), or encode it before, or in the model`,
			},
		},
		{
			"text is not parsed",
			[]models.Value{input("a", models.Float32, -1)},
			schemaOf("a", text),
			Options{Lossy: AllowLossy},
			[]string{`column "a" is utf8, but model input "a" wants float32: text does not become float32 by itself; make it a feature of a job file (by cast, map or onehot), or encode it before, or in the model`},
		},
		{
			"several problems are told at once",
			[]models.Value{input("x", models.Float32, -1, 2)},
			schemaOf("a", f64, "b", text),
			Options{Features: []string{"a", "b"}},
			[]string{
				`column "a" is float64, but model input "x" wants float32, and that cast rounds: allow it by --allow-lossy-casts (rounded values are counted), or write the column as float32`,
				`column "b" is utf8, but model input "x" wants float32: text does not become float32 by itself; make it a feature of a job file (by cast, map or onehot), or encode it before, or in the model`,
			},
		},
		{
			"[N] is one value a row, not many columns",
			[]models.Value{input("a", models.Float32, -1)},
			abc,
			Options{Columns: map[string][]string{"a": {"a", "b"}}},
			[]string{`model input "a" is [N], one value a row, but 2 columns are bound to it`},
		},
		{
			"nor a list",
			[]models.Value{input("a", models.Float32, -1)},
			schemaOf("a", fsl(4, f32)),
			Options{},
			[]string{`model input "a" is [N], one value a row, but column "a" is a fixed_size_list<item: float32, nullable>[4]`},
		},
		{
			"lists and columns do not mix",
			[]models.Value{input("x", models.Float32, -1, -1)},
			schemaOf("a", f32, "v", fsl(4, f32)),
			Options{Features: []string{"a", "v"}},
			[]string{`model input "x" takes 2 columns of one value each, but "v" is a fixed_size_list<item: float32, nullable>[4]`},
		},
		{
			"a list must have the width",
			[]models.Value{input("v", models.Float32, -1, 8)},
			schemaOf("v", fsl(4, f32)),
			Options{},
			[]string{`model input "v" wants 8 values a row, but column "v" is a fixed_size_list<item: float32, nullable>[4] of 4`},
		},
		{
			"an image in another order of dimensions",
			[]models.Value{input("v", models.Float32, -1, 2, 1, 3)},
			schemaOf("v", fsl(1, fsl(3, fsl(2, f32)))),
			Options{},
			[]string{`model input "v" wants rows of shape [2 1 3], but column "v" is a fixed_size_list<item: fixed_size_list<item: fixed_size_list<item: float32, nullable>[2], nullable>[3], nullable>[1] of shape [1 3 2]: values would come to stand in other places; a flat list of 6 is taken as the model orders it`},
		},
		{
			"a tensor in another order of dimensions",
			[]models.Value{input("v", models.Float32, -1, 3, 2)},
			tensorOf(fsl(6, f32), `{"shape":[2,3]}`),
			Options{},
			[]string{`model input "v" wants rows of shape [3 2], but column "v" is a fixed_size_list<item: float32, nullable>[6] of shape [2 3]: values would come to stand in other places; a flat list of 6 is taken as the model orders it`},
		},
		{
			"a tensor whose dimensions are permuted",
			[]models.Value{input("v", models.Float32, -1, 2, 3)},
			tensorOf(fsl(6, f32), `{"shape":[2,3],"permutation":[1,0]}`),
			Options{},
			[]string{`column "v" is a tensor of shape [2 3] whose dimensions are permuted, [1 0]: write it in the order that the model takes`},
		},
		{
			"a tensor of another size than its lists",
			[]models.Value{input("v", models.Float32, -1, 2, 3)},
			tensorOf(fsl(6, f32), `{"shape":[2,2]}`),
			Options{},
			[]string{`column "v" is a tensor of shape [2 2] in lists of 6 values`},
		},
		{
			"a flat list does not tell an open shape",
			[]models.Value{input("v", models.Float32, -1, -1, 2)},
			schemaOf("v", fsl(4, f32)),
			Options{},
			[]string{`model input "v" float32[?,?,2] leaves its shape open, and column "v", a fixed_size_list<item: float32, nullable>[4], has another rank`},
		},
		{
			"nested lists must have the dimensions",
			[]models.Value{input("v", models.Float32, -1, -1, 3)},
			schemaOf("v", fsl(4, fsl(2, f32))),
			Options{},
			[]string{`model input "v" float32[?,?,3] does not fit column "v", a fixed_size_list<item: fixed_size_list<item: float32, nullable>[2], nullable>[4]`},
		},
		{
			"nor do columns tell an open shape",
			[]models.Value{input("x", models.Float32, -1, -1, 2)},
			abc,
			Options{Features: []string{"a", "b"}},
			[]string{`model input "x" float32[?,?,2] leaves more than its rows open: only a FixedSizeList column can tell its shape`},
		},
		{
			"as many rows as columns, and the rest open",
			[]models.Value{input("x", models.Float32, 2, -1)},
			abc,
			Options{Features: []string{"a", "b"}},
			[]string{`model input "x" float32[2,?] fixes its first dimension to 2, and has 2 columns: it looks like [features, rows], and rows are given in the first; export the model with them there, or give a FixedSizeList column if that is a batch of 2 rows`},
		},
		{
			"a variable list needs the model's width",
			[]models.Value{input("v", models.Float32, -1, -1)},
			schemaOf("v", arrow.ListOf(f32)),
			Options{},
			[]string{`column "v" is a list<item: float32, nullable> whose lists may have any length, and model input "v" float32[?,?] does not say which; write it as a FixedSizeList`},
		},
		{
			"variable lists do not nest",
			[]models.Value{input("v", models.Float32, -1, 4)},
			schemaOf("v", arrow.ListOf(fsl(2, f32))),
			Options{},
			[]string{`column "v" is a list<item: fixed_size_list<item: float32, nullable>[2], nullable>; nested lists are taken as FixedSizeLists only`},
		},
		{
			"a row holds something",
			[]models.Value{input("v", models.Float32, -1, 0)},
			schemaOf("v", arrow.ListOf(f32)),
			Options{},
			[]string{`column "v" is a list<item: float32, nullable>, which holds no values for model input "v"`},
		},
		{
			"and not more than a tensor can",
			[]models.Value{input("v", models.Float32, -1, -1, -1, -1)},
			schemaOf("v", fsl(1<<30, fsl(1<<30, fsl(16, f32)))),
			Options{},
			[]string{`column "v" is a fixed_size_list<item: fixed_size_list<item: fixed_size_list<item: float32, nullable>[16], nullable>[1073741824], nullable>[1073741824]: a row of model input "v" has more values than a tensor can`},
		},
		{
			"dimensions do not wrap around",
			[]models.Value{input("x", models.Float32, -1, 1<<32, 1<<32, 3)},
			abc,
			Options{Features: []string{"a", "b", "c"}},
			[]string{`model input "x" wants 2147483648 features; --features names 3`},
		},
		{
			"an empty --bind binds nothing",
			[]models.Value{input("x", models.Float32, -1, -1)},
			abc,
			Options{Columns: map[string][]string{"x": {}}},
			[]string{`model input "x" has an empty list of columns: give --bind x=column`},
		},
		{
			"--bind must name an input",
			[]models.Value{input("a", models.Float32, -1)},
			abc,
			Options{Columns: map[string][]string{"aa": {"b"}}},
			[]string{`--bind names input "aa", which the model does not have (its inputs: "a") (did you mean "a"?)`},
		},
		{
			"--nulls must name a column",
			[]models.Value{input("a", models.Float32, -1)},
			schemaOf("a", f32, "delay", f32),
			Options{Nulls: NullPolicies{ByColumn: map[string]NullPolicy{"deley": {Action: NullNaN}}}},
			[]string{`--nulls names column "deley", which the data does not have (did you mean "delay"?)`},
		},
		{
			"--features needs one matrix",
			[]models.Value{input("a", models.Float32, -1), input("b", models.Float32, -1)},
			abc,
			Options{Features: []string{"a", "b"}},
			[]string{`--features is for a model with one [N,F] input; this one has the inputs "a" float32[?], "b" float32[?]: name columns by --bind input=column`},
		},
		{
			"fixed batches must agree",
			[]models.Value{input("a", models.Float32, 4), input("b", models.Float32, 8)},
			abc,
			Options{},
			[]string{`model input "b" fixes its batch to 8 rows, but another input to 4`},
		},
		{
			"and hold rows",
			[]models.Value{input("a", models.Float32, 0)},
			abc,
			Options{},
			[]string{`model input "a" float32[0] takes no rows`},
		},
		{
			"a scalar is not of a row",
			[]models.Value{{Name: "t", Elem: models.Float32, HasShape: true}},
			abc,
			Options{},
			[]string{`model input "t" is a scalar, the same for all rows; make it a constant of the model`},
		},
		{
			"only tensors are made",
			[]models.Value{{Name: "s", Elem: models.Float32, Kind: models.Sequence}},
			abc,
			Options{},
			[]string{`model input "s" is not a tensor; millrace makes tensors only`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, err := Bind(test.inputs, test.schema, test.opts)
			if plan != nil || !errors.Is(err, ErrBind) {
				t.Fatalf("Bind = %v, %v; want ErrBind", plan, err)
			}
			want := "model does not fit the data: " + strings.Join(test.want, "\n")
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("Bind: error differs (-want +got):\n%s", diff)
			}
		})
	}
}

func quotedRange(n int) string {
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("col%02d", i))
	}
	return strings.Join(names, ", ")
}
