package engine_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// badData are the rows of columns i int64, x float32, n float64 and s, for badModel.
type badData struct {
	i []int64
	x []float32
	n []float64
	s []string

	noX map[int]bool // rows whose x is null
}

func newBadData(rows int) *badData {
	d := &badData{noX: map[int]bool{}}
	for row := range rows {
		d.i, d.x = append(d.i, int64(row%5)), append(d.x, float32(row*row))
		d.n, d.s = append(d.n, float64(row%100)), append(d.s, strings.Repeat("é", row%4))
	}
	return d
}

func (d *badData) columns() []named {
	mem := memory.DefaultAllocator
	id, i, x, n, s := array.NewInt64Builder(mem), array.NewInt64Builder(mem), array.NewFloat32Builder(mem), array.NewFloat64Builder(mem), array.NewStringBuilder(mem)
	for row := range d.i {
		id.Append(int64(row))
		i.Append(d.i[row])
		n.Append(d.n[row])
		s.Append(d.s[row])
		if d.noX[row] {
			x.AppendNull()
		} else {
			x.Append(d.x[row])
		}
	}
	return []named{{"id", id.NewArray()}, {"i", i.NewArray()}, {"x", x.NewArray()}, {"n", n.NewArray()}, {"s", s.NewArray()}}
}

// badModel takes rows of badData to y = i/2 by a table of five entries, the roots of
// x and x+1 as a list, n as int8, and s. ONNX Runtime fails for a batch with an i
// that the table does not have.
func badModel(t *testing.T, rows any) string {
	t.Helper()
	in := onnxtest.Values(onnxtest.Tensor("i", pb.TensorProto_INT64, rows), onnxtest.Tensor("x", pb.TensorProto_FLOAT, rows, 1),
		onnxtest.Tensor("n", pb.TensorProto_INT8, rows), onnxtest.Tensor("s", pb.TensorProto_STRING, rows))
	out := onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, rows), onnxtest.Tensor("z", pb.TensorProto_FLOAT, rows, 2),
		onnxtest.Tensor("m", pb.TensorProto_INT8, rows), onnxtest.Tensor("t", pb.TensorProto_STRING, rows))
	g := onnxtest.Graph(in, out,
		onnxtest.Node("Gather", onnxtest.Names("table", "i"), onnxtest.Names("y")),
		onnxtest.Node("Sqrt", onnxtest.Names("x"), onnxtest.Names("root")),
		onnxtest.Node("Add", onnxtest.Names("x", "one"), onnxtest.Names("more")),
		onnxtest.Node("Sqrt", onnxtest.Names("more"), onnxtest.Names("root1")),
		onnxtest.Node("Concat", onnxtest.Names("root", "root1"), onnxtest.Names("z"), onnxtest.Int("axis", 1)),
		onnxtest.Node("Identity", onnxtest.Names("n"), onnxtest.Names("m")), onnxtest.Node("Identity", onnxtest.Names("s"), onnxtest.Names("t")))
	g.Initializer = append(g.Initializer, onnxtest.Floats32("table", []int64{5}, 0, 0.5, 1, 1.5, 2), onnxtest.Floats32("one", []int64{1}, 1))
	return onnxtest.Write(t, onnxtest.Model(g))
}

// want are the predictions of a row, as JSON.
func (d *badData) want(row int) []string {
	z := make([]string, 2)
	for k := range z {
		z[k] = strconv.FormatFloat(math.Sqrt(float64(d.x[row]+float32(k))), 'g', -1, 32)
	}
	return []string{
		strconv.FormatFloat(float64(d.i[row])/2, 'g', -1, 32), fmt.Sprintf("[%s,%s]", z[0], z[1]), strconv.Itoa(int(d.n[row])), strconv.Quote(d.s[row]),
	}
}

// badKind is one way in which rows are bad.
type badKind struct {
	name   string
	spoil  func(d *badData)
	rows   []int // that are bad
	column string
	stage  string
	reason string
	fail   string // the error where bad rows fail the run
}

