package engine_test

import (
	"errors"
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

// shapeless declares a float tensor of unknown rank.
func shapeless(name string) *pb.ValueInfoProto {
	v := onnxtest.Tensor(name, pb.TensorProto_FLOAT)
	v.Type.GetTensorType().Shape = nil
	return v
}

// oneNode is a model of one node, from x to y, and constants.
func oneNode(x, y *pb.ValueInfoProto, node *pb.NodeProto, constants ...*pb.TensorProto) *pb.ModelProto {
	g := onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y), node)
	g.Initializer = constants
	return onnxtest.Model(g)
}

func reduceMax(axes ...int64) *pb.NodeProto {
	n := onnxtest.Node("ReduceMax", onnxtest.Names("x"), onnxtest.Names("y"), onnxtest.Int("keepdims", 0))
	if len(axes) > 0 {
		n.Attribute = append(n.Attribute, onnxtest.Ints("axes", axes...))
	}
	return n
}

// narrow is a model that gives the first x[0,0] columns of x, so that its
// output's width depends on the data.
func narrow() *pb.ModelProto {
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", "k")),
		onnxtest.Node("Slice", onnxtest.Names("x", "zeros", "ones"), onnxtest.Names("corner")),
		onnxtest.Node("Reshape", onnxtest.Names("corner", "minus"), onnxtest.Names("flat")),
		onnxtest.Node("Cast", onnxtest.Names("flat"), onnxtest.Names("width"), onnxtest.Int("to", int64(pb.TensorProto_INT64))),
		onnxtest.Node("Slice", onnxtest.Names("x", "zero", "width", "axis"), onnxtest.Names("y")))
	g.Initializer = []*pb.TensorProto{
		onnxtest.Int64s("zeros", []int64{2}, 0, 0), onnxtest.Int64s("ones", []int64{2}, 1, 1),
		onnxtest.Int64s("zero", []int64{1}, 0), onnxtest.Int64s("axis", []int64{1}, 1), onnxtest.Int64s("minus", []int64{1}, -1),
	}
	return onnxtest.Model(g)
}

// triples is a FixedSizeList<float32>[3] column.
func triples(t *testing.T, first []int) named {
	t.Helper()
	rows := make([]string, len(first))
	for i, n := range first {
		rows[i] = fmt.Sprintf("[%d,%d,%d]", n, n+10, n+20)
	}
	return named{"x", fromJSON(t, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32), jsonList(rows))}
}

