package agreement

import "math"

// Kind says what is compared.
type Kind string

// The kinds.
const (
	Number Kind = "number" // one number a row, or the score of one class
	Label  Kind = "label"  // an integer, a text or a truth value
)

// Pair is a prediction of two models: columns of the output.
type Pair struct {
	Model      string `json:"model"` // the challenger
	Challenger string `json:"column"`
	Champion   string `json:"champion_column"`
	Kind       Kind   `json:"kind"`
}

// Summary is how far one prediction of two models agrees. Differences are the
// challenger's number less the champion's, of rows where that is finite. Numbers that
// cannot be said, as the correlation with a constant, are nil.
type Summary struct {
	Pair

	Rows  int64 `json:"rows"`       // compared: scored, and not null
	Equal int64 `json:"equal_rows"` // both say the same
	// NotFinite are rows where one model's number is NaN or infinite and the other's is
	// another.
	NotFinite int64 `json:"not_finite_rows"`

	Difference      *Difference `json:"difference,omitempty"` // of numbers
	Correlation     *float64    `json:"correlation,omitempty"`
	RankCorrelation *float64    `json:"rank_correlation,omitempty"` // on the sample
	PSI             *float64    `json:"psi,omitempty"`              // on the sample
	SampleRows      int         `json:"sample_rows,omitempty"`
}

// Difference is what differences come to.
type Difference struct {
	Rows         int64   `json:"rows"` // that have one: both numbers are finite
	Mean         float64 `json:"mean"`
	MeanAbsolute float64 `json:"mean_absolute"`
	Max          float64 `json:"max_absolute"`
	MaxFile      string  `json:"max_file"` // of the row that has it
	MaxRow       int64   `json:"max_row"`  // in that file, from 0
	// Quantiles are of the difference, and Absolute of its size.
	Quantiles []Quantile `json:"quantiles"`
	Absolute  []Quantile `json:"absolute_quantiles"`
}

// Quantile is the least number that a share Q of all do not exceed.
type Quantile struct {
	Q     float64 `json:"q"`
	Value float64 `json:"value"`
}

// The quantiles of a summary.
var (
	quantiles         = []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}
	absoluteQuantiles = []float64{0.5, 0.9, 0.95, 0.99, 0.999}
)

// EqualShare is the share of rows where both say the same; 1 where there are none.
func (s *Summary) EqualShare() float64 {
	if s.Rows == 0 {
		return 1
	}
	return float64(s.Equal) / float64(s.Rows)
}

// Summary is what a tally comes to; files are the paths of the input's files.
func (t *Tally) Summary(p Pair, files []string) Summary {
	s := Summary{Pair: p, Rows: t.Rows, Equal: t.Equal, NotFinite: t.Apart}
	m := &t.Moments
	if p.Kind != Number || m.Count == 0 {
		return s
	}
	d := &Difference{
		Rows: m.Count, Mean: m.Sum / float64(m.Count), MeanAbsolute: m.Absolute / float64(m.Count),
		Max: t.Largest.Difference, MaxFile: files[t.Largest.File], MaxRow: t.Largest.Row,
	}
	sizes := t.Bins.sizes()
	for _, q := range quantiles {
		d.Quantiles = append(d.Quantiles, Quantile{q, max(min(t.Bins.quantile(q), d.Max), -d.Max)})
	}
	for _, q := range absoluteQuantiles {
		d.Absolute = append(d.Absolute, Quantile{q, min(sizes.quantile(q), d.Max)})
	}
	s.Difference = d
	s.Correlation = said(m.correlation())
	a, b := t.Sample.sides()
	s.SampleRows = len(a)
	s.RankCorrelation = said(spearman(a, b))
	s.PSI = said(psi(a, b))
	return s
}

// said is a number that JSON can say, or nil.
func said(x float64, ok bool) *float64 {
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