func badKinds() []badKind {
	return []badKind{
		{"a null", func(d *badData) { d.noX[13], d.noX[77] = true, true }, []int{13, 77}, "x", "assemble", "null", `column "x"`},
		{
			"a cast", func(d *badData) { d.n[30], d.n[199] = 2.5, 2.5 },
			[]int{30, 199},
			"n", "assemble",
			`value 2.5 does not fit int8, which model input "n" wants`, `column "n", row 30: value 2.5 does not fit int8`,
		},
		{"an infinity", func(d *badData) { d.x[41] = float32(math.Inf(1)) }, []int{41}, "x", "assemble", "value +Inf is not finite", `column "x", row 41: value +Inf is not finite`},
		{"no text", func(d *badData) { d.s[90], d.s[0] = "a\xff", "\x80" }, []int{0, 90}, "s", "assemble", "is not UTF-8", `column "s", row 0: value "\x80" is not UTF-8`},
		{"a Run that fails", func(d *badData) { d.i[55], d.i[56], d.i[140] = 9, -9, 5 }, []int{55, 56, 140}, "", "infer", "ONNX Runtime: ", `row 55: ONNX Runtime: `},
		{"a prediction", func(d *badData) { d.x[100], d.x[8] = -1, -0.5 }, []int{8, 100}, "z", "output", `prediction "z" is NaN`, `row 8: prediction "z" is NaN`},
	}
}

// Every kind of bad row fails the run and is named, or is left out, or has null
// predictions; rows beside it are what they would be without it; from Arrow and from
// Parquet, and the same bytes for any number of workers.
func TestBadRows(t *testing.T) {
	slow(t)
	const rows = 200
	model := badModel(t, "N")
	for _, kind := range badKinds() {
		data := newBadData(rows)
		kind.spoil(data)
		dir := t.TempDir()
		for from, in := range map[string]string{
			"arrow": writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{50, 3, 4, 3, 40}, data.columns()...), "parquet": writeParquet(t, filepath.Join(dir, "in.parquet"), 60, data.columns()...),
		} {
			opts := engine.Options{
				Model: model, Inputs: []string{in}, Format: format.Parquet, IDs: []string{"id"}, BatchRows: 16, MaxRejects: -1, Workers: 1,
				Finite: batcher.FinitePolicy{All: true}, RefuseNaN: true, Output: filepath.Join(dir, from),
			}
			_, err := run(t, opts)
			if !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), kind.fail) || !strings.Contains(err.Error(), "--on-bad-row reject") || kind.column != "x" && !strings.Contains(err.Error(), in) {
				t.Errorf("%s from %s: run = %v; want an error that wraps %q and has %s", kind.name, from, err, engine.ErrBadRows, kind.fail)
			}
			opts.PartRows = 70
			for _, on := range []engine.OnBadRow{engine.BadNull, engine.BadReject} {
				var first []string
				for _, workers := range []int{1, 2, 5} {
					opts.OnBadRow, opts.Workers, opts.Output = on, workers, filepath.Join(dir, from, string(on), strconv.Itoa(workers))
					summary := mustRun(t, opts)
					rejected, err := os.ReadFile(rejectsOf(t, opts.Output))
					if err != nil {
						t.Fatal(err)
					}
					if got := append(sums(t, summary, opts.Output), string(rejected)); first == nil {
						first = got
						checkBadRows(t, kind, data, on, opts.Output, summary)
					} else if !slices.Equal(got, first) {
						t.Errorf("%s from %s, %s: %d workers give other bytes than 1", kind.name, from, on, workers)
					}
				}
			}
		}
	}
}