// Outputs that are no columns are refused, at the plan where the signature
// shows it, and else by the run, with a message that names the output, and
// nothing is written; outputs whose shape only a run shows are columns.
func TestOutputShapes(t *testing.T) {
	float := pb.TensorProto_FLOAT
	in := onnxtest.Tensor("x", float, "N", 3)
	pass := onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y"))
	width0 := onnxtest.Node("Slice", onnxtest.Names("x", "zero", "zero", "axis"), onnxtest.Names("y"))
	constants := []*pb.TensorProto{onnxtest.Int64s("zero", []int64{1}, 0), onnxtest.Int64s("axis", []int64{1}, 1)}
	for _, c := range []struct {
		why   string
		model *pb.ModelProto
		first []int  // of the rows
		want  string // column names; "" says refused
		says  string
	}{
		{"open dimensions", oneNode(in, onnxtest.Tensor("y", float, nil, nil), pass), []int{1, 2, 3, 4, 5}, "y fixed_size_list", ""},
		{"named dimensions", oneNode(in, onnxtest.Tensor("y", float, "a", "b"), pass), []int{1, 2, 3, 4, 5}, "y fixed_size_list", ""},
		{"no shape at all", oneNode(in, shapeless("y"), pass), []int{1, 2, 3, 4, 5}, "y fixed_size_list", ""},
		{"a rank that the signature has wrong", oneNode(in, onnxtest.Tensor("y", float, "N"), pass), []int{1, 2, 3}, "y fixed_size_list", ""},
		{"one value a row, without shape", oneNode(in, shapeless("y"), reduceMax(1)), []int{1, 2, 3, 4, 5}, "y float32", ""},
		{"a scalar that the signature shows", oneNode(in, onnxtest.Tensor("y", float), reduceMax()), []int{1, 2, 3, 4, 5}, "", "scalar"},
		{"a scalar that only a run shows", oneNode(in, shapeless("y"), reduceMax()), []int{1, 2, 3, 4, 5}, "", "scalar"},
		{"one value for each feature", oneNode(in, onnxtest.Tensor("y", float, "k"), reduceMax(0)), []int{1, 2, 3, 4, 5}, "", "first dimension"},
		{"rows that lie in columns", oneNode(in, onnxtest.Tensor("y", float, "a", "b"), onnxtest.Node("Transpose", onnxtest.Names("x"), onnxtest.Names("y"))), []int{1, 2, 3, 4, 5}, "", "first dimension"},
		{"rows that are columns, after a batch as long as wide", oneNode(in, onnxtest.Tensor("y", float, "a", "b"), onnxtest.Node("Transpose", onnxtest.Names("x"), onnxtest.Names("y"))), []int{1, 2, 3, 4, 5, 6, 7, 8}, "", "first dimension"},
		{"a width that the data gives, the same in all batches", narrow(), []int{2, 2, 2, 2, 2}, "y fixed_size_list", ""},
		{"a width that the data changes", narrow(), []int{2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3}, "", "had [2] before"},
		{"no values, as the signature says", oneNode(in, onnxtest.Tensor("y", float, "N", 0), width0, constants...), []int{1, 2, 3, 4, 5}, "", "no values"},
		{"no values, as only a run shows", oneNode(in, shapeless("y"), width0, constants...), []int{1, 2, 3, 4, 5}, "", "no values"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, batch := range []int{4, 3} {
				if batch == 3 && c.want == "" && len(c.first) != 8 {
					continue
				}
				workers := 2
				if c.want == "" {
					workers = 1 // of two, each may see one width alone, and the collector says it in other words
				}
				opts := engine.Options{
					Model: onnxtest.Write(t, c.model), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, c.first))},
					BatchRows: batch, Output: filepath.Join(dir, strconv.Itoa(batch), "out.parquet"), Workers: workers,
				}
				_, err := run(t, opts)
				if c.want == "" {
					if !errors.Is(err, engine.ErrOutputShape) || !strings.Contains(err.Error(), `"y"`) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("run = %v; want an error that wraps %q, names \"y\" and says %q", err, engine.ErrOutputShape, c.says)
					}
					continue
				}
				if err != nil {
					t.Fatalf("run = %v; want no error", err)
				}
				schema, records := readBack(t, opts.Output)
				got := make([]string, 0, schema.NumFields())
				for _, f := range schema.Fields() {
					got = append(got, f.Name+" "+f.Type.Name())
				}
				if fmt.Sprint(got) != "["+c.want+"]" || len(columnTexts(t, records, 0)) != len(c.first) {
					t.Errorf("columns = %s, %d rows; want %s, %d rows", got, len(columnTexts(t, records, 0)), c.want, len(c.first))
				}
			}
		})
	}
}

