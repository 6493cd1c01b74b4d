package ledger

import (
	"time"

	"github.com/millrace/millrace/io/dataset"
)

// Interval is what time the inputs of a run are of: the days that their folders name, or
// their times of change where some name none.
type Interval struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// From and To are the first and the last of them, and empty where there is none: days
	// where Dated, else times.
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Dated bool   `json:"dated"` // by folders
}

// Interval is that of the manifest's inputs.
func (m *Manifest) Interval() Interval {
	i := Interval{Files: len(m.Inputs), Dated: len(m.Inputs) > 0}
	var folders, changes span
	for k := range m.Inputs {
		in := &m.Inputs[k]
		i.Bytes += in.Bytes
		if from, to, ok := dataset.Dated(in.Path); ok {
			folders.add(from, to.Add(-time.Nanosecond))
		} else {
			i.Dated = false
		}
		if !in.ModTime.IsZero() {
			changes.add(in.ModTime, in.ModTime)
		}
	}
	switch {
	case i.Dated:
		i.From, i.To = folders.from.UTC().Format(time.DateOnly), folders.to.UTC().Format(time.DateOnly)
	case !changes.from.IsZero():
		i.From, i.To = changes.from.UTC().Format(time.RFC3339), changes.to.UTC().Format(time.RFC3339)
	}
	return i
}

// span is the time from the first to the last of some.
type span struct{ from, to time.Time }

func (s *span) add(from, to time.Time) {
	if s.from.IsZero() || from.Before(s.from) {
		s.from = from
	}
	if to.After(s.to) {
		s.to = to
	}
}