// checkBadRows compares a published output with what plain loops give.
func checkBadRows(t *testing.T, kind badKind, data *badData, on engine.OnBadRow, output string, summary *engine.Summary) {
	t.Helper()
	var want [5][]string
	rows, bad := int64(len(data.i)), int64(len(kind.rows))
	for row := range data.i {
		cells := append([]string{strconv.Itoa(row)}, "null", "null", "null", "null")
		if !slices.Contains(kind.rows, row) {
			cells = append(cells[:1], data.want(row)...)
		} else if on == engine.BadReject {
			continue
		}
		for k, cell := range cells {
			want[k] = append(want[k], cell)
		}
	}
	schema, records := readBack(t, output)
	for k, name := range []string{"id", "y", "z", "m", "t"} {
		if diff := cmp.Diff(want[k], columnTexts(t, records, k)); diff != "" || schema.Field(k).Name != name {
			t.Errorf("%s, %s: column %d, %q (-want +got):\n%s", kind.name, on, k, schema.Field(k).Name, diff)
		}
		if k > 0 && schema.Field(k).Nullable != (on == engine.BadNull) {
			t.Errorf("%s, %s: column %q is nullable: %t", kind.name, on, name, schema.Field(k).Nullable)
		}
	}
	accounts := ledger.Rows{Read: rows, Scored: rows - bad, Rejected: bad}
	if on == engine.BadNull {
		accounts.Nulled = bad
	}
	if summary.Rows != accounts {
		t.Errorf("%s, %s: rows = %+v; want %+v", kind.name, on, summary.Rows, accounts)
	}
	schema, records = readDataset(t, rejectsOf(t, output))
	whys := []string{"file", "row", "column", "stage", "reason"}
	if on == engine.BadNull {
		whys = append(whys, "nulled")
	}
	if got, want := fieldNames(schema), slices.Concat(whys, []string{"id", "i", "x", "n", "s"}); !slices.Equal(got, want) {
		t.Errorf("%s: rejects have columns %q; want %q", kind.name, got, want)
	}
	for k, want := range []string{"", "", strconv.Quote(kind.column), strconv.Quote(kind.stage), kind.reason} {
		for i, got := range columnTexts(t, records, k) {
			unquoted, _ := strconv.Unquote(got)
			if k == 1 && got != strconv.Itoa(kind.rows[i]) || k == 4 && !strings.Contains(unquoted, want) || (k == 2 || k == 3) && got != want {
				t.Errorf("%s, %s: reject %d has %s %s; want %s, row %d", kind.name, on, i, schema.Field(k).Name, got, want, kind.rows[i])
			}
		}
	}
	if summary.Rejects.Rows != bad {
		t.Errorf("%s, %s: %d rejects; want %d", kind.name, on, summary.Rejects.Rows, bad)
	}
}

