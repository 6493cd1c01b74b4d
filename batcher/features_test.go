package batcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/models"
)

// specsOf reads features as a job file has them, in JSON.
func specsOf(tb testing.TB, text string) []feature.Feature {
	tb.Helper()
	var specs []feature.Feature
	if err := json.Unmarshal([]byte(text), &specs); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return specs
}

func programsOf(tb testing.TB, schema *arrow.Schema, text string) []*feature.Program {
	tb.Helper()
	programs, err := feature.Compile(specsOf(tb, text), schema)
	if err != nil {
		tb.Fatal(err)
	}
	return programs
}

// TestBindFeatures: which features and columns make an input.
func TestBindFeatures(t *testing.T) {
	schema := schemaOf("a", f32, "b", f32, "s", text)
	const specs = `[
		{"name": "half", "column": "a", "transforms": [{"scale": {"mean": 0, "std": 2}}]},
		{"name": "kind", "column": "s", "transforms": [{"onehot": {"categories": [["x"], ["y"]], "unknown": "other"}}]},
		{"name": "other", "column": "b"},
		{"name": "word", "column": "s", "transforms": [{"fill": "none"}], "hidden": true}]`
	matrix := []models.Value{input("x", models.Float32, -1, 5)}
	tests := []struct {
		name   string
		inputs []models.Value
		opts   Options
		want   string // features with their widths, or an error
	}{
		{"all features that are not hidden, without a list", matrix, Options{}, "x: half+1 kind+3 b+1; a s b"},
		{"the list names features and columns", matrix, Options{Features: []string{"kind", "a", "half"}}, "x: kind+3 a+1 half+1; s a"},
		{"a list in the model's metadata, of names that are there", matrix, Options{Metadata: []string{"kind", "half", "b"}}, "x: kind+3 half+1 b+1; s a b"},
		{"a list in the model's metadata, of other names", matrix, Options{Metadata: []string{"f0", "f1", "f2", "f3", "f4"}}, "x: half+1 kind+3 b+1; a s b"},
		{
			"inputs take the features of their names, before columns",
			[]models.Value{input("half", models.Float32, -1), input("kind", models.Float32, -1, 3), input("word", models.String, -1, 1)},
			Options{},
			"half: half+1; kind: kind+3; word: word+1; a s",
		},
		{"--bind names features", []models.Value{input("x", models.Float32, -1, 1)}, Options{Columns: map[string][]string{"x": {"other"}}}, "x: b+1; b"},
		{
			"values are counted, not names",
			[]models.Value{input("x", models.Float32, -1, 4)},
			Options{Features: []string{"half", "kind", "b"}},
			`error: model input "x" wants 4 features; --features gives 5 values a row: "kind" has 3`,
		},
		{
			"text does not go into numbers", matrix,
			Options{Features: []string{"word"}},
			`error: model input "x" wants 5 features; --features names 1`,
		},
		{
			"text does not go into a number",
			[]models.Value{input("x", models.Float32, -1, 1)},
			Options{Features: []string{"word"}},
			`error: feature "word" is text, but model input "x" wants float32: give it a number`,
		},
		{
			"a number does not go into text",
			[]models.Value{input("x", models.String, -1, 1)},
			Options{Features: []string{"half"}},
			`error: feature "half" is a number, but model input "x" wants text: cast it`,
		},
		{"a name nobody has", matrix, Options{Features: []string{"hafl"}}, `error: no feature or column "hafl" for model input "x" (did you mean "half"?)`},
		{"several values for one", []models.Value{input("x", models.Float32, -1)}, Options{Columns: map[string][]string{"x": {"kind"}}}, `error: model input "x" is [N], one value a row, but 3 values of features are bound to it`},
		{"a null policy of a feature", matrix, Options{Nulls: NullPolicies{ByColumn: map[string]NullPolicy{"half": {Action: NullNaN}}}}, "x: half+1 kind+3 b+1; a s b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Programs = programsOf(t, schema, specs)
			plan, err := Bind(test.inputs, schema, test.opts)
			var got string
			if err != nil {
				got = "error: " + strings.TrimPrefix(err.Error(), ErrBind.Error()+": ")
			} else {
				var text strings.Builder
				for _, b := range plan.Bindings {
					text.WriteString(b.Input.Name + ":")
					for _, f := range b.Features {
						fmt.Fprintf(&text, " %s+%d", f.Column, f.Width)
					}
					text.WriteString("; ")
				}
				got = text.String() + strings.Join(plan.Columns, " ")
			}
			if got != test.want && (!strings.HasPrefix(test.want, "error: ") || !strings.HasPrefix(got, test.want)) {
				t.Errorf("Bind() = %s; want %s", got, test.want)
			}
		})
	}
}

