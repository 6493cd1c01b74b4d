package engine

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// wideParquet is much like 33 columns of 3,000,000 flights, read as Parquet.
func wideParquet() *footprint {
	f := &footprint{parquet: true, spanRows: 122880, spanBytes: 4 << 20, rows: 3000000, tensor: 132, result: 12, model: 1 << 20}
	for range 33 {
		f.columns = append(f.columns, 4)
		f.row += 4
	}
	return f
}

func TestFitInto(t *testing.T) {
	start := allotment{Readers: 4, Workers: 2, ChunkRows: 16384, BatchRows: 4096, WaitingRows: rowGroupRows}
	with := func(change func(*allotment)) allotment {
		a := start
		change(&a)
		return a
	}
	f := wideParquet()
	of := func(a allotment) int64 { return f.estimate(a).Total }
	oneReader := with(func(a *allotment) { a.Readers = 1 })
	least := allotment{Readers: 1, Workers: 1, ChunkRows: leastChunkRows, BatchRows: leastBatchRows, WaitingRows: leastWaitingRows}
	cases := []struct {
		about string
		limit int64
		auto  bool
		want  allotment
		names string // of what was lowered, in order
		ok    bool
	}{
		{"a limit of just the estimate lowers nothing", of(start), true, start, "", true},
		{"one byte less halves the readers first", of(start) - 1, true, with(func(a *allotment) { a.Readers = 2 }), "readers", true},
		{"what one reader takes", of(oneReader), true, oneReader, "readers", true},
		{"then results wait less", of(oneReader) - 1, true, with(func(a *allotment) { a.Readers, a.WaitingRows = 1, rowGroupRows/2 }), "readers waiting_rows", true},
		{"a batch that was asked for stays, and workers go", of(with(func(a *allotment) {
			a.Readers, a.Workers, a.ChunkRows, a.WaitingRows = 1, 1, leastChunkRows, leastWaitingRows
		})), false, allotment{}, "readers waiting_rows chunk_rows workers", true},
		{"nothing is enough", programBytes, true, allotment{}, "readers waiting_rows chunk_rows batch_rows workers", false},
	}
	for _, c := range cases {
		t.Run(c.about, func(t *testing.T) {
			got, lowered, ok := f.fitInto(start, c.limit, lowerings(c.auto))
			var names []string
			for _, l := range lowered {
				names = append(names, l.Setting)
				if l.To >= l.From {
					t.Errorf("%s lowered from %d to %d", l.Setting, l.From, l.To)
				}
			}
			if ok != c.ok || strings.Join(names, " ") != c.names {
				t.Errorf("fitInto(%d) lowers %v, ok %v; want %s, %v", c.limit, names, ok, c.names, c.ok)
			}
			if c.want != (allotment{}) && got != c.want {
				t.Errorf("fitInto(%d) = %+v; want %+v", c.limit, got, c.want)
			}
			if ok && of(got) > c.limit {
				t.Errorf("fitted to %d bytes; the limit is %d", of(got), c.limit)
			}
			if !c.auto && got.BatchRows != start.BatchRows {
				t.Errorf("batches of %d rows; %d were asked for", got.BatchRows, start.BatchRows)
			}
		})
	}
	if of(least) >= of(start) {
		t.Error("the least takes no less than the start")
	}
}

