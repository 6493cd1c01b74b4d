package engine_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// element is one tensor type: the column that it comes from and goes to, and
// values, as JSON, that both hold exactly.
type element struct {
	name   string
	onnx   pb.TensorProto_DataType
	column arrow.DataType
	result arrow.DataType // nil says column
	pool   []string
	fill   string // what a null becomes
}

func (e *element) out() arrow.DataType {
	if e.result != nil {
		return e.result
	}
	return e.column
}

var elements = []element{
	{"float32", pb.TensorProto_FLOAT, arrow.PrimitiveTypes.Float32, nil, []string{"0", "-1.5", "3.4028235e+38", "1e-45", "16777216", "0.1", "7"}, "2.5"},
	{"float64", pb.TensorProto_DOUBLE, arrow.PrimitiveTypes.Float64, nil, []string{"0", "-1.5", "1.7976931348623157e+308", "5e-324", "0.1", "9007199254740993", "7"}, "2.5"},
	{"float16", pb.TensorProto_FLOAT16, arrow.FixedWidthTypes.Float16, nil, []string{"0", "-1.5", "60000", "0.25", "2048", "-7"}, "2.5"},
	{"bfloat16", pb.TensorProto_BFLOAT16, arrow.PrimitiveTypes.Float32, nil, []string{"0", "-1.5", "256", "0.25", "-7", "1.0141205e+31"}, "2.5"},
	{"int8", pb.TensorProto_INT8, arrow.PrimitiveTypes.Int8, nil, []string{"0", "-128", "127", "5", "-1"}, "9"},
	{"int16", pb.TensorProto_INT16, arrow.PrimitiveTypes.Int16, nil, []string{"0", "-32768", "32767", "5", "-1"}, "9"},
	{"int32", pb.TensorProto_INT32, arrow.PrimitiveTypes.Int32, nil, []string{"0", "-2147483648", "2147483647", "5", "-1"}, "9"},
	{"int64", pb.TensorProto_INT64, arrow.PrimitiveTypes.Int64, nil, []string{"0", "-9223372036854775808", "9223372036854775807", "5", "-1"}, "9"},
	{"uint8", pb.TensorProto_UINT8, arrow.PrimitiveTypes.Uint8, nil, []string{"0", "255", "128", "5"}, "9"},
	{"uint16", pb.TensorProto_UINT16, arrow.PrimitiveTypes.Uint16, nil, []string{"0", "65535", "32768", "5"}, "9"},
	{"uint32", pb.TensorProto_UINT32, arrow.PrimitiveTypes.Uint32, nil, []string{"0", "4294967295", "2147483648", "5"}, "9"},
	{"uint64", pb.TensorProto_UINT64, arrow.PrimitiveTypes.Uint64, nil, []string{"0", "18446744073709551615", "9223372036854775808", "5"}, "9"},
	{"bool", pb.TensorProto_BOOL, arrow.FixedWidthTypes.Boolean, nil, []string{"true", "false", "false", "true", "true"}, "true"},
	{"string", pb.TensorProto_STRING, arrow.BinaryTypes.String, nil, []string{`"a"`, `""`, `"häß,\"x\""`, `"two\nlines"`, `"longer than twelve bytes"`}, `"none"`},
}

// form is how columns become a tensor of one row's shape.
type form struct {
	name     string
	dims     []any
	width    int
	features []string // the columns; nil says one column x
	column   func(arrow.DataType) arrow.DataType
	result   func(arrow.DataType) arrow.DataType
	group    []int // sizes of the column's lists, from the inside
	lists    []int // of the result's
}

func same(t arrow.DataType) arrow.DataType { return t }

func fsl(n int32) func(arrow.DataType) arrow.DataType {
	return func(t arrow.DataType) arrow.DataType { return arrow.FixedSizeListOf(n, t) }
}

