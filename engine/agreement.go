package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/internal/nearest"
)

// ErrDisagree says that models agree less than the run's limits ask for.
var ErrDisagree = errors.New("models disagree")

// AgreementLimits are how far predictions of other models may be from those of the
// first for a run to be published; nil: any far. Each holds for every prediction that is
// compared, see agreement.Summary, and for every model.
type AgreementLimits struct {
	MaxMeanDifference  *float64 `json:"max_mean_difference,omitempty" doc:"most that the mean size of the difference may be"`
	MaxDifference      *float64 `json:"max_difference,omitempty" doc:"most that the difference may be in any row"`
	MinRankCorrelation *float64 `json:"min_rank_correlation,omitempty" doc:"least rank correlation (Spearman's), from -1 to 1"`
	MaxPSI             *float64 `json:"max_psi,omitempty" doc:"most that the population stability index may be, over the first model's deciles"`
	MinEqualLabels     *float64 `json:"min_equal_labels,omitempty" doc:"least share of rows with equal labels, from 0 to 1"`
}

// limit is one of them.
type limit struct {
	name        string // in a job file
	at          **float64
	value       *float64 // what it is set to
	kind        agreement.Kind
	least, most float64
	// atLeast says that it is a least value.
	atLeast bool
	of      func(*agreement.Summary) (got float64, ok bool)
}

func (l *AgreementLimits) all() []limit {
	pointed := func(x *float64) (float64, bool) {
		if x == nil {
			return 0, false
		}
		return *x, true
	}
	differs := func(get func(*agreement.Difference) float64) func(*agreement.Summary) (float64, bool) {
		return func(s *agreement.Summary) (float64, bool) {
			if s.Difference == nil || s.NotFinite > 0 {
				return 0, false
			}
			return get(s.Difference), true
		}
	}
	return []limit{
		{"max_mean_difference", &l.MaxMeanDifference, l.MaxMeanDifference, agreement.Number, 0, math.MaxFloat64, false, differs(func(d *agreement.Difference) float64 { return d.MeanAbsolute })},
		{"max_difference", &l.MaxDifference, l.MaxDifference, agreement.Number, 0, math.MaxFloat64, false, differs(func(d *agreement.Difference) float64 { return d.Max })},
		{"min_rank_correlation", &l.MinRankCorrelation, l.MinRankCorrelation, agreement.Number, -1, 1, true, func(s *agreement.Summary) (float64, bool) { return pointed(s.RankCorrelation) }},
		{"max_psi", &l.MaxPSI, l.MaxPSI, agreement.Number, 0, math.MaxFloat64, false, func(s *agreement.Summary) (float64, bool) { return pointed(s.PSI) }},
		{"min_equal_labels", &l.MinEqualLabels, l.MinEqualLabels, agreement.Label, 0, 1, true, func(s *agreement.Summary) (float64, bool) { return s.EqualShare(), true }},
	}
}

// Set sets a limit by its name.
func (l *AgreementLimits) Set(name string, value float64) error {
	for _, one := range l.all() {
		if one.name == name {
			*one.at = &value
			return nil
		}
	}
	return fmt.Errorf("no limit on agreement is named %q%s; there are %s", name, nearest.DidYouMean(name, LimitNames()), strings.Join(LimitNames(), ", "))
}

// LimitNames are the names of all limits, as a job file has them.
func LimitNames() (names []string) {
	for _, l := range (&AgreementLimits{}).all() {
		names = append(names, l.name)
	}
	return names
}

// validateLimits calls bad for each limit that is none.
func (o *Options) validateLimits(bad func(f string, args ...any)) {
	for _, l := range o.AgreementLimits.all() {
		switch {
		case l.value == nil:
		case len(o.Models) < 2:
			bad("limit %s is on the agreement of several models, and the run has one", l.name)
		case !(*l.value >= l.least && *l.value <= l.most):
			within := fmt.Sprintf("from %g to %g", l.least, l.most)
			if l.most == math.MaxFloat64 {
				within = "of 0 or more"
			}
			bad("limit %s (%g) must be a number %s", l.name, *l.value, within)
		}
	}
}