// TestFeaturesBesideColumns: features of all kinds and plain columns in random order,
// over batches of several segments, give the values of a plain loop at their place in
// the row.
func TestFeaturesBesideColumns(t *testing.T) {
	const rows = 5000
	r := rand.New(rand.NewPCG(1, 2))
	a, b, words, hours := make([]float32, rows), make([]float32, rows), make([]string, rows), make([]int64, rows)
	missing := make([]bool, rows)
	for i := range rows {
		a[i], b[i] = float32(r.NormFloat64()), float32(r.IntN(100))
		words[i], hours[i] = []string{"x", "y", "z", ""}[r.IntN(4)], r.Int64N(1e6)
		missing[i] = r.IntN(7) == 0
	}
	builders := []array.Builder{
		array.NewBuilder(memory.DefaultAllocator, f32), array.NewBuilder(memory.DefaultAllocator, f32), array.NewBuilder(memory.DefaultAllocator, text),
		array.NewBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}),
	}
	for i := range rows {
		if missing[i] {
			builders[0].AppendNull()
		} else {
			builders[0].(*array.Float32Builder).Append(a[i])
		}
		builders[1].(*array.Float32Builder).Append(b[i])
		builders[2].(*array.StringBuilder).Append(words[i])
		builders[3].(*array.TimestampBuilder).Append(arrow.Timestamp(hours[i] * 3600))
	}
	columns := make([]arrow.Array, 0, len(builders))
	for _, builder := range builders {
		columns = append(columns, builder.NewArray())
	}
	schema := schemaOf("a", f32, "b", f32, "s", text, "t", columns[3].DataType())
	programs := programsOf(t, schema, `[
		{"name": "linear", "column": "a", "transforms": [{"fill": 0.25}, {"clip": {"min": -1, "max": 2}}, {"scale": {"mean": 0.5, "std": 3}}]},
		{"name": "open", "column": "a", "transforms": [{"scale": {"multiply": 2, "add": -1}}]},
		{"name": "kind", "column": "s", "transforms": [{"onehot": {"categories": [["x"], ["z"]], "unknown": "other"}}]},
		{"name": "turn", "column": "t", "transforms": [{"datetime": {"part": "hour", "cyclic": "both"}}]},
		{"name": "less", "columns": ["b", "linear"], "transforms": [{"diff": {}}, {"abs": {}}]},
		{"name": "log", "column": "b", "transforms": [{"log1p": {}}]}]`)
	// Each name's values of a row, by a plain loop; NaN where the null policy puts one.
	loop := map[string]func(i int) []float64{
		"linear": func(i int) []float64 {
			v := 0.25
			if !missing[i] {
				v = math.Min(math.Max(float64(a[i]), -1), 2)
			}
			return []float64{(v - 0.5) / 3}
		},
		"open": func(i int) []float64 {
			if missing[i] {
				return []float64{math.NaN()}
			}
			return []float64{2*float64(a[i]) - 1}
		},
		"kind": func(i int) []float64 {
			return [][]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}[map[string]int{"x": 0, "z": 1, "y": 2, "": 2}[words[i]]]
		},
		"turn": func(i int) []float64 {
			angle := 2 * math.Pi * float64(hours[i]%24) / 24
			return []float64{math.Sin(angle), math.Cos(angle)}
		},
		"log": func(i int) []float64 { return []float64{math.Log1p(float64(b[i]))} },
		"a": func(i int) []float64 {
			if missing[i] {
				return []float64{math.NaN()}
			}
			return []float64{float64(a[i])}
		},
		"b": func(i int) []float64 { return []float64{float64(b[i])} },
	}
	loop["less"] = func(i int) []float64 { return []float64{math.Abs(float64(b[i]) - loop["linear"](i)[0])} }
	names := []string{"linear", "open", "kind", "turn", "less", "log", "a", "b"}
	record := array.NewRecordBatch(schema, columns, rows)
	defer record.Release()
	for trial := range 40 {
		list := make([]string, 1+r.IntN(40))
		for i := range list {
			list[i] = names[r.IntN(len(names))]
		}
		elem := []models.ElementType{models.Float32, models.Float64}[trial%2]
		plan, err := Bind([]models.Value{input("x", elem, -1, -1)}, schema, Options{Programs: programs, Features: list, Nulls: NullPolicies{Default: NullPolicy{Action: NullNaN}}})
		if err != nil {
			t.Fatal(err)
		}
		batch, taken := &Batch{}, make([]int, 0, rows)
		for range 1 + r.IntN(3) {
			from := r.IntN(rows)
			n := r.IntN(min(rows-from, 2500) + 1)
			batch.Segments = append(batch.Segments, Segment{Record: reordered(record, plan.Columns), From: from, Rows: n})
			for i := range n {
				taken = append(taken, from+i)
			}
		}
		batch.Rows = len(taken)
		tensors, err := plan.NewAssembler(len(taken), RefuseLossy).Assemble(batch)
		if err != nil {
			t.Fatal(err)
		}
		got := elementsOf(&tensors.Inputs[0])
		for row, i := range taken {
			want := make([]float64, 0, 3*len(list))
			for _, name := range list {
				want = append(want, loop[name](i)...)
			}
			for k, w := range want {
				if g := got[row*len(want)+k].float; !near(g, w) {
					t.Fatalf("%v into %s: row %d, value %d = %v; want %v", list, elem, i, k, g, w)
				}
			}
		}
		batch.Release()
	}
}

