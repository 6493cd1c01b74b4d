package distribution

import "math"

// MostColumns is of how many columns a run keeps a summary: the first. Each costs time
// for every row, and some kilobytes in the manifest.
const MostColumns = 64

// shownLabels is how many labels a summary names; the others are one number.
const shownLabels = 20

// Summary is how the values of one column of predictions are distributed, of the rows
// that were written. Numbers that cannot be said are nil.
type Summary struct {
	Column string `json:"column"`
	Kind   Kind   `json:"kind"`
	Rows   int64  `json:"rows"`
	Nulls  int64  `json:"nulls"`

	// Of numbers. Infinities are those of a size above 1e140, too; neither they nor NaNs
	// are in what follows.
	NaNs       int64    `json:"nans,omitempty"`
	Infinities int64    `json:"infinities,omitempty"`
	Min        *float64 `json:"min,omitempty"`
	Max        *float64 `json:"max,omitempty"`
	Mean       *float64 `json:"mean,omitempty"`
	SD         *float64 `json:"sd,omitempty"` // of a sample: by n - 1
	// Quantiles are each within RelativeError of the number that a share Q of the others
	// stand before, by size: the one at place Q * (n - 1).
	Quantiles []Quantile `json:"quantiles,omitempty"`
	// Sketch counts the numbers in bins, in DDSketch's encoding; see package comment.
	Sketch []byte `json:"sketch,omitempty"`

	// Of labels: those of most rows, the rows of all others, and how many different ones
	// there are; none of it where there are more than MostLabels.
	Labels     []LabelCount `json:"labels,omitempty"`
	OtherRows  int64        `json:"other_rows,omitempty"`
	Distinct   int          `json:"distinct,omitempty"`
	ManyLabels bool         `json:"many_labels,omitempty"`
}

// Quantile is a number, and the share of others before it.
type Quantile struct {
	Q     float64 `json:"q"`
	Value float64 `json:"value"`
}

var quantiles = []float64{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999}

// Summary is what a column's tally comes to, with the moments of all parts.
func (t *Tally) Summary(column string, moments Moments) (Summary, error) {
	s := Summary{Column: column, Kind: t.kind, Rows: t.rows, Nulls: t.nulls, NaNs: t.nans, Infinities: t.endless}
	if t.kind == Label {
		s.setLabels(&t.labels)
		return s, nil
	}
	if t.least > t.most {
		return s, nil
	}
	s.Min, s.Max = &t.least, &t.most
	s.Mean, s.SD = said(moments.Mean), said(moments.deviation())
	all, met, at := t.bins.inOrder(), int64(0), -1
	for _, q := range quantiles {
		for place := int64(q * float64(t.bins.count()-1)); met <= place; {
			at++
			met += all[at].Rows
		}
		middle := (all[at].From + all[at].To) / 2
		s.Quantiles = append(s.Quantiles, Quantile{q, max(min(middle, t.most), t.least)})
	}
	var err error
	s.Sketch, err = t.bins.encode()
	return s, err
}

func (s *Summary) setLabels(l *labels) {
	all := l.all()
	s.ManyLabels, s.Distinct = l.many, len(all)
	for _, more := range all[min(len(all), shownLabels):] {
		s.OtherRows += more.Rows
	}
	s.Labels = all[:min(len(all), shownLabels)]
}

// Median is the quantile of one half; ok is false where there is none.
func (s *Summary) Median() (median float64, ok bool) {
	for _, q := range s.Quantiles {
		if q.Q == 0.5 {
			return q.Value, true
		}
	}
	return 0, false
}

// said is a number that JSON can say, or nil.
func said(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