// A batch is halved whatever its size: of one row, and of the rows that the model
// fixes. When all rows of a batch fail, and a row of zeros with them, it is the model,
// whatever bad rows may do.
func TestHalving(t *testing.T) {
	dir := t.TempDir()
	data := newBadData(11)
	data.i[0], data.i[10] = 7, 7
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), nil, data.columns()...)
	all := newBadData(8)
	for i := range all.i {
		all.i[i] = 99
	}
	allBad := writeSpans(t, filepath.Join(dir, "all.arrow"), nil, all.columns()...)
	never := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("i", pb.TensorProto_INT64, "N")), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N")),
		onnxtest.Node("Add", onnxtest.Names("i", "far"), onnxtest.Names("k")), onnxtest.Node("Gather", onnxtest.Names("table", "k"), onnxtest.Names("y")))
	never.Initializer = append(never.Initializer, onnxtest.Floats32("table", []int64{2}, 0, 1), onnxtest.Int64s("far", []int64{1}, 100))
	for _, c := range []struct {
		why   string
		model string
		in    string
		batch int
		bad   int64 // below 0: the model's fault
	}{
		{"one batch", badModel(t, "N"), in, 100, 2},
		{"batches of one row", badModel(t, "N"), in, 1, 2},
		{"a model of four rows", badModel(t, 4), in, 0, 2},
		{"a model of one row", badModel(t, 1), in, 0, 2},
		{"all rows of a batch", badModel(t, "N"), allBad, 100, 8},
		{"all rows of a batch, and one of zeros too", onnxtest.Write(t, onnxtest.Model(never)), in, 100, -1},
		{"one row, and one of zeros too", onnxtest.Write(t, onnxtest.Model(never)), in, 1, -1},
	} {
		for _, on := range []engine.OnBadRow{engine.BadFail, engine.BadReject} {
			opts := engine.Options{
				Model: c.model, Inputs: []string{c.in}, IDs: []string{"id"}, BatchRows: c.batch, MaxRejects: -1, Workers: 1, OnBadRow: on,
				Output: filepath.Join(dir, c.why+string(on)+".arrow"),
			}
			summary, err := run(t, opts)
			_, status := errors.AsType[*ort.StatusError](err)
			switch {
			case c.bad < 0:
				if !status || errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), "a row of zeros and empty texts, and the 11 rows tried from all over the input: the model is taken to be at fault") {
					t.Errorf("%s, %s: run = %v; want ONNX Runtime's error, and whose fault it is", c.why, on, err)
				}
			case on == engine.BadFail:
				if !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), filepath.Base(c.in)+": row 0: ONNX Runtime") {
					t.Errorf("%s, %s: run = %v; want row 0 named", c.why, on, err)
				}
			case err != nil || summary.Rows.Rejected != c.bad:
				t.Errorf("%s, %s: run = %+v, %v; want %d rejected", c.why, on, summary, err, c.bad)
			default:
				schema, records := readBack(t, opts.Output)
				if c.in == allBad {
					checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Float32, `[]`))
					continue
				}
				checkColumn(t, schema, records, "id", fromJSON(t, arrow.PrimitiveTypes.Int64, `[1,2,3,4,5,6,7,8,9]`))
				checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Float32, `[0.5,1,1.5,2,0,0.5,1,1.5,2]`))
			}
		}
	}
}

// A null whose column asks for it is left out though other bad rows stay; a row that
// is both is left out.
func TestBadRowsBesidePolicies(t *testing.T) {
	dir := t.TempDir()
	data := newBadData(12)
	data.noX[2], data.noX[5], data.i[5], data.i[7], data.i[11] = true, true, 9, 9, 9
	opts := engine.Options{
		Model: badModel(t, "N"), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{4, 1}, data.columns()...)}, IDs: []string{"id"}, BatchRows: 5,
		MaxRejects: -1, OnBadRow: engine.BadNull, Nulls: batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{"x": batcher.ParseNullPolicy("reject")}},
	}
	for _, file := range []string{"out.arrow", "out.parquet"} {
		opts.Output = filepath.Join(dir, file)
		summary := mustRun(t, opts)
		if want := (ledger.Rows{Read: 12, Scored: 8, Rejected: 4, Nulled: 2}); summary.Rows != want || summary.Outputs[0].Rows != 10 {
			t.Errorf("rows = %+v, %d written; want %+v, 10 written", summary.Rows, summary.Outputs[0].Rows, want)
		}
		if diff := cmp.Diff([]engine.FeatureSummary{{Input: "x", Column: "x", Nulls: 2, Policy: "reject"}}, summary.Features); diff != "" {
			t.Errorf("features, halved batches counted once (-want +got):\n%s", diff)
		}
		schema, records := readBack(t, opts.Output)
		checkColumn(t, schema, records, "id", fromJSON(t, arrow.PrimitiveTypes.Int64, `[0,1,3,4,6,7,8,9,10,11]`))
		checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Float32, `[0,0.5,1.5,2,0.5,null,1.5,2,0,null]`))
	}
	opts.Output = filepath.Join(dir, "out.csv")
	mustRun(t, opts)
	if _, rows := readCSV(t, opts.Output); rows[5][0] != "7" || strings.Join(rows[5][1:], "") != "" {
		t.Errorf("CSV row of a bad row = %q; want its id and nothing", rows[5])
	}
}

