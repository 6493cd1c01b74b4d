package parquetfile

import (
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// BenchmarkWriterScores writes 3 million rows of an id and a score, in the row
// groups that score makes: B/op should stay near the size of the data.
//
//	go test -run '^$' -bench WriterScores ./io/parquetfile
func BenchmarkWriterScores(b *testing.B) {
	const rows, batchRows = 3 << 20, 1 << 16
	for _, codec := range []string{"", "zstd", "none"} {
		b.Run("codec="+codec, func(b *testing.B) {
			score := floats(1, batchRows, 0)
			defer score.Release()
			ids := array.NewInt64Builder(memory.DefaultAllocator)
			for i := range batchRows {
				ids.Append(int64(i))
			}
			id := ids.NewArray()
			ids.Release()
			schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: id.DataType()}, {Name: "score", Type: arrow.PrimitiveTypes.Float32, Nullable: true}}, nil)
			batch := array.NewRecordBatch(schema, []arrow.Array{id, score.Column(0)}, batchRows)
			id.Release()
			defer batch.Release()
			total := int64(0)
			b.ReportAllocs()
			b.SetBytes(12 * rows)
			for b.Loop() {
				w, err := NewWriter(io.Discard, schema, format.WriteOptions{Compression: codec, RowGroupRows: 131072})
				if err != nil {
					b.Fatal(err)
				}
				for range rows / batchRows {
					if err := w.Write(batch); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				total += rows
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
