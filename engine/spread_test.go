package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// spreadFields are columns to partition by, and others of every way that rows are taken.
var spreadFields = []arrow.Field{
	{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "word", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "n", Type: arrow.PrimitiveTypes.Int64},
	{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "tiny", Type: arrow.PrimitiveTypes.Uint8, Nullable: true},
	{Name: "short", Type: arrow.PrimitiveTypes.Int16, Nullable: true},
	{Name: "real", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "choice", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	{Name: "pair", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), Nullable: true},
	{Name: "decimal", Type: &arrow.Decimal128Type{Precision: 20, Scale: 2}, Nullable: true},
}

// spreadRecord makes rows whose n counts from first.
func spreadRecord(t *testing.T, random *rand.Rand, first, rows, values int) arrow.RecordBatch {
	t.Helper()
	var text strings.Builder
	text.WriteByte('[')
	for i := range rows {
		if i > 0 {
			text.WriteByte(',')
		}
		cell := func(json string) string {
			if random.IntN(7) == 0 {
				return "null"
			}
			return json
		}
		v := random.IntN(values)
		day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, v%400).Format(time.DateOnly)
		fmt.Fprintf(&text, `{"day":%s,"word":%s,"n":%d,"flag":%s,"tiny":%s,"short":%s,"real":%s,"text":%s,"choice":%s,"list":%s,"pair":%s,"decimal":%s}`,
			cell(strconv.Quote(day)), cell(strconv.Quote([]string{"", "a/b", "ü=%", "plain"}[random.IntN(4)])), first+i,
			cell(strconv.FormatBool(v%2 == 0)), cell(strconv.Itoa(v%200)), cell(strconv.Itoa(-v)), cell(strconv.Itoa(v)+".5"),
			cell(strconv.Quote(strings.Repeat("x", v%9))), cell(strconv.Quote(fmt.Sprint("c", v%5))),
			cell(fmt.Sprintf("[%d,%d]", v, -v)), cell(fmt.Sprintf("[%d,1]", v)), cell(`"`+strconv.Itoa(v)+`.25"`))
	}
	text.WriteByte(']')
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(spreadFields, nil), strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// spreadPlan is a plan whose output is partitioned.
func spreadPlan(by []string, target int64) *Plan {
	return &Plan{
		Options: Options{Format: format.ArrowFile, PartitionBy: by, TargetFileBytes: target},
		Passed:  spreadFields,
	}
}

// cells are a row's values as text.
func cells(b arrow.RecordBatch, row int, skip map[string]bool) string {
	var values []string
	for i, c := range b.Columns() {
		if !skip[b.ColumnName(i)] {
			values = append(values, c.ValueStr(row))
		}
	}
	return strings.Join(values, " ")
}

