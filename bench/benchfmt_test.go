package bench

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// The lines are read back by the library that benchstat reads with.
func TestWriteBenchfmt(t *testing.T) {
	all := twoMachines(t)
	all[1].Head.Machine.CPU = "line one\nBenchmarkEvil 1 1 ns/op"
	all[1].Repeats[3].Provider = "a/b=c d-8"
	var w bytes.Buffer
	if err := WriteBenchfmt(&w, all); err != nil {
		t.Fatal(err)
	}
	var want []*Repeat
	for _, b := range all {
		for i := range b.Repeats {
			if !b.Repeats[i].Warmup {
				want = append(want, &b.Repeats[i])
			}
		}
	}
	reader := benchfmt.NewReader(&w, "results.bench")
	n := 0
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Fatal(rec)
		case *benchfmt.Result:
			if n >= len(want) {
				t.Fatalf("line %d: more results than the %d repeats", n, len(want))
			}
			r := want[n]
			n++
			if v, ok := rec.Value("rows/s"); !ok || !near(v, r.RowsPerSecond()) {
				t.Errorf("%s: %v rows/s; want %v", rec.Name, v, r.RowsPerSecond())
			}
			if v, ok := rec.Value("sec/op"); !ok || !near(v, r.Seconds/float64(r.Rows)) {
				t.Errorf("%s: %v sec/op; want %v, of one row", rec.Name, v, r.Seconds/float64(r.Rows))
			}
			name, parts := rec.Name.Parts()
			if string(name) != "Score" || len(parts) != 5 {
				t.Errorf("%s has the parts %q %q; want Score and five", rec.Name, name, parts)
			}
			if r.Chosen && !strings.Contains(string(rec.Name), "/batch=auto/") {
				t.Errorf("%s was chosen by auto", rec.Name)
			}
			if got := rec.GetConfig("model"); got != "flights_gbdt.onnx" {
				t.Errorf("model: %q", got)
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if n != len(want) {
		t.Errorf("%d results; want %d", n, len(want))
	}
}
