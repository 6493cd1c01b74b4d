package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
)

// respan writes an Arrow file again in record batches of other sizes, in turn.
func respan(t *testing.T, from, to string, spans ...int64) string {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := ipc.NewFileReader(in)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w, err := ipc.NewFileWriter(out, ipc.WithSchema(r.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range r.NumRecords() {
		record, err := r.RecordBatch(i)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < record.NumRows(); n++ {
			end := min(at+spans[n%len(spans)], record.NumRows())
			piece := record.NewSlice(at, end)
			if err := w.Write(piece); err != nil {
				t.Fatal(err)
			}
			piece.Release()
			at = end
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}

// A run whose kernels take columns where they lie writes the bytes of one that makes
// tensors of them, which a check of one column's values is enough for: in batches of one
// span and of several, of rows that a filter takes some from, and with rejected rows.
func TestColumnsWhereTheyLie(t *testing.T) {
	slow(t)
	refs, opts := flightModels(t)
	dir := t.TempDir()
	joined := respan(t, "../testdata/flights-sample.arrow", filepath.Join(dir, "joined.arrow"), 7, 900, 64, 2500, 1)
	for _, ref := range refs {
		for name, change := range map[string]func(o *engine.Options){
			"parquet":      func(*engine.Options) {},
			"spans":        func(o *engine.Options) { o.Inputs = []string{"../testdata/flights-sample.arrow"} },
			"joined spans": func(o *engine.Options) { o.Inputs = []string{joined} },
			"some rows":    func(o *engine.Options) { o.Where = "distance > 500" },
			"nulls reject rows": func(o *engine.Options) {
				o.Nulls.ByColumn = map[string]batcher.NullPolicy{"distance": {Action: batcher.NullReject}}
				o.OnBadRow = engine.BadNull
			},
		} {
			var copied [2]int64
			var got [2][]string
			for i := range got {
				o := opts
				o.Models, o.Model = nil, "../"+ref.ONNX
				o.BatchRows, o.PartRows, o.Output = 1500, 20000, filepath.Join(t.TempDir(), "out")
				change(&o)
				if i == 1 {
					o.Finite.Columns = []string{"month"}
				}
				summary := mustRun(t, o)
				copied[i], got[i] = summary.BytesCopied, sums(t, summary, o.Output)
			}
			if copied[0] != 0 || copied[1] == 0 {
				t.Fatalf("%s, %s: %d bytes were copied into tensors, and %d by the run that was to make some", ref.Name, name, copied[0], copied[1])
			}
			if !slices.Equal(got[0], got[1]) {
				t.Errorf("%s, %s: digests = %q; want %q", ref.Name, name, got[0], got[1])
			}
		}
	}
}
