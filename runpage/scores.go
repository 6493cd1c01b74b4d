package runpage

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/internal/page"
)

// scores is how one column of predictions is distributed, beside the run before.
type scores struct {
	Column, Say string
	Chart       *histogram
	Labels      *page.Bars
	Compared    bool
	Rows        []scoreRow
	Word        string // what the index says
	Absent      string // why there is nothing to compare with
}

// scoreRow is one number of this run and of the run before.
type scoreRow struct{ Name, Now, Before, Change string }

// Thresholds of the population stability index, as they are usually read (Siddiqi, Credit
// Risk Scorecards, 2006).
const (
	psiSome  = 0.1
	psiLarge = 0.25
)

// psiWord says what an index means.
func psiWord(psi float64) string {
	switch {
	case psi < psiSome:
		return "no shift to speak of"
	case psi < psiLarge:
		return "some shift"
	default:
		return "a large shift"
	}
}

// psiText writes an index; what is nearly none is noise.
func psiText(psi float64) string {
	if psi < 0.001 {
		return "below 0.001"
	}
	return page.Significant(psi)
}

// number writes a value of a prediction.
func number(v float64) string {
	text := strconv.FormatFloat(v, 'g', 4, 64)
	if a := math.Abs(v); a >= 1e-4 && a < 1e7 {
		text = strconv.FormatFloat(v, 'f', max(0, 3-int(math.Floor(math.Log10(a)))), 64)
		if whole, fraction, ok := strings.Cut(text, "."); ok {
			text = strings.TrimSuffix(whole+"."+strings.TrimRight(fraction, "0"), ".")
		} else if n, err := strconv.ParseInt(text, 10, 64); err == nil && a >= 1e4 {
			text = humanize.Comma(n)
		}
	}
	return strings.ReplaceAll(text, "-", "−")
}

// change writes a difference with its sign.
func change(before, now float64) string {
	d := now - before
	if d == 0 {
		return "0"
	}
	sign := "+"
	if d < 0 {
		sign = "−"
	}
	whole := before == math.Trunc(before) && now == math.Trunc(now) // of counts
	if a := math.Abs(d); (whole || a >= 1000) && a < 1e15 {
		return sign + page.Whole(a)
	}
	return sign + strings.ReplaceAll(page.Significant(math.Abs(d)), "-", "−")
}

// before is the same column of the run before; nil where that says nothing of it.
func (a *Account) before(column string) *distribution.Summary {
	if a.Before == nil {
		return nil
	}
	for i := range a.Before.Predictions {
		if s := &a.Before.Predictions[i]; s.Column == column {
			return s
		}
	}
	return nil
}

// whyNotCompared says why a column has nothing to be compared with.
func (a *Account) whyNotCompared() string {
	switch {
	case a.Before == nil && a.BeforeMissing != "":
		return "Not compared: of the run before, " + a.BeforeMissing + "."
	case a.Before == nil:
		return "" // the first screen says so
	case a.Before.Predictions == nil:
		return "Not compared: the run before did not record how its predictions are distributed."
	default:
		return "Not compared: the run before has no such column."
	}
}

// newScores describes a column.
func newScores(id string, a *Account, s *distribution.Summary) *scores {
	before := a.before(s.Column)
	if before != nil && before.Kind != s.Kind {
		before = nil
	}
	v := &scores{Column: page.Plain(s.Column), Compared: before != nil}
	if before == nil {
		v.Absent = a.whyNotCompared()
	} else if psi, ok := distribution.PSI(before, s); ok {
		v.Word = fmt.Sprintf("PSI %s against the run before: %s.", psiText(psi), psiWord(psi))
	}
	add := func(name string, of func(s *distribution.Summary) (text string, value *float64)) {
		row := scoreRow{Name: name, Before: page.Unknown, Change: page.Unknown}
		text, now := of(s)
		if text == "" {
			return
		}
		row.Now = text
		if before != nil {
			var was *float64
			if row.Before, was = of(before); row.Before == "" {
				row.Before = page.Unknown
			}
			if now != nil && was != nil {
				row.Change = change(*was, *now)
			}
		}
		v.Rows = append(v.Rows, row)
	}
	add("rows", countOf(func(s *distribution.Summary) int64 { return s.Rows }))
	if s.Nulls > 0 || before != nil && before.Nulls > 0 {
		add("nulls", countOf(func(s *distribution.Summary) int64 { return s.Nulls }))
	}
	switch s.Kind {
	case distribution.Number:
		v.addNumbers(add, s, before)
		v.Chart = newHistogram(id, s, before)
	case distribution.Label:
		add("different labels", func(s *distribution.Summary) (string, *float64) {
			if s.ManyLabels {
				return "more than " + humanize.Comma(distribution.MostLabels), nil
			}
			n := float64(s.Distinct)
			return humanize.Comma(int64(s.Distinct)), &n
		})
		v.Labels = labelBars(s, before)
		if before != nil && len(before.Labels) > 0 {
			v.Say = "The mark on a bar is the share in the run before."
		}
		if s.ManyLabels {
			v.Say = fmt.Sprintf("It has more than %s different labels, or one that is very long: none is counted.", humanize.Comma(distribution.MostLabels))
		}
	case distribution.List:
		v.Say = "Several values a row: their distribution is not recorded."
	}
	return v
}

