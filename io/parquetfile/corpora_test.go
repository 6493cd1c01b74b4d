package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/half"
	"github.com/millrace/millrace/io/format"
)

// corporaDir is where the corpora of Parquet projects are; they are not part
// of the repository.
func corporaDir(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("MILLRACE_CORPORA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no corpora: set MILLRACE_CORPORA to the folder that has %s (%v)", name, err)
	}
	return dir
}

// expected is what another engine reads from a file.
type expected struct {
	engine  string
	rows    int64
	columns []expectedColumn
}

type expectedColumn struct {
	name  string
	nulls int
	crc   string // "-" where the engine was only asked for nulls
}

// readExpected reads a table that testdata/expect.py wrote.
func readExpected(t *testing.T, path string) map[string]*expected {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*expected)
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 7 {
			t.Fatalf("%s: %d fields in %q", path, len(f), line)
		}
		e := out[f[0]]
		if e == nil {
			rows, err := strconv.ParseInt(f[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			e = &expected{engine: f[1], rows: rows}
			out[f[0]] = e
		}
		if f[3] != "-1" {
			nulls, err := strconv.Atoi(f[5])
			if err != nil {
				t.Fatal(err)
			}
			e.columns = append(e.columns, expectedColumn{f[4], nulls, f[6]})
		}
	}
	return out
}

// outcome of reading one file.
type outcome struct {
	rows  int64
	nulls []int
	crcs  []string
	// statsAgree says of each column whether NullCount is what was read.
	statsAgree []bool
	err        error
	panicky    bool // the decoder panicked and was caught
	peak       uint64
	took       time.Duration
}

const (
	fileTime  = 2 * time.Minute // a reader that hangs; the slowest file takes seconds under the race detector
	fileBytes = 2 << 30
)

// readFile reads every column of a file, as a caller would.
func readFile(t *testing.T, path string, opts format.ReadOptions) outcome {
	t.Helper()
	type result struct{ outcome }
	done := make(chan result, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err, o.panicky = fmt.Errorf("PANIC: %v", p), true
			}
			done <- result{o}
		}()
		o = readColumns(path, opts)
	}()
	start := time.Now()
	var peak uint64
	for {
		select {
		case r := <-done:
			r.took, r.peak = time.Since(start), peak
			return r.outcome
		case <-time.After(5 * time.Millisecond):
			var m runtime.MemStats
			if time.Since(start) > 50*time.Millisecond {
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
			if time.Since(start) > fileTime {
				t.Fatalf("%s: still reading after %s", path, fileTime)
			}
		}
	}
}

func readColumns(path string, opts format.ReadOptions) (o outcome) {
	r, err := Open(path, opts)
	if err != nil {
		return outcome{err: err}
	}
	defer func() {
		if err := r.Close(); err != nil && o.err == nil {
			o.err = err
		}
	}()
	arrays, rows, err := readAll(r, columnsOf(r), opts.ChunkRows, opts.Allocator)
	if err != nil {
		return outcome{err: err}
	}
	defer release(arrays)
	o.rows = rows
	for c, a := range arrays {
		if int64(a.Len()) != rows {
			o.err = fmt.Errorf("SILENT LOSS: column %d has %d rows of %d", c, a.Len(), rows)
		}
		o.nulls = append(o.nulls, countNulls(a))
		o.crcs = append(o.crcs, checksum(a))
		n, ok := r.NullCount(c)
		o.statsAgree = append(o.statsAgree, !ok || n == int64(countNulls(a)))
	}
	return o
}

func countNulls(a arrow.Array) int {
	if a.DataType().ID() == arrow.NULL {
		return a.Len()
	}
	return a.NullN()
}

func checksum(a arrow.Array) string {
	crc := uint32(0)
	var buf []byte
	for i := range a.Len() {
		buf = appendValue(buf[:0], a, i)
		crc = crc32.Update(crc, crc32.IEEETable, buf)
	}
	return fmt.Sprintf("%08x", crc)
}

