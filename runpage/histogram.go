package runpage

import (
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/internal/page"
)

// histogram is drawn in a box of 100 by 100, which the page stretches; texts stand outside
// of it.
type histogram struct {
	ID, Title, Desc string
	Columns         []column
	Outline         string // path of the run before; empty without one
	Ticks           []tick
	Top             string // the largest share
	Note            string
}

// column is one bar. Last is that of this run, in a trend.
type column struct {
	X, Y, Width, Height, Tip string
	Last                     bool
}

// tick is a place on the axis, in percent. Wide ones are left out where there is no room.
type tick struct {
	At, Label string
	Wide      bool
}

const columns = 48

// newHistogram lays the distribution of a run out, and that of the run before; nil where
// there are no numbers.
func newHistogram(id string, s, before *distribution.Summary) *histogram {
	all := cut(s)
	if len(all) == 0 {
		return nil
	}
	var old []distribution.Bin
	if before != nil && before.Min != nil && before.Max != nil {
		old = cut(before)
	}
	axis := newAxis(s, before)
	now, was := axis.shares(all), axis.shares(old)
	top := 0.0
	for i := range now {
		top = max(top, now[i], was[i])
	}
	h := &histogram{
		ID: id, Title: "Distribution of " + page.Plain(s.Column), Top: share1(top),
		Desc: fmt.Sprintf("Share of rows by value, from %s to %s; the numbers are in the table beside.", number(axis.from), number(axis.to)),
	}
	width := 100.0 / columns
	for i, share := range now {
		if share > 0 {
			height := max(100*share/top, 0.6) // what is there is seen
			h.Columns = append(h.Columns, column{
				X: place(float64(i)*width + 0.15), Y: place(100 - height), Width: place(width - 0.3), Height: place(height),
				Tip: fmt.Sprintf("%s to %s: %s of rows", number(axis.edge(i)), number(axis.edge(i+1)), share1(share)),
			})
		}
	}
	if old != nil {
		h.Outline = outline(was, top)
	}
	h.Ticks = axis.ticks()
	var out []string
	if *s.Min < axis.from {
		out = append(out, "the first bar has all that is less")
	}
	if *s.Max > axis.to {
		out = append(out, "the last bar has all that is more")
	}
	if len(out) > 0 {
		h.Note = strings.ToUpper(out[0][:1]) + strings.Join(out, ", ")[1:] + "."
	}
	return h
}

// cut gives the bins, the outer ones no wider than from the least value to the largest: one
// score in every row is one bar. Without numbers there are none.
func cut(s *distribution.Summary) []distribution.Bin {
	if s.Min == nil || s.Max == nil {
		return nil
	}
	bins := s.Bins()
	for i := range bins {
		bins[i].From, bins[i].To = max(bins[i].From, *s.Min), min(bins[i].To, *s.Max)
	}
	return bins
}

func place(v float64) string { return fmt.Sprintf("%.2f", v) }

// outline is the path of steps.
func outline(shares []float64, top float64) string {
	var b strings.Builder
	b.WriteString("M0 100")
	for i, share := range shares {
		y := 100 - 100*share/top
		fmt.Fprintf(&b, "V%.2fH%.2f", y, 100*float64(i+1)/float64(len(shares)))
	}
	b.WriteString("V100")
	return b.String()
}

// axis is the range of values that is drawn: what nearly all of both runs' have, so that
// a few far out do not squeeze the rest.
type axis struct {
	from, to float64
	step     float64 // between ticks
}

func newAxis(s, before *distribution.Summary) axis {
	low, high := span(s)
	if before != nil && before.Min != nil {
		l, h := span(before)
		low, high = min(low, l), max(high, h)
	}
	if low >= 0 && high <= 1 && high-low > 0.2 { // probabilities, most likely
		return axis{0, 1, 0.2}
	}
	if high <= low {
		around := max(math.Abs(low)*0.01, 1e-9)
		low, high = low-around, high+around
	}
	step := page.NiceStep(high - low)
	if low >= 0 && low < step {
		low = 0
	}
	return axis{math.Floor(low/step) * step, math.Ceil(high/step) * step, step}
}

// span is where nearly all rows lie: from the first percentile to the last, and a quarter of
// that to each side, but not beyond what there is.
func span(s *distribution.Summary) (low, high float64) {
	low, high = *s.Min, *s.Max
	a, b := quantile(s, 0.01), quantile(s, 0.99)
	if a == nil || b == nil || *b <= *a {
		return low, high
	}
	beside := (*b - *a) / 4
	return max(low, *a-beside), min(high, *b+beside)
}

func (a axis) edge(i int) float64 { return a.from + (a.to-a.from)*float64(i)/columns }

// shares puts the rows of bins into columns: those of a bin that several columns cross, by
// its width in each.
func (a axis) shares(bins []distribution.Bin) []float64 {
	out := make([]float64, columns)
	total := 0.0
	for _, b := range bins {
		total += float64(b.Rows)
	}
	at := func(v float64) float64 { return (v - a.from) / (a.to - a.from) * columns }
	for _, b := range bins {
		from, to := at(b.From), at(b.To)
		share := float64(b.Rows) / total
		first := min(max(int(math.Floor(from)), 0), columns-1)
		last := min(max(int(math.Ceil(to))-1, first), columns-1)
		if first == last || to-from <= 0 {
			out[first] += share
			continue
		}
		for i := first; i <= last; i++ {
			low, high := max(from, float64(i)), min(to, float64(i+1))
			if i == first {
				low = from
			}
			if i == last {
				high = to
			}
			out[i] += share * max(high-low, 0) / (to - from)
		}
	}
	return out
}

// ticks label the axis.
func (a axis) ticks() []tick {
	var out []tick
	n := max(int(math.Round((a.to-a.from)/a.step)), 1)
	for i := 0; i <= n; i++ {
		v := a.from + float64(i)*a.step
		if math.Abs(v) < a.step/1e6 {
			v = 0
		}
		out = append(out, tick{At: place(100 * float64(i) / float64(n)), Label: number(v), Wide: i%2 == 1 && n > 2})
	}
	return out
}