// Whatever is pending at a time, whatever records are like, each folder has the rows
// that a plain loop puts there, in their order.
func TestSpreadLikeAPlainLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	for _, c := range []struct {
		sentence string
		by       []string
		records  int
		values   int // distinct ones, about
		most     int64
		target   int64
		spills   string // none, some
	}{
		{"all fit in memory", []string{"day"}, 20, 30, 1 << 30, 0, "none"},
		{"each record is spilled", []string{"day", "word"}, 20, 30, 1, 0, "some"},
		{"some records are spilled together", []string{"word", "flag"}, 20, 10, 30_000, 0, "some"},
		{"a folder has several files", []string{"flag"}, 140, 10, 30_000, 40_000, "some"},
		{"many folders of a few rows", []string{"day", "tiny", "short"}, 3, 400, 20_000, 0, "some"},
		{"a dictionary names folders", []string{"choice"}, 20, 9, 20_000, 0, "some"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(c.most)))
			plan := spreadPlan(c.by, c.target)
			staging := stageSpread(t, plan)
			local := sink.LocalStaging(staging)
			col := &collector{plan: plan, staging: local}
			files, err := local.PartFiles(0)
			if err != nil {
				t.Fatal(err)
			}
			s := col.newSpread(0, files, arrow.NewSchema(spreadFields, nil))
			s.most = c.most
			skip := map[string]bool{}
			for _, name := range c.by {
				skip[name] = true
			}
			want := map[string][]string{}
			rows := int64(0)
			for range c.records {
				record := spreadRecord(t, random, int(rows), random.IntN(300), c.values)
				for row := range int(record.NumRows()) {
					folder := ""
					for _, name := range c.by { // as the documents say, value by value
						a := record.Column(record.Schema().FieldIndices(name)[0])
						folder = filepath.Join(folder, dataset.EscapePartition(name, a.ValueStr(row), a.IsNull(row)))
					}
					want[folder] = append(want[folder], cells(record, row, skip))
				}
				rows += record.NumRows()
				if err := s.write(record); err != nil {
					t.Fatal(err)
				}
				record.Release()
			}
			if (len(s.spill) > 0) != (c.spills == "some") {
				t.Errorf("%d scratch files; want %s", len(s.spill), c.spills)
			}
			outputs, err := s.commit(rows)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, o := range outputs {
				folder := filepath.Dir(o.Name)
				got[folder] = append(got[folder], arrowRows(t, filepath.Join(staging.DataPath(), o.Name))...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("folders (-want +got):\n%.3000s", diff)
			}
			if c.target > 0 && len(outputs) < 2*len(want) {
				t.Errorf("%d files in %d folders; want several in each", len(outputs), len(want))
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(staging.DataPath()), ".scratch*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// stageSpread stages a plan's output.
func stageSpread(t *testing.T, plan *Plan) *ledger.Staging {
	t.Helper()
	opts := plan.Options.partOptions()
	opts.Output, opts.RunID, opts.Ext = filepath.Join(t.TempDir(), "out"), ledger.NewRunID(time.Now()), ".arrow"
	staging, err := ledger.Stage(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := staging.Discard(); err != nil {
			t.Error(err)
		}
	})
	return staging
}

// arrowRows are the rows of a file as text.
func arrowRows(t *testing.T, path string) (rows []string) {
	t.Helper()
	data, err := dataset.Open(t.Context(), []string{path}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = data.Close() }()
	for span := range data.Spans(0) {
		err := data.ReadSpan(t.Context(), dataset.SpanRef{Span: span}, fieldNames(data.Schema().Fields()), func(b arrow.RecordBatch) error {
			for row := range int(b.NumRows()) {
				rows = append(rows, cells(b, row, nil))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// Thousands of folders take few open files.
func TestSpreadOfManyFoldersOpensFewFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("one writer of a thousand files, which shorter tests race")
	}
	plan := spreadPlan([]string{"n"}, 0)
	staging := stageSpread(t, plan)
	local := sink.LocalStaging(staging)
	col := &collector{plan: plan, staging: local}
	files, err := local.PartFiles(0)
	if err != nil {
		t.Fatal(err)
	}
	s := col.newSpread(0, files, arrow.NewSchema(spreadFields, nil))
	s.most = 200_000
	const folders = 1000
	random := rand.New(rand.NewPCG(5, 6))
	for range 2 { // each folder has a row of two records
		for first := 0; first < folders; first += 1000 {
			record := spreadRecord(t, random, first, 1000, 9)
			if err := s.write(record); err != nil {
				t.Fatal(err)
			}
			record.Release()
		}
	}
	before, stop, peak := openFiles(t), make(chan struct{}), make(chan int)
	go func() {
		most := 0
		for {
			select {
			case <-stop:
				peak <- most
				return
			default:
				most = max(most, openFiles(t))
			}
		}
	}()
	outputs, err := s.commit(2 * folders)
	close(stop)
	most := <-peak
	if err != nil {
		t.Fatal(err)
	}
	if len(outputs) != folders {
		t.Errorf("%d files; want one for each of %d folders", len(outputs), folders)
	}
	for _, o := range outputs {
		if o.Rows != 2 {
			t.Fatalf("%s has %d rows; want 2", o.Name, o.Rows)
		}
	}
	if bound := before + 200; most > bound { // two rounds of files to sync, and scratch files
		t.Errorf("%d files were open at a time, and %d before; want %d at most", most, before, bound)
	}
}

// openFiles counts the process's open files.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Errorf("open files cannot be counted: %v", err)
	}
	return len(entries)
}

func TestFoldersOfValues(t *testing.T) {
	texts := func(values string) arrow.Array {
		a, _, err := array.FromJSON(memory.DefaultAllocator, arrow.BinaryTypes.String, strings.NewReader(values))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	f, err := foldersOf([]string{"a", "b"}, []arrow.Array{texts(`["x", null, "", "x", "x"]`), texts(`["1", "1", "1", "2", "1"]`)})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(f.of))
	for i, of := range f.of {
		got[i] = f.names[of]
	}
	want := []string{"a=x/b=1", "a=__HIVE_DEFAULT_PARTITION__/b=1", "a=__HIVE_DEFAULT_PARTITION__/b=1", "a=x/b=2", "a=x/b=1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	long := strings.Repeat("y", 300)
	if _, err := foldersOf([]string{"a"}, []arrow.Array{texts(`["` + long + `"]`)}); err == nil || !strings.Contains(err.Error(), `column "a" has the value "yyyy`) {
		t.Errorf("foldersOf() of a text of 300 bytes = %v; want an error that names column and value", err)
	}
}