// near says that two numbers are within one step of float32.
func near(got, want float64) bool {
	g, w := float32(got), float32(want)
	return g == w || g != g && w != w || math.Nextafter32(g, w) == w
}

// reordered is a record batch of some columns.
func reordered(record arrow.RecordBatch, names []string) arrow.RecordBatch {
	fields, columns := make([]arrow.Field, 0, len(names)), make([]arrow.Array, 0, len(names))
	for _, name := range names {
		at := record.Schema().FieldIndices(name)[0]
		fields, columns = append(fields, record.Schema().Field(at)), append(columns, record.Column(at))
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, record.NumRows())
}

// TestFeaturesIntoElements: a feature's numbers become elements of every type, rounded
// once; those that do not fit are bad.
func TestFeaturesIntoElements(t *testing.T) {
	const whole = `[{"name": "f", "column": "x", "transforms": [{"cast": {"to": "int64"}}]}]`
	const number = `[{"name": "f", "column": "x", "transforms": [{"abs": {}}]}]`
	tests := []struct {
		name   string
		column arrow.Array
		specs  string
		elem   models.ElementType
		want   string
	}{
		{"an integer beyond 2^53 stays itself", parsed(t, i64, `[9007199254740993]`), whole, models.Int64, "9007199254740993"},
		{"integers into fewer bits", parsed(t, i64, `[127, 128, -128]`), whole, models.Int8, "127 bad -128"},
		{"an integer is rounded once to float32", parsed(t, i64, `[1152921573326323713]`), whole, models.Float32, "1152921642045800400"},
		{"an integer is rounded once to float16", parsed(t, i64, `[2049, 2051, 65520]`), whole, models.Float16, "2048 2052 bad"},
		{"fractions into integers", parsed(t, f64, `[2, 2.5, "NaN", 300]`), number, models.Uint8, "2 bad bad bad"},
		{"truth values", parsed(t, f64, `[1, 0, 2]`), number, models.Bool, "1 0 bad"},
		{"beyond float32", parsed(t, f64, `[1e300, "Inf", 1]`), number, models.Float32, "bad +Inf 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			schema := schemaOf("x", test.column.DataType())
			plan, err := Bind([]models.Value{input("f", test.elem, -1)}, schema, Options{Programs: programsOf(t, schema, test.specs)})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, []arrow.Array{test.column})
			defer batch.Release()
			a := plan.NewAssembler(batch.Rows, RefuseLossy)
			a.RejectBad()
			tensors, err := a.Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for r, e := range elementsOf(&tensors.Inputs[0]) {
				switch {
				case slices.ContainsFunc(tensors.Rejects, func(reject Reject) bool { return reject.Row == r }):
					got = append(got, "bad")
				case elementNumbers[test.elem].class == classFloat:
					got = append(got, strconv.FormatFloat(e.float, 'f', -1, 64))
				default:
					got = append(got, strconv.FormatInt(int64(e.int), 10))
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("elements %s; want %s", got, test.want)
			}
		})
	}
}

