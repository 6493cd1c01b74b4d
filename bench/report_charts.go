package bench

import (
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/page"
)

// Charts are laid out here and drawn by report.html.tmpl. Across, positions are
// percentages, so that a chart fills a phone and a desk without scaling its
// text; down, they are CSS pixels.

// lineChart is a quantity against the batch size, on a logarithmic axis.
type lineChart struct {
	ID, Title, Desc string
	Height          string
	YTicks, XTicks  []tick
	Stopped         bool // some points are of arms that were given up
	Series          []*series
	Marks           []point // what auto chose
	Lines           []tick  // levels to compare with
}

// tick is a place on an axis. Wide ones are left out where there is no room.
type tick struct {
	At, Label string
	Wide      bool
}

// series is one line of a chart. Class names its colour and mark.
type series struct {
	Class, Label string
	Thin         bool
	Segments     []segment
	Points       []point
}

type segment struct{ X1, Y1, X2, Y2 string }

// point is one measured value. Open marks those of arms that were given up.
type point struct {
	X, Y, Low, High, Class, Tip string
	Open                        bool
}

// sample is a point before it has a place.
type sample struct {
	rows             int
	value, low, high float64
	stopped          bool
}

// curve is a series before it has a place.
type curve struct {
	label   string
	thin    bool
	samples []sample
}

const (
	tall, low = 300.0, 190.0 // pixels
	maxCurves = 6            // as many as there are colours and marks; the tables have all
)

func px(v float64) string { return fmt.Sprintf("%.1f", v) }

// newLineChart lays curves out; nil when there is nothing to draw. Levels and
// chosen may be empty.
func newLineChart(id, title string, height float64, curves []curve, chosen []sample, levels []float64, write func(float64) string, ticks func(most float64) (step float64)) *lineChart {
	var rows []int
	most := 0.0
	for _, c := range curves {
		for _, s := range c.samples {
			rows, most = append(rows, s.rows), max(most, s.high)
		}
	}
	for _, s := range chosen {
		rows, most = append(rows, s.rows), max(most, s.high)
	}
	if rows = slices.DeleteFunc(rows, func(n int) bool { return n < 1 }); len(rows) == 0 {
		return nil
	}
	for _, level := range levels {
		most = max(most, level)
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	first, last := math.Log2(float64(rows[0])), math.Log2(float64(rows[len(rows)-1]))
	x := func(n int) float64 {
		if first == last {
			return 50
		}
		return 3 + 94*(math.Log2(float64(n))-first)/(last-first)
	}
	step := ticks(most)
	top := step * math.Ceil(most/step)
	y := func(v float64) float64 { return height * (1 - v/top) }

	c := &lineChart{ID: id, Title: title, Height: px(height)}
	for v := 0.0; v <= top*1.0001; v += step {
		label := write(v)
		if v == 0 {
			label = "0"
		}
		c.YTicks = append(c.YTicks, tick{At: px(y(v)), Label: label})
	}
	c.XTicks = batchTicks(rows, x)
	place := func(s sample, class, tip string) point {
		if s.stopped {
			tip += ", given up"
		}
		return point{X: px(x(s.rows)), Y: px(y(s.value)), Low: px(y(s.low)), High: px(y(s.high)), Class: class, Tip: tip, Open: s.stopped}
	}
	for i, cv := range curves {
		out := &series{Class: fmt.Sprintf("c%d", i+1), Label: cv.label, Thin: cv.thin}
		for j, s := range cv.samples {
			if s.rows < 1 {
				continue
			}
			c.Stopped = c.Stopped || s.stopped
			p := place(s, out.Class, fmt.Sprintf("%s: %s rows a batch, %s (%s–%s)", cv.label, humanize.Comma(int64(s.rows)), write(s.value), write(s.low), write(s.high)))
			if out.Points = append(out.Points, p); j > 0 && len(out.Points) > 1 {
				q := out.Points[len(out.Points)-2]
				out.Segments = append(out.Segments, segment{q.X, q.Y, p.X, p.Y})
			}
		}
		c.Series = append(c.Series, out)
	}
	for _, s := range chosen {
		if s.rows > 0 {
			c.Marks = append(c.Marks, place(s, "auto", fmt.Sprintf("chosen by auto: %s rows a batch, %s", humanize.Comma(int64(s.rows)), write(s.value))))
		}
	}
	for _, level := range levels {
		c.Lines = append(c.Lines, tick{At: px(y(level)), Label: write(level)})
	}
	return c
}

// batchTicks labels the batch sizes that were measured, as many as fit.
func batchTicks(rows []int, x func(int) float64) []tick {
	var out []tick
	wide, narrow := math.Inf(-1), math.Inf(-1)
	for _, n := range rows {
		at := x(n)
		if at-wide < 8 {
			continue
		}
		t := tick{At: px(at), Label: humanize.Comma(int64(n)), Wide: at-narrow < 18}
		if wide = at; !t.Wide {
			narrow = at
		}
		out = append(out, t)
	}
	return out
}

// niceBytes divides 0 to most by a power of two.
func niceBytes(most float64) float64 { return math.Pow(2, math.Ceil(math.Log2(most/5))) }

// throughputChart is rows/s against the batch size: end to end, and inference
// alone for the fastest combinations of workers, threads and provider.
func throughputChart(id string, s *Summary) *lineChart {
	type combination struct {
		provider       string
		workers, intra int
		whole          bool
	}
	samples := map[combination][]sample{}
	fastest := map[combination]float64{}
	providers := map[string]bool{}
	for _, a := range s.Arms {
		if a.Stage != StageInfer && (a.Stage != StageEndToEnd || a.Chosen) {
			continue
		}
		key := combination{a.Provider, a.Workers, a.IntraOpThreads, a.Stage == StageEndToEnd}
		samples[key] = append(samples[key], sampleOf(a))
		fastest[key] = max(fastest[key], a.RowsPerSecond.Median)
		providers[a.Provider] = true
	}
	keys := make([]combination, 0, len(samples))
	for key := range samples {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b combination) int {
		switch {
		case a.whole != b.whole:
			return map[bool]int{true: -1, false: 1}[a.whole]
		case fastest[a] != fastest[b]:
			return map[bool]int{true: -1, false: 1}[fastest[a] > fastest[b]]
		default:
			return compareArms(Arm{a.provider, 0, a.workers, a.intra}, Arm{b.provider, 0, b.workers, b.intra})
		}
	})
	keys = keys[:min(len(keys), maxCurves)]
	curves := make([]curve, 0, len(keys))
	for _, key := range keys {
		label := "inference alone"
		if key.whole {
			label = "end to end"
		}
		label += ", " + page.Number(key.workers, "worker")
		if key.intra > 1 {
			label += fmt.Sprintf(", intra %d", key.intra)
		}
		if len(providers) > 1 {
			label += ", " + page.Plain(key.provider)
		}
		curves = append(curves, curve{label: label, thin: !key.whole, samples: samples[key]})
	}
	var chosen []sample
	if a := s.Auto; a != nil {
		chosen = []sample{sampleOf(a)}
	}
	var levels []float64
	if c := s.Ceiling; c != nil && s.EndToEnd != nil {
		levels = []float64{c.RowsPerSecond.Median}
	}
	c := newLineChart(id, "Rows a second against batch size", tall, curves, chosen, levels, page.Count, page.NiceStep)
	if c != nil {
		c.Desc = fmt.Sprintf("%d lines over batch sizes from %s to %s rows; the numbers are in the table of all numbers.",
			len(c.Series), c.XTicks[0].Label, c.XTicks[len(c.XTicks)-1].Label)
	}
	return c
}

