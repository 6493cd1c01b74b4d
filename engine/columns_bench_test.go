package engine

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/models"
)

// Columns of a batch's scores by class, a column each.
//
//	go test ./engine -run '^$' -bench OutputColumns
func BenchmarkOutputColumns(b *testing.B) {
	const rows = 32 << 10
	for _, classes := range []int{2, 10, 100} {
		b.Run(fmt.Sprint("classes=", classes), func(b *testing.B) {
			s := outputSpec{value: models.Value{Name: "p", Elem: models.Float32}, layout: LayoutColumns, item: []int64{int64(classes)}}
			pool := newOutputPool(1, 1)
			data := tensorData{buffer: memory.NewBufferBytes(make([]byte, rows*classes*4))}
			b.SetBytes(rows * int64(classes) * 4)
			for b.Loop() {
				arrays, err := s.columns(data, rows, func(bytes int) (*memory.Buffer, error) { return pool.getColumns(0, bytes, bytes) })
				if err != nil {
					b.Fatal(err)
				}
				releaseAll(arrays)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