// Models whose rows lie in another dimension than the first, as networks of sequences have
// them, are refused by the dimensions' names: [F,N] would be taken for a batch fixed to F
// rows, and [N,F] of F rows for it, without a word. So are outputs of a first dimension that is
// fixed where rows are not. The input has just as many rows as it has columns.
func TestRowsNotFirst(t *testing.T) {
	float := pb.TensorProto_FLOAT
	transposed := onnxtest.Node("Transpose", onnxtest.Names("x"), onnxtest.Names("y"))
	last := onnxtest.Node("ReduceMax", onnxtest.Names("x"), onnxtest.Names("y"), onnxtest.Ints("axes", 0), onnxtest.Int("keepdims", 0))
	pass := onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y"))
	for _, c := range []struct {
		why   string
		model *pb.ModelProto
		is    error
		says  string
	}{
		{"a matrix that lies on its side", oneNode(onnxtest.Tensor("x", float, 3, "N"), onnxtest.Tensor("y", float, "N", 3), transposed), engine.ErrOutputShape, "output \"y\" float32[N,3] has as many rows as input \"x\" float32[3,N] has in dimension 2"},
		{"steps first, of any number", oneNode(onnxtest.Tensor("x", float, "T", "rows"), onnxtest.Tensor("y", float, "rows"), last), engine.ErrOutputShape, "in dimension 2, \"rows\""},
		{"a batch by its name alone", oneNode(onnxtest.Tensor("x", float, 3, "batch"), onnxtest.Tensor("y", float, 3, "batch"), pass), batcher.ErrBind, "dimension 2, which is called \"batch\""},
		{"an output on its side", oneNode(onnxtest.Tensor("x", float, "N", 3), onnxtest.Tensor("y", float, 3, ""), transposed), engine.ErrOutputShape, "output \"y\" float32[3,?] has 3 in its first dimension"},
		{"an output declared of a batch of one", oneNode(onnxtest.Tensor("x", float, "N", 3), onnxtest.Tensor("y", float, 1, ""), pass), nil, ""},
		{"one name for all that is open", oneNode(onnxtest.Tensor("x", float, "batch", "batch"), onnxtest.Tensor("y", float, "batch", "batch"), pass), nil, ""},
		{"a sequence in a fixed batch", oneNode(onnxtest.Tensor("x", float, 3, "seq"), onnxtest.Tensor("y", float, 3, "seq"), pass), nil, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := run(t, engine.Options{
				Model: onnxtest.Write(t, c.model), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, []int{1, 2, 3}))},
				Output: filepath.Join(dir, "out.parquet"),
			})
			if !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("run = %v; want an error that wraps %v and says %q", err, c.is, c.says)
			}
		})
	}
}

// Inputs of no rows, one row, spans of one row, batches of one row, and a model
// that prescribes its batch, whose last batch is short.
func TestFewRows(t *testing.T) {
	for _, c := range []struct {
		why   string
		rows  int // of each of two files
		spans []int64
		fixed int // batch of the model
		batch int
	}{
		{"no rows", 0, nil, 0, 4},
		{"no rows, fixed batch", 0, nil, 4, 0},
		{"one row a file", 1, nil, 0, 4},
		{"one row a file, fixed batch", 1, nil, 4, 0},
		{"spans of one row", 7, []int64{1}, 0, 4},
		{"spans of one row, fixed batch", 7, []int64{1}, 4, 0},
		{"batches of one row", 7, []int64{3}, 0, 1},
		{"fixed batches of one row", 7, []int64{3}, 1, 0},
		{"fixed batch, long spans", 11, nil, 4, 0},
		{"fixed batch that divides the rows", 8, []int64{3}, 4, 0},
	} {
		for _, e := range []string{"float32", "string", "bool", "int64"} {
			t.Run(c.why+"/"+e, func(t *testing.T) {
				t.Parallel()
				e := &elements[slices.IndexFunc(elements, func(x element) bool { return x.name == e })]
				f := forms[slices.IndexFunc(forms, func(f form) bool { return f.name == "[N,3] from a FixedSizeList" })]
				if c.fixed > 0 {
					f.dims = []any{c.fixed, 3}
				}
				dir := t.TempDir()
				both := makeCase(t, e, &f, 2*c.rows)
				x := both.columns[0].values
				ids := fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(counting(2*c.rows)))
				record := recordOf([]named{{"id", ids}, {"x", x}})
				inputs := make([]string, 0, 2)
				for i := range 2 {
					half := record.NewSlice(int64(i*c.rows), int64((i+1)*c.rows))
					inputs = append(inputs, writeSpans(t, filepath.Join(dir, fmt.Sprint(i, ".arrow")), c.spans, named{"id", half.Column(0)}, named{"x", half.Column(1)}))
				}
				for _, file := range []string{"out.arrow", "out.parquet", "out.csv"} {
					opts := engine.Options{
						Model: onnxtest.Write(t, onnxtest.Identity(e.onnx, f.dims...)), Inputs: inputs, IDs: []string{"id"},
						BatchRows: c.batch, Output: filepath.Join(dir, file), Workers: 3,
						Nulls: batcher.NullPolicies{Default: fillPolicy(t, e.fill)},
					}
					if s := mustRun(t, opts); s.Rows.Read != int64(2*c.rows) || s.Rows.Scored != s.Rows.Read {
						t.Errorf("%s: %+v; want %d read and scored", file, s.Rows, 2*c.rows)
					}
					if file == "out.csv" {
						if header, rows := readCSV(t, opts.Output); !slices.Equal(header, []string{"id", "y"}) || len(rows) != 2*c.rows {
							t.Errorf("CSV has header %q and %d rows; want [id y] and %d", header, len(rows), 2*c.rows)
						}
						continue
					}
					schema, records := readBack(t, opts.Output)
					checkColumn(t, schema, records, "id", ids)
					checkColumn(t, schema, records, "y", both.want)
				}
			})
		}
	}
}