// The estimate must not grow with the input once its queues are full.
func TestEstimateIsBounded(t *testing.T) {
	a := allotment{Readers: 2, Workers: 2, ChunkRows: 16384, BatchRows: 4096, WaitingRows: rowGroupRows}
	for _, mapped := range []bool{false, true} {
		f := wideParquet()
		f.mapped, f.parquet, f.stored = mapped, !mapped, 140
		small := f.estimate(a)
		f.rows *= 1000
		if large := f.estimate(a); !reflect.DeepEqual(small, large) {
			t.Errorf("mapped %v: %+v for 3 million rows and %+v for 3 billion", mapped, small, large)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	if got, from := memoryLimit(5); got != 5 || from != LimitAsked {
		t.Errorf("memoryLimit(5) = %d, %s; want 5, asked for", got, from)
	}
	if got, from := memoryLimit(NoMemoryLimit); got != 0 || from != LimitNone {
		t.Errorf("memoryLimit(none) = %d, %s; want 0, none", got, from)
	}
	cgroup := CgroupMemory()
	if got, _ := memoryLimit(0); got != cgroup-cgroup/10 {
		t.Errorf("memoryLimit(auto) = %d; want %d less 10%%", got, cgroup)
	}
}

func TestPlanFitsItsLimit(t *testing.T) {
	opts := sampleRun(t, "flights_gbdt", 1)
	opts.Readers, opts.MemoryLimit = 4, 1
	if _, err := NewPlan(t.Context(), opts); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "at least") {
		t.Errorf("NewPlan within 1 byte: %v; want ErrMemory", err)
	}
	opts.MemoryLimit = NoMemoryLimit
	free, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.MemoryLimit = free.Explain().Memory.Total - 1
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	m := plan.Explain().Memory
	if m.Total > m.Limit || len(m.Lowered) == 0 || plan.Options.Readers >= 4 || plan.HeapLimit() <= 0 || plan.HeapLimit() >= m.Limit {
		t.Errorf("fitted to %+v with %d readers and a heap of %d bytes", m, plan.Options.Readers, plan.HeapLimit())
	}
	if err := plan.Close(); err != nil {
		t.Fatal(err)
	}
}

// While a model is opened, there is what is parsed of it besides the file and the weights: of
// a large model that is more than all that comes later.
func TestEstimateOfParsedModels(t *testing.T) {
	for _, test := range []struct {
		model   string
		kernels Kernels
		times   int64
	}{
		{"flights_mlp", KernelsAuto, parsedOnce},
		{"flights_gbdt", KernelsAuto, parsedOnce},
		{"flights_gbdt", KernelsONNXRuntime, parsedTreesByORT},
	} {
		opts := sampleRun(t, test.model, 1)
		opts.MemoryLimit, opts.Kernels = NoMemoryLimit, test.kernels
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if m, file := plan.Explain().Memory, plan.Model.Bytes; m.Parsed != test.times*file || m.Model != 2*file {
			t.Errorf("%s with kernels %s: a file of %d bytes takes %d, and %d while it is parsed", test.model, test.kernels, file, m.Model, m.Parsed)
		}
		if err := plan.Close(); err != nil {
			t.Fatal(err)
		}
	}
	large := footprint{model: 2 << 30, parsed: 1 << 30}
	if got := large.estimate(allotment{Readers: 1, Workers: 1, BatchRows: 256}).Total; got != programBytes+3<<30 {
		t.Errorf("a model of 1 GiB takes %d MiB; want three times as much, and the program", got>>20)
	}
	large.tensor = 8 << 20
	if got := large.estimate(allotment{Readers: 1, Workers: 1, BatchRows: 256}).Total; got != programBytes+6<<30 {
		t.Errorf("with tensors of 2 GiB and as much between nodes it takes %d MiB; want both, and no parsed model any more", got>>20)
	}
}

// Rows that may be rejected wait with all their columns: as many as may be.
func TestEstimateOfRejects(t *testing.T) {
	estimate := func(set func(*Options)) ExplainedMemory {
		t.Helper()
		opts := sampleRun(t, "flights_gbdt", 1)
		opts.MemoryLimit, opts.MaxRejects = NoMemoryLimit, -1
		set(&opts)
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = plan.Close() }()
		return plan.Explain().Memory
	}
	none := estimate(func(*Options) {})
	if none.Rejects != 0 {
		t.Errorf("%d bytes of rejects where none may be", none.Rejects)
	}
	all := estimate(func(o *Options) { o.OnBadRow = BadReject })
	some := estimate(func(o *Options) { o.OnBadRow, o.MaxRejects = BadNull, 100 })
	row := some.Rejects / 100
	if row < reasonBytes+32*4 || all.Rejects < 10_000*row || all.Total < none.Total+all.Rejects {
		t.Errorf("%d bytes for 100 rows, %d for any number, totals %d and %d without", some.Rejects, all.Rejects, all.Total, none.Total)
	}
}