// countOf is a row about a count.
func countOf(of func(s *distribution.Summary) int64) func(s *distribution.Summary) (string, *float64) {
	return func(s *distribution.Summary) (string, *float64) {
		n := float64(of(s))
		return humanize.Comma(of(s)), &n
	}
}

// addNumbers adds the rows about numbers.
func (v *scores) addNumbers(add func(string, func(*distribution.Summary) (string, *float64)), s, before *distribution.Summary) {
	for _, odd := range []struct {
		name string
		of   func(s *distribution.Summary) int64
	}{
		{"NaN", func(s *distribution.Summary) int64 { return s.NaNs }},
		{"infinite", func(s *distribution.Summary) int64 { return s.Infinities }},
	} {
		if odd.of(s) > 0 || before != nil && odd.of(before) > 0 {
			add(odd.name, countOf(odd.of))
		}
	}
	said := func(of func(s *distribution.Summary) *float64) func(*distribution.Summary) (string, *float64) {
		return func(s *distribution.Summary) (string, *float64) {
			x := of(s)
			if x == nil {
				return "", nil
			}
			return number(*x), x
		}
	}
	add("mean", said(func(s *distribution.Summary) *float64 { return s.Mean }))
	add("standard deviation", said(func(s *distribution.Summary) *float64 { return s.SD }))
	add("least", said(func(s *distribution.Summary) *float64 { return s.Min }))
	for _, q := range []struct {
		q    float64
		name string
	}{{0.01, "1%"}, {0.05, "5%"}, {0.25, "25%"}, {0.5, "median"}, {0.75, "75%"}, {0.95, "95%"}, {0.99, "99%"}} {
		add(q.name, said(func(s *distribution.Summary) *float64 { return quantile(s, q.q) }))
	}
	add("largest", said(func(s *distribution.Summary) *float64 { return s.Max }))
}

// quantile is a recorded one; nil where there is none.
func quantile(s *distribution.Summary, q float64) *float64 {
	for i := range s.Quantiles {
		if s.Quantiles[i].Q == q {
			return &s.Quantiles[i].Value
		}
	}
	return nil
}

// labelBars are the shares of labels, of the run before, too.
func labelBars(s, before *distribution.Summary) *page.Bars {
	if len(s.Labels) == 0 {
		return nil
	}
	was := map[string]int64{}
	most, rows, rowsBefore := 0.0, float64(max(s.Rows-s.Nulls, 1)), 1.0
	if before != nil {
		rowsBefore = float64(max(before.Rows-before.Nulls, 1))
		for _, l := range before.Labels {
			was[l.Label] = l.Rows
		}
	}
	for _, l := range s.Labels {
		most = max(most, float64(l.Rows)/rows, float64(was[l.Label])/rowsBefore)
	}
	b := &page.Bars{}
	bar := func(name string, n int64) {
		share := float64(n) / rows
		b.Rows = append(b.Rows, page.Bar{
			Label: name, Note: humanize.Comma(n) + " rows", Value: share1(share),
			Parts: []page.BarPart{{Class: "now", X: "0", Width: page.Percentage(share, most), Tip: fmt.Sprintf("%s: %s rows, %s", name, humanize.Comma(n), share1(share))}},
		})
	}
	for _, l := range s.Labels {
		name := page.Plain(l.Label)
		if l.Label == "" {
			name = "(empty)"
		}
		bar(name, l.Rows)
		if n, ok := was[l.Label]; ok {
			row := &b.Rows[len(b.Rows)-1]
			row.Note += ", before " + share1(float64(n)/rowsBefore)
			at := page.Percentage(float64(n)/rowsBefore, most)
			row.Low, row.High = at, at
		}
	}
	if s.OtherRows > 0 {
		bar(humanize.Comma(int64(s.Distinct-len(s.Labels)))+" others", s.OtherRows)
	}
	return b
}

// share1 writes a share in percent, and never none where there is some.
func share1(share float64) string {
	switch p := share * 100; {
	case share <= 0:
		return "0%"
	case p < 0.01:
		return "<0.01%"
	case p < 1:
		return fmt.Sprintf("%.2f%%", p)
	case p > 99.95 && share < 1:
		return "99.9%"
	case share >= 1:
		return "100%"
	default:
		return fmt.Sprintf("%.1f%%", p)
	}
}