func result(n ...int32) func(arrow.DataType) arrow.DataType {
	return func(t arrow.DataType) arrow.DataType {
		for _, n := range slices.Backward(n) {
			t = arrow.FixedSizeListOfField(n, arrow.Field{Name: "item", Type: t})
		}
		return t
	}
}

var forms = []form{
	{"[N]", []any{"N"}, 1, nil, same, same, nil, nil},
	{"[N,1]", []any{"N", 1}, 1, nil, same, same, nil, nil},
	{"[N,3] from columns", []any{"N", 3}, 3, []string{"a", "b", "c"}, same, result(3), nil, []int{3}},
	{"[N,3] from a FixedSizeList", []any{"N", 3}, 3, nil, fsl(3), result(3), []int{3}, []int{3}},
	{"[N,3] from a List", []any{"N", 3}, 3, nil, func(t arrow.DataType) arrow.DataType { return arrow.ListOf(t) }, result(3), []int{3}, []int{3}},
	{"[N,3] from a LargeList", []any{"N", 3}, 3, nil, func(t arrow.DataType) arrow.DataType { return arrow.LargeListOf(t) }, result(3), []int{3}, []int{3}},
	{"[N,2,3] from nested FixedSizeLists", []any{"N", 2, 3}, 6, nil, func(t arrow.DataType) arrow.DataType { return fsl(2)(fsl(3)(t)) }, result(2, 3), []int{3, 2}, []int{3, 2}},
	{"[N,2,3] from a flat FixedSizeList", []any{"N", 2, 3}, 6, nil, fsl(6), result(2, 3), []int{6}, []int{3, 2}},
	{"[N,k] from a FixedSizeList", []any{"N", "k"}, 4, nil, fsl(4), result(4), []int{4}, []int{4}},
	{"[N,a,b] from nested FixedSizeLists", []any{"N", nil, nil}, 4, nil, func(t arrow.DataType) arrow.DataType { return fsl(2)(fsl(2)(t)) }, result(2, 2), []int{2, 2}, []int{2, 2}},
}

// grouped joins JSON values to rows of nested lists.
func grouped(values []string, sizes []int) []string {
	for _, n := range sizes {
		var out []string
		for at := 0; at < len(values); at += n {
			out = append(out, "["+strings.Join(values[at:at+n], ",")+"]")
		}
		values = out
	}
	return values
}

func jsonList(values []string) string { return "[" + strings.Join(values, ",") + "]" }

// tensorCase is the values of one element type in one form.
type tensorCase struct {
	columns []named
	want    arrow.Array // what the output column must hold
}

// makeCase spreads the pool over rows, with every seventh value null.
func makeCase(t *testing.T, e *element, f *form, rows int) tensorCase {
	t.Helper()
	in, filled := make([]string, rows*f.width), make([]string, rows*f.width)
	for i := range in {
		in[i] = e.pool[(i+i/len(e.pool))%len(e.pool)]
		filled[i] = in[i]
		if i%7 == 3 {
			in[i], filled[i] = "null", e.fill
		}
	}
	c := tensorCase{want: fromJSON(t, f.result(e.out()), jsonList(grouped(filled, f.lists)))}
	if f.features == nil {
		c.columns = []named{{"x", fromJSON(t, f.column(e.column), jsonList(grouped(in, f.group)))}}
		return c
	}
	for k, name := range f.features {
		var column []string
		for at := k; at < len(in); at += f.width {
			column = append(column, in[at])
		}
		c.columns = append(c.columns, named{name, fromJSON(t, e.column, jsonList(column))})
	}
	return c
}

// fillPolicy is the null policy that makes a null a JSON value.
func fillPolicy(t *testing.T, value string) batcher.NullPolicy {
	t.Helper()
	if strings.HasPrefix(value, `"`) {
		if err := json.Unmarshal([]byte(value), &value); err != nil {
			t.Fatal(err)
		}
	}
	return batcher.ParseNullPolicy(value)
}