// All rows rejected is an output without rows and with its columns.
func TestAllRowsRejected(t *testing.T) {
	dir := t.TempDir()
	x := fromJSON(t, arrow.PrimitiveTypes.Float32, `[null, null, null, null, null]`)
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), BatchRows: 2, MaxRejects: -1,
		Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"x", x}, named{"id", fromJSON(t, arrow.BinaryTypes.String, `["a", "b", "c", "d", "e"]`)})},
		IDs:    []string{"id"}, Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject")},
	}
	for _, file := range []string{"out.arrow", "out.parquet", "out.csv"} {
		opts.Output = filepath.Join(dir, file)
		if s := mustRun(t, opts); s.Rows.Rejected != 5 || s.Rows.Scored != 0 {
			t.Errorf("%s: %+v; want 5 rejected", file, s.Rows)
		}
		if file == "out.csv" {
			continue
		}
		if schema, _ := readBack(t, opts.Output); schema.NumFields() != 2 {
			t.Errorf("%s has columns %s; want id and y", file, schema)
		}
	}
}

// Rejected rows are kept with their ids, of any type that Parquet holds; an id
// of another is refused at the plan, since it could not be kept.
func TestRejectsKeepIDs(t *testing.T) {
	dir := t.TempDir()
	at := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	word := dictionary(arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String)
	columns := []named{
		{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, `[0, null, 2, null, null, 5, null]`)},
		{"row", fromJSON(t, at, `["2024-01-01 00:00:00Z", "2024-01-02 00:00:00Z", "2024-01-03 00:00:00Z", "2024-01-04 00:00:00Z", "2024-01-05 00:00:00Z", "2024-01-06 00:00:00Z", "2024-01-07 00:00:00Z"]`)},
		{"word", fromJSON(t, word, `["a", "b", null, "c", "a", "b", "b"]`)},
		{"pair", fromJSON(t, arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int16), `[[0, 0], [1, 1], [2, 2], [3, null], null, [5, 5], [6, 6]]`)},
		{"months", fromJSON(t, arrow.FixedWidthTypes.MonthInterval, `[{"months": 1}, null, null, null, null, null, null]`)},
	}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), BatchRows: 4, MaxRejects: -1,
		Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{2, 1, 2, 2}, columns...)},
		IDs:    []string{"row", "word", "pair"}, Output: filepath.Join(dir, "out"), Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject")},
	}
	if s := mustRun(t, opts); s.Rows.Rejected != 4 || s.Rejects == nil {
		t.Fatalf("summary = %+v; want 4 rejected and a file of them", s)
	}
	files, err := filepath.Glob(filepath.Join(opts.Output, "_millrace", "*", "rejects.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatalf("rejects are in %q, %v; want one file", files, err)
	}
	schema, records := readDataset(t, files[0])
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	if want := []string{"file", "reject_row", "column", "stage", "reason", "row", "word", "pair", "x"}; !slices.Equal(names, want) {
		t.Fatalf("columns of rejects = %q; want %q", names, want)
	}
	checkColumn(t, schema, records, "reject_row", fromJSON(t, arrow.PrimitiveTypes.Int64, `[1, 3, 4, 6]`))
	checkColumn(t, schema, records, "column", fromJSON(t, arrow.BinaryTypes.String, `["x", "x", "x", "x"]`))
	checkColumn(t, schema, records, "row", fromJSON(t, at, `["2024-01-02 00:00:00Z", "2024-01-04 00:00:00Z", "2024-01-05 00:00:00Z", "2024-01-07 00:00:00Z"]`))
	checkColumn(t, schema, records, "word", fromJSON(t, arrow.BinaryTypes.String, `["b", "c", "a", "b"]`))
	checkColumn(t, schema, records, "x", fromJSON(t, arrow.PrimitiveTypes.Float32, `[null, null, null, null]`))
	checkColumn(t, schema, records, "pair", fromJSON(t, arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int16), `[[1, 1], [3, null], null, [6, 6]]`))

	months := opts
	months.IDs, months.Output = []string{"months"}, filepath.Join(dir, "out.arrow")
	_, err = run(t, months)
	checkRefused(t, err, "months", arrow.FixedWidthTypes.MonthInterval)
	months.Nulls = batcher.NullPolicies{Default: batcher.ParseNullPolicy("nan")} // no row can be rejected
	mustRun(t, months)
}

