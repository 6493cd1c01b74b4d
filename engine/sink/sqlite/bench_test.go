package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// go test ./engine/sink/sqlite -run - -bench Insert -benchtime 100x
//
// A record of 4,096 rows of an id and a score, with the run.
func BenchmarkInsert(b *testing.B) {
	ctx := context.Background()
	s, err := Dialect{}.Open(ctx, filepath.Join(b.TempDir(), "t.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "score", Type: arrow.PrimitiveTypes.Float32}}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	const rows = 4096
	for i := range rows {
		builder.Field(0).(*array.Int64Builder).Append(int64(i))
		builder.Field(1).(*array.Float32Builder).Append(float32(i) / 3)
	}
	record := builder.NewRecordBatch()
	defer record.Release()
	for _, sql := range []string{"CREATE TABLE t (run TEXT, id INTEGER, score REAL)", "BEGIN IMMEDIATE"} {
		if _, err := s.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	insert, err := s.Insert(ctx, "t", "20261128T040250Z-9bb151", schema)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := insert.Write(record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	if _, err := s.Exec(ctx, "COMMIT"); err != nil {
		b.Fatal(err)
	}
	if err := insert.Close(); err != nil {
		b.Fatal(err)
	}
}