// Every tensor type in every form goes through a model that changes nothing and
// comes back as the column it was, from each output format, with batches that
// lie within spans, join them, and end short.
func TestEveryTensorTypeInEveryForm(t *testing.T) {
	const rows = 17
	for _, e := range elements {
		for _, f := range forms {
			t.Run(e.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				c := makeCase(t, &e, &f, rows)
				dir := t.TempDir()
				opts := engine.Options{
					Model:    onnxtest.Write(t, onnxtest.Identity(e.onnx, f.dims...)),
					Inputs:   []string{writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{6, 2, 1, 1}, c.columns...)},
					Features: f.features, Lossy: batcher.AllowLossy, Workers: 2, BatchRows: 4, PartRows: 7,
					Nulls: batcher.NullPolicies{Default: fillPolicy(t, e.fill)},
				}
				for _, output := range []string{"out.arrow", "out.parquet"} {
					opts.Output = filepath.Join(dir, output)
					if summary := mustRun(t, opts); summary.Rows.Scored != rows {
						t.Errorf("%s: %+v; want %d scored", output, summary.Rows, rows)
					}
					schema, records := readBack(t, opts.Output)
					checkColumn(t, schema, records, "y", c.want)
				}
				opts.Output = filepath.Join(dir, "out.csv")
				mustRun(t, opts)
				checkCSV(t, opts.Output, c.want)
			})
		}
	}
}

// checkCSV compares the one column of a CSV file with an array.
func checkCSV(t *testing.T, path string, want arrow.Array) {
	t.Helper()
	_, rows := readCSV(t, path)
	if len(rows) != want.Len() {
		t.Fatalf("%d rows; want %d", len(rows), want.Len())
	}
	for i, row := range rows {
		var got, wanted any
		text := row[0]
		if want.DataType().ID() == arrow.STRING {
			quoted, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			text = string(quoted)
		}
		encoded, err := json.Marshal(want.GetOneForMarshal(i))
		if err != nil {
			t.Fatal(err)
		}
		decode(t, text, &got)
		decode(t, string(encoded), &wanted)
		if g, w := fmt.Sprint(got), fmt.Sprint(wanted); g != w {
			t.Fatalf("row %d = %s; want %s", i, g, w)
		}
	}
}

// decode reads JSON. Integers keep all their digits; other numbers are compared
// as the float64 they are nearest to.
func decode(t *testing.T, text string, into *any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	*into = numbers(*into)
}

func numbers(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if strings.ContainsAny(v.String(), ".eE") {
			if f, err := v.Float64(); err == nil {
				return f
			}
		}
	}
	return v
}

// NaN where nulls are allowed to become NaN, and infinities as they are.
func TestNullsBecomeNaN(t *testing.T) {
	dir := t.TempDir()
	x := fromJSON(t, arrow.PrimitiveTypes.Float32, `[1, null, "NaN", "+Inf", "-Inf", null]`)
	opts := engine.Options{
		Model:  onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")),
		Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"x", x})},
		Output: filepath.Join(dir, "out.parquet"), Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("nan")},
	}
	mustRun(t, opts)
	schema, records := readBack(t, opts.Output)
	checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Float32, `[1, "NaN", "NaN", "+Inf", "-Inf", "NaN"]`))
}

// identities is a model with outputs y0, y1, ... that are inputs x0, x1, ... of
// different types, each taken outs[i] times.
func identities(t *testing.T, types []element, dims [][]any, times []int) string {
	t.Helper()
	g := onnxtest.Graph(nil, nil)
	n := 0
	for i, e := range types {
		in := fmt.Sprintf("x%d", i)
		g.Input = append(g.Input, onnxtest.Tensor(in, e.onnx, dims[i]...))
		for range times[i] {
			out := fmt.Sprintf("y%d", n)
			n++
			g.Output = append(g.Output, onnxtest.Tensor(out, e.onnx, dims[i]...))
			g.Node = append(g.Node, onnxtest.Node("Identity", onnxtest.Names(in), onnxtest.Names(out)))
		}
	}
	return onnxtest.Write(t, onnxtest.Model(g))
}