// Columns of one name are refused before the run, or by it where only it tells
// the columns; --output-prefix keeps them apart.
func TestNameCollisions(t *testing.T) {
	dir := t.TempDir()
	two := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Tensor("p", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("p_0", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("p")), onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("p_0")))
	open := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)), onnxtest.Values(shapeless("p")),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("p")))
	id := fromJSON(t, arrow.PrimitiveTypes.Int64, `[1, 2]`)
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, []int{1, 2}), named{"p", id}, named{"p_1", id}, named{"p_0_1", id})
	for _, c := range []struct {
		why    string
		graph  *pb.GraphProto
		keep   string
		layout engine.Layout
		prefix string
		wrong  string // the name that stands twice; "" says none
	}{
		{"a kept column as an output", two, "p", "", "", "p"},
		{"a kept column as a value of an output", two, "p_1", engine.LayoutColumns, "", "p_1"},
		{"a kept column as a value of an output that only a run tells", open, "p_1", engine.LayoutColumns, "", "p_1"},
		{"other names by a prefix", two, "p_1", engine.LayoutColumns, "q_", ""},
		{"a prefix that makes a kept name", two, "p_0_1", engine.LayoutColumns, "", "p_0_1"},
		{"lists have other names than values", two, "p_1", engine.LayoutList, "", ""},
	} {
		opts := engine.Options{
			Model: onnxtest.Write(t, onnxtest.Model(c.graph)), Inputs: []string{in}, Keep: []string{c.keep},
			Layout: c.layout, OutputPrefix: c.prefix, Output: filepath.Join(dir, strings.ReplaceAll(c.why, " ", "_")+".parquet"),
		}
		_, err := run(t, opts)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: run = %v; want no error", c.why, err)
		case c.wrong != "" && (!errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.wrong))):
			t.Errorf("%s: run = %v; want an error that wraps %q and names %q", c.why, err, engine.ErrUsage, c.wrong)
		}
	}
}

// --model-outputs leaves out what is no column, and orders the rest.
func TestChosenOutputs(t *testing.T) {
	dir := t.TempDir()
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Tensor("total", pb.TensorProto_FLOAT), onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("most", pb.TensorProto_FLOAT, "N")),
		onnxtest.Node("ReduceMax", onnxtest.Names("x"), onnxtest.Names("total"), onnxtest.Int("keepdims", 0)),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y")),
		onnxtest.Node("ReduceMax", onnxtest.Names("x"), onnxtest.Names("most"), onnxtest.Int("keepdims", 0), onnxtest.Ints("axes", 1)))
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Model(g)), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil, triples(t, []int{1, 2, 3}))},
		Output: filepath.Join(dir, "out.arrow"),
	}
	if _, err := run(t, opts); !errors.Is(err, engine.ErrOutputShape) || !strings.Contains(err.Error(), `"total"`) {
		t.Errorf("run = %v; want an error that wraps %q and names \"total\"", err, engine.ErrOutputShape)
	}
	opts.ModelOutputs = []string{"most", "y"}
	mustRun(t, opts)
	schema, records := readBack(t, opts.Output)
	if schema.NumFields() != 2 || schema.Field(0).Name != "most" {
		t.Errorf("columns = %s; want most, y", schema)
	}
	checkColumn(t, schema, records, "most", fromJSON(t, arrow.PrimitiveTypes.Float32, `[21, 22, 23]`))
	opts.ModelOutputs, opts.Output = []string{"mots"}, filepath.Join(dir, "none.arrow")
	if _, err := run(t, opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `"most"`) {
		t.Errorf("run = %v; want an error that wraps %q and asks for \"most\"", err, engine.ErrUsage)
	}
}
