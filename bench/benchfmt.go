package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/millrace/millrace/internal/page"
)

// WriteBenchfmt writes each repeat that is not warm-up as a line of the Go
// benchmark format, for benchstat: one operation is one row, as a stage alone does
// not always go over all of them. What
// --batch-size auto chose is named batch=auto, so that two measurements compare
// even where it chose otherwise.
func WriteBenchfmt(w io.Writer, benches []*Bench) error {
	out := benchfmt.NewWriter(w)
	for _, unit := range []struct{ name, better string }{{"rows/s", "higher"}, {"cpu-ns/row", "lower"}, {"peak-B", "lower"}, {"J/row", "lower"}} {
		if err := out.Write(&benchfmt.UnitMetadata{
			UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: unit.name, Key: "better"}, OrigUnit: unit.name, Value: unit.better,
		}); err != nil {
			return fmt.Errorf("write benchfmt: %w", err)
		}
	}
	for _, b := range benches {
		v := &b.Head.Versions
		if _, err := fmt.Fprintf(w, "# millrace %s, commit %s, Go %s, ONNX Runtime %s, measurement %s\n",
			page.Plain(v.Millrace), page.Plain(v.Commit), page.Plain(v.Go), page.Plain(v.ORT), page.Plain(b.ID)); err != nil {
			return fmt.Errorf("write benchfmt: %w", err)
		}
		config := fileConfig(b)
		for i := range b.Repeats {
			r := &b.Repeats[i]
			if r.Warmup {
				continue
			}
			if err := out.Write(&benchfmt.Result{
				Config: config, Name: benchfmt.Name(benchName(r)), Iters: int(r.Rows), Values: benchValues(r),
			}); err != nil {
				return fmt.Errorf("write benchfmt: %w", err)
			}
		}
	}
	return nil
}

// fileConfig is what must be equal for two measurements to be held against each
// other, as key: value lines: benchstat makes a table for each. So versions and
// commit, which are what is judged, stand in a comment.
func fileConfig(b *Bench) []benchfmt.Config {
	h := &b.Head
	var config []benchfmt.Config
	for _, c := range [][2]string{
		{"goarch", h.Machine.Arch},
		{"cpu", h.Machine.CPU},
		{"machine", h.Machine.Name},
		{"cores", strconv.FormatFloat(h.Machine.Granted(), 'g', -1, 64)},
		{"gpus", strings.Join(h.Machine.GPUs, ", ")},
		{"model", h.Model.Name},
		{"model-sha256", h.Model.SHA256},
		{"data", h.Data.Format},
		{"data-sha256", h.Data.SHA256},
	} {
		if v := strings.TrimSpace(page.Plain(c[1])); v != "" {
			config = append(config, benchfmt.Config{Key: c[0], Value: []byte(v), File: true})
		}
	}
	return config
}

func benchName(r *Repeat) string {
	if r.Stage == StageEndToEnd && r.Chosen {
		return fmt.Sprintf("Score/stage=%s/provider=%s/batch=auto/workers=auto/intra=auto", nameWord(string(r.Stage)), nameWord(r.Provider))
	}
	return fmt.Sprintf("Score/stage=%s/provider=%s/batch=%d/workers=%d/intra=%d",
		nameWord(string(r.Stage)), nameWord(r.Provider), r.BatchRows, r.Workers, r.IntraOpThreads)
}

// nameWord makes a string from a file a value in a benchmark's name, where
// spaces, slashes and a dash before digits have a meaning.
func nameWord(s string) string {
	if s == "" {
		return "none"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.':
			return r
		default:
			return '_'
		}
	}, cut(s, page.PlainRunes))
}

func benchValues(r *Repeat) []benchfmt.Value {
	rows := float64(r.Rows)
	values := []benchfmt.Value{
		{Value: r.Seconds * 1e9 / rows, Unit: "ns/op"},
		{Value: r.RowsPerSecond(), Unit: "rows/s"},
	}
	for _, more := range []benchfmt.Value{
		{Value: r.CPUSeconds * 1e9 / rows, Unit: "cpu-ns/row"},
		{Value: float64(r.moved()) / r.Seconds, Unit: "B/s"},
		{Value: float64(r.PeakMemoryBytes), Unit: "peak-B"},
		{Value: float64(r.PeakDeviceMemoryBytes), Unit: "peak-device-B"},
		{Value: r.Joules / rows, Unit: "J/row"},
	} {
		if more.Value > 0 {
			values = append(values, more)
		}
	}
	return values
}