// TestBadFeatureRows: what makes a row bad, and what a null of a feature becomes.
func TestBadFeatureRows(t *testing.T) {
	schema := schemaOf("s", text, "x", f64)
	columns := func() []arrow.Array {
		return []arrow.Array{parsed(t, text, `["x", "?", null, "x", "12"]`), parsed(t, f64, `[1, 2, 3, null, "NaN"]`)}
	}
	tests := []struct {
		name, specs string
		opts        Options
		want        []string // rejects, or the error without RejectBad
		fails       string
	}{
		{
			"an unknown category", `[{"name": "f", "column": "s", "transforms": [{"map": {"values": {"x": 1, "12": 2}, "null": 0}}]}]`,
			Options{},
			[]string{`1 f category "?" is unknown`},
			`feature "f", row 1: category "?" is unknown; add it to the map's values, or give the map a default`,
		},
		{
			"a null is no category", `[{"name": "f", "column": "s", "transforms": [{"onehot": {"categories": [["x"], ["12"], ["?"]]}}]}]`,
			Options{},
			[]string{`2 f null is no category`},
			`feature "f", row 2: null is no category; add it to the categories`,
		},
		{
			"a fill that rejects is asked for, whatever becomes of bad rows", `[{"name": "f", "column": "x", "transforms": [{"fill": "reject"}]}]`,
			Options{},
			[]string{"3 f null, asked", "4 f NaN, asked"},
			"",
		},
		{
			"what an earlier feature rejects", `[{"name": "g", "column": "x", "transforms": [{"fill": "reject"}], "hidden": true}, {"name": "f", "columns": ["g", "g"], "transforms": [{"product": {}}]}]`,
			Options{},
			[]string{"3 g null, asked", "4 g NaN, asked"},
			"",
		},
		{
			"a text that is no number", `[{"name": "f", "column": "s", "transforms": [{"fill": "0"}, {"cast": {"to": "float64"}}, {"clip": {"min": 0}}]}]`,
			Options{},
			[]string{`0 f text "x" is no number`, `1 f text "?" is no number`, `3 f text "x" is no number`},
			`feature "f", row 0: text "x" is no number; correct the data`,
		},
		{
			"a NaN that becomes an integer by a rule that there is", `[{"name": "f", "column": "x", "transforms": [{"fill": "nan"}, {"cast": {"to": "int64", "round": "trunc"}}]}]`,
			Options{},
			[]string{"3 f value NaN is no integer of 64 bits", "4 f value NaN is no integer of 64 bits"},
			`feature "f", row 3: value NaN is no integer of 64 bits; correct the data, or fill and clip it before`,
		},
		{
			"a null that is left, by default", `[{"name": "f", "column": "x", "transforms": [{"log1p": {}}]}]`,
			Options{},
			[]string{"3 f null"},
			`feature "f", row 3: is null; give it a transform that fills (fill), or say what a null becomes: --nulls f=nan`,
		},
		{
			"a null that is left, of a feature that kernels compute", `[{"name": "f", "column": "x", "transforms": [{"clip": {"min": 0}}]}]`,
			Options{},
			[]string{"3 f null"},
			`feature "f", row 3: is null;`,
		},
		{
			"a null that is left, by policy", `[{"name": "f", "column": "x", "transforms": [{"log1p": {}}]}]`,
			Options{Nulls: NullPolicies{ByColumn: map[string]NullPolicy{"f": {Action: NullReject}}}},
			[]string{"3 f null, asked"},
			"",
		},
		{
			"a NaN that has to be finite", `[{"name": "f", "column": "x", "transforms": [{"fill": 0}, {"scale": {"multiply": 6e307, "add": 0}}, {"log1p": {}}]}]`,
			Options{Finite: FinitePolicy{Columns: []string{"f"}}},
			[]string{"2 f value +Inf is not finite"},
			`feature "f", row 2: value +Inf is not finite`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Programs = programsOf(t, schema, test.specs)
			test.opts.Columns = map[string][]string{"in": {"f"}}
			plan, err := Bind([]models.Value{{Name: "in", Elem: models.Float32}}, schema, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, columns())
			defer batch.Release()
			batch.Segments[0].Record = reordered(batch.Segments[0].Record, plan.Columns)
			a := plan.NewAssembler(batch.Rows, RefuseLossy)
			_, err = a.Assemble(batch)
			if row, isRow := errors.AsType[*RowError](err); (test.fails != "") != isRow || isRow && !strings.HasPrefix(row.Error(), test.fails) {
				t.Errorf("Assemble() = %v; want %s", err, test.fails)
			}
			a = plan.NewAssembler(batch.Rows, RefuseLossy)
			a.RejectBad()
			tensors, err := a.Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range tensors.Rejects {
				line := fmt.Sprintf("%d %s %s", r.Row, r.Column, r.Reason)
				if r.Asked {
					line += ", asked"
				}
				got = append(got, line)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, test.want) {
				t.Errorf("rejects %q; want %q", got, test.want)
			}
		})
	}
}