// appendValue encodes one value as testdata/expect.py does: 0 for null, else 1
// and the value; counts are u32, numbers 8 bytes, little endian.
func appendValue(b []byte, arr arrow.Array, i int) []byte {
	if arr.IsNull(i) || arr.DataType().ID() == arrow.NULL {
		return append(b, 0)
	}
	b = append(b, 1)
	le := binary.LittleEndian
	number := func(v int64) []byte { return le.AppendUint64(b, uint64(v)) }
	float := func(v float64) []byte {
		if v != v {
			return append(b, "nan"...)
		}
		return le.AppendUint64(b, math.Float64bits(v))
	}
	text := func(v []byte) []byte { return append(le.AppendUint32(b, uint32(len(v))), v...) }
	switch a := arr.(type) {
	case *array.Boolean:
		if a.Value(i) {
			return append(b, 1)
		}
		return append(b, 0)
	case *array.Int8:
		return number(int64(a.Value(i)))
	case *array.Uint8:
		return number(int64(a.Value(i)))
	case *array.Int16:
		return number(int64(a.Value(i)))
	case *array.Uint16:
		return number(int64(a.Value(i)))
	case *array.Int32:
		return number(int64(a.Value(i)))
	case *array.Uint32:
		return number(int64(a.Value(i)))
	case *array.Int64:
		return number(a.Value(i))
	case *array.Uint64:
		return number(int64(a.Value(i)))
	case *array.Date32:
		return number(int64(a.Value(i)))
	case *array.Date64:
		return number(int64(a.Value(i)))
	case *array.Time32:
		return number(int64(a.Value(i)))
	case *array.Time64:
		return number(int64(a.Value(i)))
	case *array.Timestamp:
		return number(int64(a.Value(i)))
	case *array.Duration:
		return number(int64(a.Value(i)))
	case *array.Float16:
		return float(float64(half.Float32(a.Value(i))))
	case *array.Float32:
		return float(float64(a.Value(i)))
	case *array.Float64:
		return float(a.Value(i))
	case *array.StringView:
		return text([]byte(a.Value(i)))
	case *array.BinaryView:
		return text(a.Value(i))
	case *array.Decimal32:
		return append(b, fmt.Sprintf("%d;", a.Value(i))...)
	case *array.Decimal64:
		return append(b, fmt.Sprintf("%d;", a.Value(i))...)
	case *array.Decimal128:
		return append(b, a.Value(i).BigInt().String()+";"...)
	case *array.Decimal256:
		return append(b, a.Value(i).BigInt().String()+";"...)
	case *array.FixedSizeBinary:
		return text(a.Value(i))
	case *array.Binary:
		return text(a.Value(i))
	case *array.LargeBinary:
		return text(a.Value(i))
	case *array.String:
		return text([]byte(a.Value(i)))
	case *array.LargeString:
		return text([]byte(a.Value(i)))
	case *array.Struct:
		for f := range a.NumField() {
			b = appendValue(b, a.Field(f), i)
		}
		return b
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		b = le.AppendUint32(b, uint32(to-from))
		for j := from; j < to; j++ {
			if kv, ok := a.ListValues().(*array.Struct); ok && a.DataType().ID() == arrow.MAP {
				b = appendValue(appendValue(b, kv.Field(0), int(j)), kv.Field(1), int(j))
				continue
			}
			b = appendValue(b, a.ListValues(), int(j))
		}
		return b
	case array.ExtensionArray:
		return appendValue(b[:len(b)-1], a.Storage(), i)
	}
	panic(fmt.Sprintf("no encoding for %s", arr.DataType()))
}

