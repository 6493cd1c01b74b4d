package parquetfile

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
)

// A run of many files has all their readers open: none may keep buffers for a next span
// that never comes.
func TestNothingIsKeptAfterTheLastSpan(t *testing.T) {
	r := open(t, "../../testdata/flights-sample.parquet", format.ReadOptions{})
	for span := range r.Spans() {
		if err := r.ReadSpan(t.Context(), span, []int{0, 1}, func(arrow.RecordBatch) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if last := span == len(r.Spans())-1; (r.mem.mu.held == 0) != last {
			t.Errorf("after span %d of %d the reader keeps %d bytes; want some before the last, and none after it", span, len(r.Spans()), r.mem.mu.held)
		}
	}
}
