package parquetfile

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// Chunks of large rows have fewer of them, by halves.
func TestChunksAreAsLargeAsAsked(t *testing.T) {
	path := noiseFile(t, 8, 10_000, format.WriteOptions{}) // 64 bytes a row
	for _, c := range []struct {
		what  string
		bytes int64
		want  []int64 // rows of the first chunk and of the last
	}{
		{"room for all that was asked for", 64 * 4096, []int64{4096, 10_000 % 4096}},
		{"for one row less", 64*4096 - 1, []int64{2048, 10_000 % 2048}},
		{"for a tenth", 64 * 409, []int64{256, 10_000 % 256}},
		{"for no row", 1, []int64{1, 1}},
	} {
		r := open(t, path, format.ReadOptions{ChunkRows: 4096, ChunkBytes: c.bytes})
		var rows []int64
		if err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(b arrow.RecordBatch) error {
			rows = append(rows, b.NumRows())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if rows[0] != c.want[0] || rows[len(rows)-1] != c.want[1] {
			t.Errorf("%s: chunks of %d and at the end %d rows; want %v", c.what, rows[0], rows[len(rows)-1], c.want)
		}
	}
}

// A hundred columns whose pages are 12 MB together are read in a tenth of that.
func TestPagesOfAllColumnsNeedNotFit(t *testing.T) {
	path := noiseFile(t, 100, 15_000, format.WriteOptions{Compression: "snappy"})
	opts := format.ReadOptions{BudgetBytes: 1200 << 10, ChunkBytes: 128 << 10, HeldBytes: 256 << 10, Allocator: checked(t)}
	r := open(t, path, opts)
	random := rand.New(rand.NewPCG(1, 2)) // as noiseFile
	for range 99 * 15_000 {
		random.Uint64()
	}
	rows := int64(0)
	if err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(b arrow.RecordBatch) error {
		last := b.Column(99).(*array.Int64)
		for i := range last.Len() {
			if want := int64(random.Uint64()); last.Value(i) != want {
				t.Fatalf("last column, row %d: %d; want %d", rows+int64(i), last.Value(i), want)
			}
		}
		rows += b.NumRows()
		return nil
	}); err != nil || rows != 15_000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	opts.HeldBytes = math.MaxInt64
	r = open(t, path, opts)
	if err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(arrow.RecordBatch) error { return nil }); err == nil {
		t.Error("streamed side by side they fit, too: the test shows nothing")
	}
}

// Nothing is left in the folder, and a folder without room is named.
func TestScratchFileOfColumns(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	path := noiseFile(t, 8, 10_000, format.WriteOptions{})
	r := open(t, path, format.ReadOptions{HeldBytes: 1})
	chunks := 0
	if err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(arrow.RecordBatch) error {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v in the folder, %v", left, err)
		}
		chunks++
		return nil
	}); err != nil || chunks == 0 {
		t.Fatalf("%d chunks, %v", chunks, err)
	}
	mem := newBudget(recycle.New(checked(t), 0), 1)
	if _, err := newAside(mem, math.MaxInt64/2); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("room for 4 EiB: %v; want an error with the folder and TMPDIR", err)
	}
}

// Rows of columns that are laid aside come when all of them are decoded; others as they are.
func TestUpfrontRows(t *testing.T) {
	path := filepath.Join("..", "..", "testdata", "flights-sample.parquet")
	for held, want := range map[int64]int64{0: 0, 1: 10_000} {
		r := open(t, path, format.ReadOptions{HeldBytes: held, Allocator: checked(t)})
		if got := r.UpfrontRows(t.Context(), 1, []int{0, 3, 4}); got != want {
			t.Errorf("with %d bytes held %d rows come first; want %d", held, got, want)
		}
		if got := r.UpfrontRows(t.Context(), 1, []int{1000}); got != 0 {
			t.Errorf("of a column that is not there: %d rows; want 0", got)
		}
	}
}

// Columns of every layout come back from the scratch file as they are streamed, which
// other tests compare with other engines' readings.
func TestEveryLayoutComesBackFromAside(t *testing.T) {
	for name, data := range samples(t, 500) {
		path := filepath.Join(t.TempDir(), "sample.parquet")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		streamed, aside := open(t, path, format.ReadOptions{}), open(t, path, format.ReadOptions{HeldBytes: 1, Allocator: checked(t)})
		want, _, err := readAll(streamed, columnsOf(streamed), 1<<14, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := readAll(aside, columnsOf(aside), 1<<14, memory.DefaultAllocator)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d columns, %v; want %d", name, len(got), err, len(want))
		}
		for i := range want {
			if a, b := checksum(got[i]), checksum(want[i]); a != b {
				t.Errorf("%s: column %d, %s: checksum %s; want %s", name, i, want[i].DataType(), a, b)
			}
		}
		release(want)
		release(got)
	}
}