// corpusFiles lists the Parquet files of a corpus, in order.
func corpusFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if slices.Contains([]string{".csv", ".json", ".md"}, filepath.Ext(path)) {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Every good file gives the rows, nulls and values that another engine gives,
// or is on the list of what is not supported, with the feature it needs.
func TestGoodCorpus(t *testing.T) {
	t.Run("columns side by side", func(t *testing.T) {
		goodCorpus(t, format.ReadOptions{ChunkRows: 1000})
	})
	t.Run("columns one after the other, through a file, in chunks of a few rows", func(t *testing.T) {
		if testing.Short() {
			t.Skip("slow, and all in one goroutine")
		}
		goodCorpus(t, format.ReadOptions{ChunkRows: 1000, HeldBytes: 1, ChunkBytes: 8 << 10})
	})
	t.Run("pages of 4 KiB and more through a file", func(t *testing.T) {
		if testing.Short() {
			t.Skip("slow, and all in one goroutine")
		}
		goodCorpus(t, format.ReadOptions{ChunkRows: 1000, LongPageBytes: 4 << 10})
	})
}

func goodCorpus(t *testing.T, opts format.ReadOptions) {
	t.Helper()
	dir := corporaDir(t, "parquet-good")
	want := readExpected(t, "testdata/good.tsv")
	unsupportedFiles := readUnsupported(t)
	ok, columns, byCRC := 0, 0, 0
	var refused []string
	for i, name := range corpusFiles(t, dir) {
		feature, listed := unsupportedFiles[name]
		if testing.Short() && (i%4 != 0 || listed) { // what runs beside what is the same in all of them
			continue
		}
		mem := memory.NewCheckedAllocator(&soiled{})
		opts.Allocator = mem
		o := readFile(t, filepath.Join(dir, name), opts)
		mem.AssertSize(t, 0)
		switch {
		case o.panicky || o.peak > fileBytes:
			t.Errorf("%s: %v, %d bytes", name, o.err, o.peak)
		case o.err != nil && !listed:
			t.Errorf("%s: %v", name, o.err)
		case o.err != nil:
			if !errors.Is(o.err, format.ErrUnsupported) && !errors.Is(o.err, format.ErrDamaged) && !errors.Is(o.err, format.ErrBudget) ||
				!strings.Contains(o.err.Error(), feature) || !strings.Contains(o.err.Error(), name) {
				t.Errorf("%s: error %q; want the file's name and %q", name, o.err, feature)
			}
			refused = append(refused, name+" ("+feature+")")
		case listed:
			t.Errorf("%s: read, but listed as unsupported (%s)", name, feature)
		default:
			ok++
			if slices.Contains(o.statsAgree, false) {
				t.Errorf("%s: NullCount is not what was read: %v", name, o.statsAgree)
			}
			n, crcs := compare(t, name, o, want[name])
			columns, byCRC = columns+n, byCRC+crcs
		}
	}
	t.Logf("corpora: parquet-good: %d files: ok=%d (%d columns, values of %d compared) unsupported=%d", ok+len(refused), ok, columns, byCRC, len(refused))
	for _, r := range refused {
		t.Logf("corpora: parquet-good: unsupported: %s", r)
	}
}

// compare returns how many columns it compared, and of how many the values.
func compare(t *testing.T, name string, o outcome, want *expected) (columns, crcs int) {
	t.Helper()
	if want == nil {
		t.Errorf("%s: not in the table of expectations", name)
		return 0, 0
	}
	if want.engine == "none" {
		return 0, 0
	}
	if o.rows != want.rows || len(o.nulls) != len(want.columns) {
		t.Errorf("%s: %d rows, %d columns; %s reads %d and %d", name, o.rows, len(o.nulls), want.engine, want.rows, len(want.columns))
		return 0, 0
	}
	for c, w := range want.columns {
		if o.nulls[c] != w.nulls {
			t.Errorf("%s: column %d %q: %d nulls; %s reads %d", name, c, w.name, o.nulls[c], want.engine, w.nulls)
		}
		if w.crc == "-" {
			continue
		}
		crcs++
		if o.crcs[c] != w.crc {
			t.Errorf("%s: column %d %q: checksum %s; %s reads %s", name, c, w.name, o.crcs[c], want.engine, w.crc)
		}
	}
	return len(want.columns), crcs
}

// readUnsupported reads the list of good files that are refused: name, tab, a
// part of the error that names the feature.
func readUnsupported(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/unsupported.tsv")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		if name, feature, ok := strings.Cut(line, "\t"); ok {
			out[name] = feature
		}
	}
	return out
}

// A bad file gives an error that names it, or rows. Where another engine reads
// it, the rows and values are the same.
func TestBadCorpus(t *testing.T) {
	dir := corporaDir(t, "parquet-bad")
	want := readExpected(t, "testdata/bad.tsv")
	readable, refused, caught, slowest := 0, 0, 0, time.Duration(0)
	for _, name := range corpusFiles(t, dir) {
		mem := memory.NewCheckedAllocator(&soiled{})
		o := readFile(t, filepath.Join(dir, name), format.ReadOptions{Allocator: mem})
		mem.AssertSize(t, 0)
		slowest = max(slowest, o.took)
		switch {
		case o.panicky || o.peak > fileBytes:
			t.Errorf("%s: %v, %d bytes", name, o.err, o.peak)
		case o.err != nil:
			refused++
			if strings.Contains(o.err.Error(), "panicked") {
				caught++
			}
			if !strings.Contains(o.err.Error(), name) || strings.Contains(o.err.Error(), "SILENT") {
				t.Errorf("%s: error %q; want the file's name", name, o.err)
			}
			t.Logf("%s: %v", name, strings.ReplaceAll(o.err.Error(), dir, ""))
		default:
			readable++
			t.Logf("%s: %d rows; %s: %d", name, o.rows, want[name].engine, want[name].rows)
			compare(t, name, o, want[name])
		}
	}
	t.Logf("corpora: parquet-bad: %d files: readable=%d refused=%d (caught panics=%d) slowest=%s", readable+refused, readable, refused, caught, slowest)
}
