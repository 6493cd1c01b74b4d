package unique

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// BenchmarkFind finds the duplicates among rows whose keys come twice:
//
//	go test ./engine/unique -run '^$' -bench Find
func BenchmarkFind(b *testing.B) {
	const rows = 1 << 21
	for name, budget := range map[string]int64{"in=memory": 256 << 20, "in=file": 8 << 20} {
		b.Run(name, func(b *testing.B) {
			values := make([]int64, 1<<13)
			batches := make([]arrow.RecordBatch, rows/len(values))
			for i := range batches {
				for k := range values {
					values[k] = int64(splitMix(uint64(i*len(values)+k)) % (rows / 2))
				}
				batches[i] = int64s(values)
			}
			keys, err := NewKeys(batches[0].Schema().Fields(), Hash)
			if err != nil {
				b.Fatal(err)
			}
			dir := b.TempDir()
			b.ReportAllocs()
			for b.Loop() {
				f := NewFinder(keys, Options{BudgetBytes: budget, Dir: dir, Workers: 1, Rows: rows})
				for i, batch := range batches {
					if err := f.Add(batch.Columns(), numberedFrom(uint64(i*len(values)))); err != nil {
						b.Fatal(err)
					}
				}
				found, err := f.Find()
				if err != nil {
					b.Fatal(err)
				}
				if found.Rows() < rows/4 {
					b.Fatalf("%d duplicates", found.Rows())
				}
				_, _ = found.Close(), f.Close()
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
