package parquetfile

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// A run of many files has all their readers open. What the spans of one needed serves those
// of the next, so that no more is kept for many files than for one, and nothing once all are
// closed.
func TestReadersShareWhatTheyKeep(t *testing.T) {
	const path = "../../testdata/flights-sample.parquet"
	var kept int64
	var all *recycle.Buffers
	readers := make([]*Reader, 4)
	for i := range readers {
		r, err := Open(path, format.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		readers[i] = r.(*Reader)
	}
	for i, r := range readers {
		for span := range r.Spans() {
			if err := r.ReadSpan(t.Context(), span, []int{0, 1}, func(arrow.RecordBatch) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			all, kept = r.mem, r.mem.Held()
		}
		if r.mem != all || kept == 0 || r.mem.Held() != kept {
			t.Errorf("after file %d %d bytes are kept; want the %d of the first file, in common", i, r.mem.Held(), kept)
		}
	}
	for i, r := range readers {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if last := i == len(readers)-1; (all.Held() == 0) != last {
			t.Errorf("with %d readers closed %d bytes are kept; want some until the last is", i+1, all.Held())
		}
	}
}