// checkLimitsApply refuses a limit on something that a model has none of: it would let
// anything pass.
func (p *Plan) checkLimitsApply(pairs []pairing) error {
	for _, l := range p.Options.AgreementLimits.all() {
		for i := 1; i < len(p.models) && l.value != nil; i++ {
			m := &p.models[i]
			if !slices.ContainsFunc(pairs, func(c pairing) bool { return c.Model == m.name && c.Kind == l.kind }) {
				return fmt.Errorf("%w: limit %s: no %s that model %q gives can be compared with one of %q; say which by the model's compare, or leave the limit out",
					ErrUsage, l.name, l.kind, m.name, p.models[0].name)
			}
		}
	}
	return nil
}

// checkAgreement returns an error that wraps ErrDisagree and has the numbers, where
// models agree less than the limits ask for.
func (o *Options) checkAgreement(all []agreement.Summary) error {
	var problems []error
	for _, l := range o.AgreementLimits.all() {
		for i := range all {
			s := &all[i]
			if l.value == nil || s.Kind != l.kind || s.Rows == 0 { // of no rows none differs: a night without any is no alarm
				continue
			}
			got, ok := l.of(s)
			if ok && (got == *l.value || got > *l.value == l.atLeast) {
				continue
			}
			is := strconv.FormatFloat(got, 'g', 6, 64)
			if !ok {
				is = "not a number"
				if s.NotFinite > 0 {
					is += fmt.Sprintf(", as in %d rows a prediction is NaN or infinite and the other model's is another", s.NotFinite)
				}
			}
			problems = append(problems, fmt.Errorf("%s beside %s: %s is %g, and it is %s", s.Challenger, s.Champion, l.name, *l.value, is))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDisagree, errors.Join(problems...))
}

// comparing is what a run's predictions come to, compared. Those of a part go with the
// part, into the journal too, and are added up as parts end: all but sums of floats,
// which are added in the order of the parts in the end.
type comparing struct {
	known   bool // pairs are
	pairs   []pairing
	left    []string // predictions of challengers that nothing is compared with
	total   []agreement.Tally
	moments [][]agreement.Moments // by part and pair
}

// partAgreement is what the journal's record of a part has of it.
type partAgreement struct {
	Pairs   []agreement.Pair  `json:"pairs"`
	Tallies []agreement.Tally `json:"tallies"`
}

// agreementBytes is at most what is held to compare models, once.
func (p *Plan) agreementBytes() int64 {
	pairs := 0
	for i := 1; i < len(p.models); i++ {
		for k := p.models[i].from; k < p.models[i].to; k++ {
			pairs += p.outputs[k].width()
		}
	}
	return int64(min(pairs, mostPairs)) * agreement.TallyBytes(p.Dataset.Rows())
}

// compared are the names of pairs.
func compared(pairs []pairing) []agreement.Pair {
	names := make([]agreement.Pair, len(pairs))
	for i := range pairs {
		names[i] = pairs[i].Pair
	}
	return names
}

// pairs are those of a run, known with the first result.
func (c *collector) pairs(outputs []outputSpec) ([]pairing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agree.known {
		return c.agree.pairs, nil
	}
	pairs, left, err := c.plan.pairs(outputs)
	if err != nil {
		return nil, err
	}
	if names := compared(pairs); c.agree.total != nil && !slices.Equal(compared(c.agree.pairs), names) {
		return nil, fmt.Errorf("%w: predictions %v are compared now, and %v were when the run began", ErrOutputShape, names, compared(c.agree.pairs))
	}
	c.agree.known, c.agree.pairs, c.agree.left = true, pairs, left
	return pairs, nil
}

// takeAgreement adds what was met in a finished part. The lock is held, or nobody else is
// at work.
func (c *collector) takeAgreement(part int, met *partAgreement) error {
	if met == nil {
		return nil
	}
	if len(met.Pairs) != len(met.Tallies) {
		return fmt.Errorf("%w: part %d compares %d predictions and counts %d", ErrInternal, part, len(met.Pairs), len(met.Tallies))
	}
	a := &c.agree
	if a.total == nil {
		a.total = make([]agreement.Tally, len(met.Pairs))
		for i := range a.total {
			a.total[i].Sample = agreement.NewSample(1, 1)
		}
		a.moments = make([][]agreement.Moments, len(c.plan.Parts))
		if !a.known {
			a.pairs = make([]pairing, len(met.Pairs))
			for i := range met.Pairs {
				a.pairs[i].Pair = met.Pairs[i]
			}
		}
	}
	if !slices.Equal(met.Pairs, compared(a.pairs)) {
		return fmt.Errorf("%w: predictions compared in part %d are %v, and %v in others", ErrOutputShape, part, met.Pairs, compared(a.pairs))
	}
	a.moments[part] = make([]agreement.Moments, len(met.Tallies))
	for i := range met.Tallies {
		a.moments[part][i] = met.Tallies[i].Moments
		a.total[i].Add(&met.Tallies[i])
	}
	return nil
}

// agreed sums up how far models agree, once all parts are there; the error wraps
// ErrDisagree.
func (c *collector) agreed() error {
	a := &c.agree
	if len(c.plan.models) < 2 {
		return nil
	}
	files := make([]string, 0, len(c.plan.Dataset.Files()))
	for _, f := range c.plan.Dataset.Files() {
		files = append(files, f.Path)
	}
	c.plan.agreement = []agreement.Summary{}
	for i := range a.total {
		t := &a.total[i]
		t.Moments = agreement.Moments{}
		for _, of := range a.moments {
			if of != nil {
				t.Moments.Add(of[i])
			}
		}
		if t.Largest.File >= len(files) {
			return fmt.Errorf("%w: the largest difference is in file %d of %d", ErrInternal, t.Largest.File, len(files))
		}
		c.plan.agreement = append(c.plan.agreement, t.Summary(a.pairs[i].Pair, files))
	}
	return c.plan.Options.checkAgreement(c.plan.agreement)
}

// compare takes in the predictions of a result that models are compared by.
func (w *partWriter) compare(res *result) error {
	if len(w.collector.plan.models) < 2 {
		return nil
	}
	pairs, err := w.collector.pairs(res.outputs)
	if err != nil {
		return err
	}
	if w.agree == nil {
		w.agree = w.newAgreement(pairs)
	}
	a := w.agree
	a.rows.Reset(a.met.Tallies)
	for i := range res.batch.Segments {
		a.add(&res.batch.Segments[i])
	}
	var out []bool
	if len(res.rejects) > 0 {
		out = make([]bool, res.batch.Rows)
		for _, r := range res.rejects {
			out[r.Row] = true
		}
	}
	for i := range pairs {
		p, t := &pairs[i], &a.met.Tallies[i]
		if p.Kind == agreement.Label {
			t.AddLabels(sameLabels(res.predictions[p.champion.column], res.predictions[p.challenger.column], out))
			continue
		}
		for row := 0; row < res.batch.Rows; row += rowsCompared {
			rows := min(rowsCompared, res.batch.Rows-row)
			a.champion = p.champion.numbers(res.predictions, row, rows, a.champion)
			a.challenger = p.challenger.numbers(res.predictions, row, rows, a.challenger)
			t.AddNumbers(agreement.Numbers{Champion: a.champion, Challenger: a.challenger, Rows: &a.rows, First: row, Out: out})
		}
	}
	return nil
}

// rowsCompared are those that are compared at a time: 16 KiB of both models' numbers.
const rowsCompared = 1024

// writerAgreement is what a part's writer compares predictions with.
type writerAgreement struct {
	met                  partAgreement
	rows                 agreement.Rows
	champion, challenger []float64
}

// add notes where the rows of a segment lie.
func (a *writerAgreement) add(s *batcher.Segment) {
	if s.Numbers == nil {
		a.rows.Append(s.Origin.File, s.Origin.Row, s.Rows)
		return
	}
	for r := range s.Rows {
		a.rows.Append(s.Origin.File, s.At(r).Row, 1)
	}
}

func (w *partWriter) newAgreement(pairs []pairing) *writerAgreement {
	plan := w.collector.plan
	var rows int64
	for _, s := range plan.Parts[w.number].Spans {
		rows += s.Rows
	}
	a := &writerAgreement{met: partAgreement{Pairs: compared(pairs), Tallies: make([]agreement.Tally, len(pairs))}}
	for i := range a.met.Tallies {
		a.met.Tallies[i].Sample = agreement.NewSample(rows, plan.Dataset.Rows())
	}
	return a
}

// metAgreement is what was compared in the part; nil where nothing was.
func (w *partWriter) metAgreement() *partAgreement {
	if w.agree == nil {
		return nil
	}
	return &w.agree.met
}