// TestBadFeatureRowsOfFilteredBatches: a bad row of a feature has its number in the file,
// though others were taken out before it, and is rejected with what the error advises.
func TestBadFeatureRowsOfFilteredBatches(t *testing.T) {
	schema := schemaOf("s", text, "x", f64, "y", f64)
	columns := func() []arrow.Array {
		return []arrow.Array{parsed(t, text, `["a", "a", "b"]`), parsed(t, f64, `[1, 2, null]`), parsed(t, f64, `[1, 2, 1e300]`)}
	}
	for name, spec := range map[string]string{
		"what a transform cannot compute": `{"name": "f", "column": "s", "transforms": [{"map": {"values": {"a": 1}}}]}`,
		"what an element cannot hold":     `{"name": "f", "column": "y", "transforms": [{"abs": {}}]}`,
		"a null":                          `{"name": "f", "column": "x", "transforms": [{"log1p": {}}]}`,
		"a null of what kernels compute":  `{"name": "f", "column": "x", "transforms": [{"scale": {"multiply": 2, "add": 0}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := Bind([]models.Value{input("f", models.Float32, -1)}, schema, Options{Programs: programsOf(t, schema, "["+spec+"]")})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, columns())
			defer batch.Release()
			segment := &batch.Segments[0]
			segment.Record, segment.Origin, segment.Numbers = reordered(segment.Record, plan.Columns), Origin{File: 1, Row: 10}, []int64{10, 17, 29}
			_, err = plan.NewAssembler(batch.Rows, RefuseLossy).Assemble(batch)
			row, ok := errors.AsType[*RowError](err)
			if !ok || row.Feature != "f" || row.Column != "" || row.Advice == "" {
				t.Fatalf("Assemble() = %v; want a row of feature f, with advice", err)
			}
			if want := (Origin{File: 1, Row: 29}); row.Origin != want {
				t.Errorf("Assemble() is of row %v; want %v", row.Origin, want)
			}
			a := plan.NewAssembler(batch.Rows, RefuseLossy)
			a.RejectBad()
			tensors, err := a.Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			if got := tensors.Rejects; len(got) != 1 || got[0].Row != 2 || got[0].Column != "f" || !got[0].Computed || got[0].Advice != row.Advice {
				t.Errorf("rejects %+v; want row 2 of feature f, with the advice %q", got, row.Advice)
			}
		})
	}
}

// TestTextFeatures: features of text, beside columns of it, become strings.
func TestTextFeatures(t *testing.T) {
	schema := schemaOf("s", text, "n", i64)
	programs := programsOf(t, schema, `[
		{"name": "f", "column": "s", "transforms": [{"fill": "none"}]},
		{"name": "g", "column": "n", "transforms": [{"cast": {"to": "string"}}]}]`)
	plan, err := Bind([]models.Value{input("x", models.String, -1, 3)}, schema, Options{Programs: programs, Features: []string{"f", "g", "s"}, Nulls: NullPolicies{Default: ParseNullPolicy("missing")}})
	if err != nil {
		t.Fatal(err)
	}
	batch := batchOf(schema, []arrow.Array{parsed(t, text, `["a", null, "c"]`), parsed(t, i64, `[1, 9007199254740993, null]`)})
	defer batch.Release()
	batch.Segments[0].Record = reordered(batch.Segments[0].Record, plan.Columns)
	tensors, err := plan.NewAssembler(3, RefuseLossy).Assemble(batch)
	if err != nil {
		t.Fatal(err)
	}
	in := &tensors.Inputs[0]
	got := make([]string, 0, len(in.Offsets))
	for i := range in.Offsets[1:] {
		got = append(got, string(in.Text[in.Offsets[i]:in.Offsets[i+1]]))
	}
	want := []string{"a", "1", "a", "none", "9007199254740993", "missing", "c", "missing", "c"}
	if !slices.Equal(got, want) {
		t.Errorf("strings %q; want %q", got, want)
	}
}
