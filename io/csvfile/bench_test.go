package csvfile_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// cpuSeconds is the processor's time that the process has taken.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkRead reads all columns of the files that LINES_FILES names by a glob, or of one
// that it makes, and beside it finds their rows and types alone. cpu-s/op is the least of
// all rounds, for machines that are not idle:
//
//	GOMAXPROCS=1 LINES_FILES='data/*.csv' go test ./io/csvfile -run '^$' -bench Read
func BenchmarkRead(b *testing.B) {
	paths, err := filepath.Glob(os.Getenv("LINES_FILES"))
	if err != nil {
		b.Fatal(err)
	}
	if len(paths) == 0 {
		path := filepath.Join(b.TempDir(), "made.csv")
		text := []byte("id,name,x,y\n")
		for i := range 20_000 {
			text = fmt.Appendf(text, "%d,row %d,%d.25,%v\n", i, i%97, i%1000, float64(i)/7)
		}
		if err := os.WriteFile(path, text, 0o666); err != nil {
			b.Fatal(err)
		}
		paths = []string{path}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, mode := range []string{"rows", "columns"} {
			b.Run(fmt.Sprintf("file=%s/what=%s", filepath.Base(path), mode), func(b *testing.B) {
				b.SetBytes(info.Size())
				least := math.Inf(1)
				for b.Loop() {
					before := cpuSeconds(b)
					set := lines.NewSet(lines.Options{}, map[format.Name]lines.NewSyntaxFunc{format.CSV: csvfile.NewSyntax}, func() error { return nil })
					r, err := set.Open(b.Context(), path, format.CSV, format.ReadOptions{})
					if err != nil {
						b.Fatal(err)
					}
					if err := set.Settle([]string{path}); err != nil {
						b.Fatal(err)
					}
					columns := make([]int, r.Schema().NumFields()+1)
					for i := range columns {
						columns[i] = i
					}
					for i := range r.Spans() {
						if mode == "rows" {
							break
						}
						if err := r.ReadSpan(context.Background(), i, columns, func(arrow.RecordBatch) error { return nil }); err != nil {
							b.Fatal(err)
						}
					}
					if err := r.Close(); err != nil {
						b.Fatal(err)
					}
					least = min(least, cpuSeconds(b)-before)
				}
				b.ReportMetric(least, "cpu-s/op")
			})
		}
	}
}