func sampleOf(a *ArmSummary) sample {
	e := a.RowsPerSecond
	return sample{a.BatchRows, e.Median, e.Low, e.High, a.Stopped != nil}
}

// memoryChart is peak memory against the batch size: end to end, or where that
// was not measured, inference alone.
func memoryChart(id string, s *Summary) *lineChart {
	of := func(stage Stage) map[string][]sample {
		at := map[string][]sample{}
		for _, a := range s.Arms {
			if a.Stage == stage && !a.Chosen && a.PeakMemoryBytes > 0 {
				label := stageName(stage) + ", " + page.Number(a.Workers, "worker")
				if a.Provider != "cpu" {
					label += ", " + page.Plain(a.Provider)
				}
				if v := float64(a.PeakMemoryBytes); len(at[label]) == 0 || at[label][len(at[label])-1].rows != a.BatchRows {
					at[label] = append(at[label], sample{rows: a.BatchRows, value: v, low: v, high: v})
				}
			}
		}
		return at
	}
	at := of(StageEndToEnd)
	if len(at) == 0 {
		at = of(StageInfer)
	}
	var curves []curve
	for _, label := range slices.Sorted(func(yield func(string) bool) {
		for label := range at {
			if !yield(label) {
				return
			}
		}
	}) {
		if len(curves) < maxCurves {
			curves = append(curves, curve{label: label, samples: at[label]})
		}
	}
	var chosen []sample
	if a := s.Auto; a != nil && a.PeakMemoryBytes > 0 {
		v := float64(a.PeakMemoryBytes)
		chosen = []sample{{rows: a.BatchRows, value: v, low: v, high: v}}
	}
	c := newLineChart(id, "Peak memory against batch size", low, curves, chosen, nil, func(v float64) string { return page.Memory(int64(v)) }, niceBytes)
	if c != nil {
		c.Desc = "The most memory that the process held, of all repeats."
	}
	return c
}