// Seven inputs of seven types and shapes and nine outputs, all at once, in each
// layout and format, and some of them alone.
func TestManyInputsAndOutputs(t *testing.T) {
	const rows = 23
	inputs := []struct {
		element, form string
		times         int
	}{
		{"float32", "[N]", 2},
		{"int64", "[N,1]", 1},
		{"string", "[N]", 1},
		{"bool", "[N,3] from a FixedSizeList", 1},
		{"float64", "[N,2,3] from nested FixedSizeLists", 1},
		{"uint8", "[N,3] from a List", 2},
		{"float16", "[N,2,3] from a flat FixedSizeList", 1},
	}
	types, dims, times := make([]element, 0, len(inputs)), make([][]any, 0, len(inputs)), make([]int, 0, len(inputs))
	columns := append(make([]named, 0, 1+len(inputs)), named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(counting(rows)))})
	var wants []arrow.Array
	nulls := batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{}}
	for i, in := range inputs {
		e := elements[slices.IndexFunc(elements, func(e element) bool { return e.name == in.element })]
		f := forms[slices.IndexFunc(forms, func(f form) bool { return f.name == in.form })]
		c := makeCase(t, &e, &f, rows)
		types, dims, times = append(types, e), append(dims, f.dims), append(times, in.times)
		name := fmt.Sprintf("x%d", i)
		columns = append(columns, named{name, c.columns[0].values})
		nulls.ByColumn[name] = fillPolicy(t, e.fill)
		for range in.times {
			wants = append(wants, c.want)
		}
	}
	dir := t.TempDir()
	base := engine.Options{
		Model:  identities(t, types, dims, times),
		Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{9, 3, 1}, columns...)},
		Nulls:  nulls, IDs: []string{"id"}, BatchRows: 5, Workers: 3,
	}
	for _, file := range []string{"auto.arrow", "auto.parquet", "list.arrow"} {
		opts := base
		opts.Output = filepath.Join(dir, file)
		opts.Layout = engine.Layout(strings.TrimSuffix(file, filepath.Ext(file)))
		mustRun(t, opts)
		schema, records := readBack(t, opts.Output)
		checkColumn(t, schema, records, "id", columns[0].values)
		for i, want := range wants {
			checkColumn(t, schema, records, fmt.Sprintf("y%d", i), want)
		}
		if n := schema.NumFields(); n != 1+len(wants) {
			t.Errorf("%s has %d columns; want %d", file, n, 1+len(wants))
		}
	}
	// One plain column per value.
	opts := base
	opts.Layout, opts.Output = engine.LayoutColumns, filepath.Join(dir, "columns.parquet")
	opts.ModelOutputs, opts.OutputPrefix = []string{"y8", "y4", "y2"}, "p_"
	mustRun(t, opts)
	schema, records := readBack(t, opts.Output)
	names := make([]string, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		names = append(names, f.Name+" "+f.Type.Name())
	}
	want := []string{
		"id int64", "p_y8_0 float16", "p_y8_1 float16", "p_y8_2 float16", "p_y8_3 float16", "p_y8_4 float16", "p_y8_5 float16",
		"p_y4_0 bool", "p_y4_1 bool", "p_y4_2 bool", "p_y2 int64",
	}
	if !slices.Equal(names, want) {
		t.Errorf("columns = %q; want %q", names, want)
	}
	checkColumn(t, schema, records, "p_y2", wants[2])
	for k := range 3 {
		column := columnTexts(t, records, schema.FieldIndices(fmt.Sprintf("p_y4_%d", k))[0])
		for row, list := range texts(t, wants[4]) {
			var values []json.RawMessage
			if err := json.Unmarshal([]byte(list), &values); err != nil {
				t.Fatal(err)
			}
			if column[row] != string(values[k]) {
				t.Errorf("p_y4_%d row %d = %s; want %s", k, row, column[row], values[k])
			}
		}
	}
}

func counting(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}