// What uploads hold is in the estimate, and is no more than there is to upload.
func TestEstimateOfUploads(t *testing.T) {
	written := func(file, rows int64) int64 {
		f := footprint{file: file, result: 8, rows: rows, parts: 4}
		return f.estimate(allotment{Readers: 1, Workers: 1, BatchRows: 4096}).Written
	}
	const file = 40 << 20
	if got := written(file, 1e9) - written(0, 1e9); got != 2*file {
		t.Errorf("two uploads of one writer add %d bytes; want %d", got, 2*file)
	}
	if got := written(file, 1000) - written(0, 1000); got != 8000 {
		t.Errorf("the upload of 8000 bytes adds %d", got)
	}
}

// A trial within a limit tries no batch that would break it.
func TestTrialKeepsWithinTheLimit(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", 60)
	opts.Inputs = opts.Inputs[:60]
	opts.Output = filepath.Join(t.TempDir(), "out")
	for _, room := range []int64{0, 1 << 20} {
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		plan.limit = plan.Explain().Memory.Total + room
		s, err := plan.choose(t.Context(), lib, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tried := range plan.choice.Tried {
			if !plan.fits(tried.BatchRows, plan.Options.Workers) {
				t.Errorf("%d bytes above the default's: tried batches of %d rows", room, tried.BatchRows)
			}
		}
		if m := plan.Explain().Memory; m.Total > m.Limit {
			t.Errorf("chose batches of %d rows, %d bytes; the limit is %d", plan.Options.BatchRows, m.Total, m.Limit)
		}
		if err := errors.Join(s.close(), plan.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A row group of long texts ends by its bytes, and the estimate knows it.
func TestEstimateOfLongTexts(t *testing.T) {
	a := allotment{Readers: 1, Workers: 2, ChunkRows: 8192, BatchRows: 128, WaitingRows: 3 * rowGroupRows}
	written := func(row int64) int64 {
		f := footprint{result: row, group: parquetfile.GroupBytes(row, []arrow.Field{{Type: arrow.BinaryTypes.String}}), rows: 1e9, parts: 4}
		return f.estimate(a).Written
	}
	if got, most := written(85_000), int64(waitingBytes+4*128*85_000+parquetfile.RowGroupBytes); got > most {
		t.Errorf("rows of 85,000 bytes are estimated to wait with %d bytes; want %d at most", got, most)
	}
	if got := written(8); got < 8*rowGroupRows {
		t.Errorf("rows of 8 bytes wait with %d bytes; want a row group", got)
	}
}

// A record batch that is read in pieces takes what they do, however many rows it has; one
// that is read whole takes all of them.
func TestEstimateOfPieces(t *testing.T) {
	a := allotment{Readers: 1, Workers: 2, ChunkRows: 8192, BatchRows: 1024, WaitingRows: rowGroupRows}
	const row = 6 << 10
	decoded := func(cut bool, rows int64) int64 {
		f := footprint{mapped: true, filtered: true, cut: cut, columns: []int64{row}, texts: []int64{row}, row: row, stored: row, spanRows: rows, rows: rows, parts: 1}
		return f.estimate(a).Decoded
	}
	if small, large := decoded(true, 100_000), decoded(true, 10_000_000); small != large || small > 200<<20 {
		t.Errorf("in pieces: %d and %d bytes; want the same, and no more than a run is to take", small, large)
	}
	if got, least := decoded(false, 100_000), int64(100_000*row); got < least {
		t.Errorf("whole: %d bytes; want %d at least", got, least)
	}
	if small := decoded(true, 1000); small < 1000*row {
		t.Errorf("of few rows, which is whole: %d bytes; want %d at least", small, 1000*row)
	}
}

// What is lowered without a limit is neither workers nor readers that were asked for.
func TestUsualLowerings(t *testing.T) {
	names := func(p *Plan) (all []string) {
		for _, l := range p.usualLowerings() {
			all = append(all, l.setting)
		}
		return all
	}
	var p Plan
	if got, want := names(&p), []string{"readers", "waiting_rows", "chunk_rows"}; !slices.Equal(got, want) {
		t.Errorf("lowered: %v; want %v", got, want)
	}
	p.asked.readers = true
	if got, want := names(&p), []string{"waiting_rows", "chunk_rows"}; !slices.Equal(got, want) {
		t.Errorf("lowered where readers are asked for: %v; want %v", got, want)
	}
}

// A run over wide rows is made smaller without a limit, one over narrow rows is not.
func TestWideRowsAreFitted(t *testing.T) {
	for _, c := range []struct {
		columns int
		want    int
	}{{0, 4}, {2000, 1}} {
		opts := sampleRun(t, "flights_gbdt", 1)
		opts.Readers, opts.MemoryLimit = 4, NoMemoryLimit
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		plan.asked.readers = false
		for i := range c.columns { // as if it passed them on
			plan.Passed = append(plan.Passed, arrow.Field{Name: strconv.Itoa(i), Type: arrow.PrimitiveTypes.Int64})
		}
		if err := plan.fitMemory(); err != nil {
			t.Fatal(err)
		}
		if got := plan.Options.Readers; got != c.want {
			t.Errorf("%d numbers passed on: %d readers; want %d", c.columns, got, c.want)
		}
		if err := plan.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The sizes of texts in Arrow files count, decompressed, and that they are read in pieces.
func TestFootprintOfArrowTexts(t *testing.T) {
	const long = 1000
	for _, compression := range []string{"none", "zstd", "lz4"} {
		path := filepath.Join(t.TempDir(), "notes.arrow")
		writeNotes(t, path, strings.Repeat("x", long), compression)
		opts := sampleRun(t, "flights_linear", 1)
		opts.Inputs, opts.IDs = []string{path}, []string{"note"}
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if f := plan.footprint(); !f.cut || f.row < long || f.result < long {
			t.Errorf("%s: in pieces %v, rows of %d and %d bytes; want true, %d at least", compression, f.cut, f.row, f.result, long)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// writeNotes writes the sample of flights with a text beside every row.
func writeNotes(t *testing.T, path, note, compression string) {
	t.Helper()
	r, err := arrowfile.Open(filepath.Join("..", "testdata", "flights-sample.arrow"), format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := append(r.Schema().Fields(), arrow.Field{Name: "note", Type: arrow.BinaryTypes.String})
	schema := arrow.NewSchema(fields, nil)
	w, err := arrowfile.NewWriter(f, schema, format.WriteOptions{Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]int, len(fields)-1)
	for i := range columns {
		columns[i] = i
	}
	if err := r.ReadSpan(t.Context(), 0, columns, func(b arrow.RecordBatch) error {
		notes := array.NewStringBuilder(memory.DefaultAllocator)
		defer notes.Release()
		for range b.NumRows() {
			notes.Append(note)
		}
		column := notes.NewArray()
		defer column.Release()
		batch := array.NewRecordBatch(schema, append(slices.Clone(b.Columns()), column), b.NumRows())
		defer batch.Release()
		return w.Write(batch)
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
}

// Fewer bytes wait of wide rows, but two batches of each worker in any case.
func TestWaitingRows(t *testing.T) {
	for _, c := range []struct {
		about  string
		result int64
		batch  int
		want   int64
	}{
		{"narrow", 8, 4096, rowGroupRows},
		{"narrow, and fewer than are allowed", 256, 4096, waitingBytes / 256},
		{"wide", 8192, 512, waitingBytes / 2 / 8192},
		{"wide, in large batches", 8192, 4096, 2 * 2 * 4096},
	} {
		if got := waitingRows(rowGroupRows, c.result, 2, c.batch); got != c.want {
			t.Errorf("%s: %d rows wait; want %d", c.about, got, c.want)
		}
	}
}
