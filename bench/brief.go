package bench

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/page"
)

// Brief says that whole runs were too short to measure: what they lack to the ceiling is
// starting and publishing, which costs the same for any number of rows.
type Brief struct {
	RunSeconds   float64 `json:"run_seconds"`
	StartSeconds float64 `json:"start_seconds"` // of these, what rows do not take at the ceiling
	EnoughRows   int64   `json:"enough_rows"`   // of which a run would tell
}

const (
	briefSeconds  = 0.25 // longer runs are told as they are
	briefShare    = 0.2  // of a run: less of starting is told as it is
	enoughSeconds = 2.0
)

// leaveBrief takes back what brief runs would say of the ceiling, of settings and of cost.
func (s *Summary) leaveBrief() {
	if s.EndToEnd == nil || s.Ceiling == nil {
		return
	}
	repeats := s.EndToEnd.counted()
	seconds := newEstimate(collect(repeats, func(r *Repeat) float64 { return r.Seconds })).Median
	rows := newEstimate(collect(repeats, func(r *Repeat) float64 { return float64(r.Rows) })).Median
	rate := s.Ceiling.RowsPerSecond.Median
	start := seconds - rows/rate
	if seconds >= briefSeconds || start < briefShare*seconds {
		return
	}
	enough := rate * enoughSeconds
	digit := math.Pow10(int(math.Log10(enough)))
	s.Brief = &Brief{RunSeconds: seconds, StartSeconds: start, EnoughRows: int64(math.Ceil(enough/digit) * digit)}
	for _, e := range []*Estimate{
		&s.OfCeiling, &s.OfBareInference, &s.OfExported, &s.AutoOfBestFixed, &s.AutoOfFixed1024,
		&s.RowsPerSecondPerCore, &s.RowsPerJoule, &s.RowsPerUnit,
	} {
		*e = Estimate{}
	}
}

// briefly says so; "" of runs that were long enough.
func briefly(s *Summary) string {
	if s.Brief == nil {
		return ""
	}
	return fmt.Sprintf("A whole run takes %s, of which %s are starting and publishing, so it does not tell how close to the ceiling rows go, "+
		"which settings are best, or what rows cost. Measure %s rows or more (--rows, or more --input).",
		page.Time(s.Brief.RunSeconds), page.Time(s.Brief.StartSeconds), humanize.Comma(s.Brief.EnoughRows))
}

func briefLine(s *Summary) string {
	if text := briefly(s); text != "" {
		return "BRIEF: " + text + "\n"
	}
	return ""
}