// The limit counts rejected rows and null ones, as a number or as a share of the
// input's rows; what was rejected is kept, from all parts.
func TestMaxBadRows(t *testing.T) {
	dir := t.TempDir()
	data := newBadData(1000)
	data.i[10], data.i[110], data.noX[190] = 9, 9, true
	opts := engine.Options{
		Model: badModel(t, "N"), Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{50}, data.columns()...)}, IDs: []string{"id"}, BatchRows: 16, PartRows: 50, Workers: 1,
	}
	for i, c := range []struct {
		rows    int64
		percent float64
		want    string // "" publishes
	}{
		{-1, 0, ""},
		{3, 0, ""},
		{2, 0, "3 rows rejected so far, and --max-bad-rows allows 2"},
		{-1, 0.3, ""}, // of which the float64 is less
		{-1, 0.2999, "3 rows rejected so far, and --max-bad-rows allows 0.2999% of 1000 rows, which is 2"},
		{-1, 100, ""},
		{0, 0, "1 rows rejected so far, and --max-bad-rows allows 0"},
	} {
		for _, on := range []engine.OnBadRow{engine.BadNull, engine.BadReject} {
			opts.MaxRejects, opts.MaxRejectPercent, opts.OnBadRow = c.rows, c.percent, on
			opts.Output = filepath.Join(dir, fmt.Sprint(on, i))
			_, err := run(t, opts)
			if c.want == "" {
				if err != nil {
					t.Errorf("%d, %v%%, %s: run = %v; want no error", c.rows, c.percent, on, err)
				}
				continue
			}
			if !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%d, %v%%, %s: run = %v; want %q", c.rows, c.percent, on, err, c.want)
			}
			kept, err := filepath.Glob(filepath.Join(dir, "_"+filepath.Base(opts.Output)+".millrace", "*", "*"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept files = %q, %v; want the rejects", kept, err)
			}
			want := []string{"10", "110", "190"}
			if c.rows == 0 {
				want = want[:1]
			}
			_, records := readDataset(t, kept[0])
			if got := columnTexts(t, records, 1); !slices.Equal(got, want) {
				t.Errorf("kept rejects are rows %q; want %q", got, want)
			}
		}
	}
}

// What is bad is corrected in the rejects alone and scored by the same settings.
func TestCorrectedRejects(t *testing.T) {
	dir := t.TempDir()
	data := newBadData(40)
	data.i[10], data.n[20], data.noX[30] = 9, 1000, true
	opts := engine.Options{
		Model: badModel(t, "N"), Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 16, data.columns()...)}, IDs: []string{"id"}, BatchRows: 16,
		MaxRejects: -1, OnBadRow: engine.BadReject, Output: filepath.Join(dir, "out"),
	}
	mustRun(t, opts)
	_, records := readDataset(t, rejectsOf(t, opts.Output))
	if got := columnTexts(t, records, 1); !slices.Equal(got, []string{"10", "20", "30"}) {
		t.Fatalf("rejects are rows %q; want 10, 20, 30", got)
	}
	again := opts
	again.Inputs, again.Output = []string{rejectsOf(t, opts.Output)}, filepath.Join(dir, "again")
	if s := mustRun(t, again); s.Rows.Rejected != 3 {
		t.Errorf("the same rows again: %+v; want 3 rejected", s.Rows)
	}
	again.Nulls, again.Output = nullPolicies("0"), filepath.Join(dir, "filled")
	again.Nulls.ByColumn = map[string]batcher.NullPolicy{"s": batcher.ParseNullPolicy("")}
	if s := mustRun(t, again); s.Rows.Rejected != 2 || s.Rows.Scored != 1 {
		t.Errorf("with nulls filled: %+v; want 2 rejected", s.Rows)
	}
	schema, records := readBack(t, again.Output)
	checkColumn(t, schema, records, "id", fromJSON(t, arrow.PrimitiveTypes.Int64, `[30]`))
	checkColumn(t, schema, records, "y", fromJSON(t, arrow.PrimitiveTypes.Float32, `[0]`))
}
