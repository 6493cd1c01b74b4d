package engine_test

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

// timedRun is what one Run of so many rows took.
type timedRun struct {
	rows int
	took time.Duration
}

// launching is what a Run takes before its first row, by the straight line through
// runs that has the least squares of relative errors; see docs/decisions/020.
func launching(runs []timedRun) (fixed, perRow time.Duration) {
	var w, x, y, xx, xy float64 // sums, weighted by 1/took²
	for _, r := range runs {
		weight := 1 / math.Pow(r.took.Seconds(), 2)
		w += weight
		x += weight * float64(r.rows)
		y += weight * r.took.Seconds()
		xx += weight * float64(r.rows) * float64(r.rows)
		xy += weight * float64(r.rows) * r.took.Seconds()
	}
	slope := (w*xy - x*y) / (w*xx - x*x)
	seconds := func(s float64) time.Duration { return time.Duration(math.Round(s*1e12)) / 1000 }
	return seconds((y - slope*x) / w), seconds(slope)
}

func TestLaunching(t *testing.T) {
	for _, c := range []struct {
		about         string
		runs          []timedRun
		fixed, perRow time.Duration
	}{
		{"a straight line", []timedRun{{1000, 30 * time.Microsecond}, {2000, 50 * time.Microsecond}, {4000, 90 * time.Microsecond}}, 10 * time.Microsecond, 20 * time.Nanosecond},
		{"nothing fixed", []timedRun{{1000, 20 * time.Microsecond}, {5000, 100 * time.Microsecond}}, 0, 20 * time.Nanosecond},
		// Around 10 µs + 20 ns a row; the large one is 10% off, which is 200 µs, and may
		// not decide what the small ones cost.
		{"errors as large as what was measured", []timedRun{{100, 12 * time.Microsecond}, {1000, 30 * time.Microsecond}, {100_000, 2210 * time.Microsecond}}, 10 * time.Microsecond, 21 * time.Nanosecond},
	} {
		fixed, perRow := launching(c.runs)
		if (fixed-c.fixed).Abs() > time.Microsecond || (perRow-c.perRow).Abs() > time.Nanosecond {
			t.Errorf("%s: %v and %v a row; want %v and %v", c.about, fixed, perRow, c.fixed, c.perRow)
		}
	}
}

// What CUDA graphs could save at most: the share of a Run that does not grow with its
// rows, on tensors that stay on the device, one Run at a time. Docs/decisions/020 waits
// for these numbers.
func TestGPULaunchOverhead(t *testing.T) {
	lib := gpuLibrary(t)
	for _, c := range []struct {
		model   string
		kernels engine.Kernels
	}{
		{"flights_mlp", engine.KernelsAuto},
		{"flights_gbdt", engine.KernelsAuto},
		{"flights_gbdt", engine.KernelsONNXRuntime}, // dozens of launches a Run
	} {
		opts := engine.Options{
			Model: "../models/reference/" + c.model + ".onnx", Kernels: c.kernels, Inputs: []string{"../testdata/flights-sample.parquet", "../testdata/flights-sample.parquet"},
			Output: filepath.Join(t.TempDir(), "out"), Nulls: nanPolicy, Provider: ort.CUDA, Streams: 1,
		}
		plan, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		rig, err := engine.NewRig(t.Context(), plan, lib, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{1024, 4096, 16384, 65536}
		runs := make([]timedRun, 0, len(sizes))
		for _, rows := range sizes {
			best := time.Duration(math.MaxInt64)
			for range 5 {
				const each = 50 // Runs
				m, err := rig.Compute(t.Context(), rows, 1, 1, int64(each*rows))
				if err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Duration(float64(m.Elapsed)*float64(rows)/float64(m.Rows)))
			}
			runs = append(runs, timedRun{rows, best})
		}
		fixed, perRow := launching(runs)
		whole := runs[len(runs)-1].took
		t.Logf("%s, kernels %s: a Run takes %v and %v a row (%v): %.1f%% of a Run of 65,536 rows does not grow",
			c.model, c.kernels, fixed, perRow, runs, 100*fixed.Seconds()/whole.Seconds())
		if fixed <= 0 || perRow <= 0 || fixed >= whole {
			t.Errorf("%s: %v and %v a row cannot be of %v", c.model, fixed, perRow, runs)
		}
		if err := rig.Close(); err != nil {
			t.Error(err)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}
