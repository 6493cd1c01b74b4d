package lines_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/jsonlfile"
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

// syntaxes by their files' ending, and what a file of them is made of.
var syntaxes = map[string]struct {
	format    format.Name
	syntax    lines.NewSyntaxFunc
	head, row string // row: of a number, one below 97, one below 1,000, a float64
}{
	".csv":   {format.CSV, csvfile.NewSyntax, "id,name,x,y\n", "%d,row %d,%d.25,%v\n"},
	".jsonl": {format.JSONLines, jsonlfile.NewSyntax, "", "{\"id\":%d,\"name\":\"row %d\",\"x\":%d.25,\"y\":%v}\n"},
}

// made writes a file of each syntax.
func made(b *testing.B) (paths []string) {
	b.Helper()
	for ending, s := range syntaxes {
		text := []byte(s.head)
		for i := range 20_000 {
			text = fmt.Appendf(text, s.row, i, i%97, i%1000, float64(i)/7)
		}
		path := filepath.Join(b.TempDir(), "made"+ending)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			b.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// BenchmarkRead reads all columns of the files that LINES_FILES names by a glob, or of those
// that it makes, and beside it finds their rows and types alone. cpu-s/op is the least of
// all rounds, for machines that are not idle:
//
//	GOMAXPROCS=1 LINES_FILES='data/*' go test ./io/lines -run '^$' -bench Read
func BenchmarkRead(b *testing.B) {
	paths, err := filepath.Glob(os.Getenv("LINES_FILES"))
	if err != nil {
		b.Fatal(err)
	}
	if len(paths) == 0 {
		paths = made(b)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, what := range []string{"rows", "columns"} {
			b.Run(fmt.Sprintf("file=%s/what=%s", filepath.Base(path), what), func(b *testing.B) {
				b.SetBytes(info.Size())
				least := math.Inf(1)
				for b.Loop() {
					before := cpuSeconds(b)
					read(b, path, what == "columns")
					least = min(least, cpuSeconds(b)-before)
				}
				b.ReportMetric(least, "cpu-s/op")
			})
		}
	}
}

// read finds a file's rows and types, and reads all its columns.
func read(b *testing.B, path string, columns bool) {
	b.Helper()
	s := syntaxes[lines.Extension(path)]
	set := lines.NewSet(lines.Options{}, map[format.Name]lines.NewSyntaxFunc{s.format: s.syntax}, func() error { return nil })
	r, err := set.Open(b.Context(), path, s.format, format.ReadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := set.Settle([]string{path}); err != nil {
		b.Fatal(err)
	}
	var spans int
	if columns {
		spans = len(r.Spans())
	}
	all := make([]int, r.Schema().NumFields()+1)
	for i := range all {
		all[i] = i
	}
	for i := range spans {
		if err := r.ReadSpan(b.Context(), i, all, func(arrow.RecordBatch) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
