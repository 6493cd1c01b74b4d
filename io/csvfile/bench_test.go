package csvfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// BenchmarkRead reads all columns of the files that CSV_FILES names by a glob, or of one
// that it makes, on one core, and beside it looks for their rows alone:
//
//	GOMAXPROCS=1 CSV_FILES='/tmp/*.csv' go test ./io/csvfile -run '^$' -bench Read
func BenchmarkRead(b *testing.B) {
	paths, err := filepath.Glob(os.Getenv("CSV_FILES"))
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
				for b.Loop() {
					set := lines.NewSet(lines.Options{}, map[format.Name]lines.NewSyntaxFunc{format.CSV: csvfile.NewSyntax}, func() error { return nil })
					r, err := set.Open(path, format.CSV, format.ReadOptions{})
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
				}
			})
		}
	}
}
