package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/millrace/millrace/engine/agreement"
)

// agreementText writes how far models agree: a table of numbers and one of labels; names
// are what it calls input files.
func agreementText(b *strings.Builder, w io.Writer, all []agreement.Summary, left []string, names map[string]string) {
	if len(all) == 0 && len(left) == 0 {
		return
	}
	b.WriteString("\nHow far models agree\n")
	numbers, labels := newTable(w), newTable(w)
	numbers.AppendHeader(table.Row{"prediction", "beside", "mean difference", "mean size", "size p50", "p90", "p99", "largest", "in row", "rank correlation", "psi"})
	labels.AppendHeader(table.Row{"label", "beside", "rows", "equal", "share"})
	sampled := 0
	for i := range all {
		s := &all[i]
		if s.Kind == agreement.Label {
			labels.AppendRow(table.Row{s.Challenger, s.Champion, humanize.Comma(s.Rows), humanize.Comma(s.Equal), fmt.Sprintf("%.4f%%", 100*s.EqualShare())})
			continue
		}
		numbers.AppendRow(differenceRow(s, names))
		if s.Difference != nil && int64(s.SampleRows) < s.Difference.Rows {
			sampled = s.SampleRows
		}
	}
	if numbers.Length() > 0 {
		b.WriteString(numbers.Render() + "\n")
	}
	if labels.Length() > 0 {
		b.WriteString(labels.Render() + "\n")
	}
	for i := range all {
		if s := &all[i]; s.NotFinite > 0 {
			fmt.Fprintf(b, "%s: in %s rows a prediction is NaN or infinite and the other model's is another; they count in no difference\n", s.Challenger, humanize.Comma(s.NotFinite))
		}
	}
	if sampled > 0 {
		fmt.Fprintf(b, "Rank correlation and PSI are of a sample of %s rows.\n", humanize.Comma(int64(sampled)))
	}
	if len(left) > 0 {
		fmt.Fprintf(b, "Compared with nothing: %s.\n", firstOf(left, leftShown, ""))
	}
}

// leftShown is how many predictions that are not compared are named.
const leftShown = 8

// differenceRow is the row of a number.
func differenceRow(s *agreement.Summary, names map[string]string) table.Row {
	row := table.Row{s.Challenger, s.Champion}
	d := s.Difference
	if d == nil {
		return append(row, "none", "", "", "", "", "", "", "", "")
	}
	row = append(row, short(d.Mean), short(d.MeanAbsolute))
	for _, q := range d.Absolute {
		switch q.Q {
		case 0.5, 0.9, 0.99:
			row = append(row, short(q.Value))
		}
	}
	at := fmt.Sprintf("%s of %s", humanize.Comma(d.MaxRow), cell(cmp.Or(names[d.MaxFile], d.MaxFile), 48))
	return append(row, short(d.Max), at, said(s.RankCorrelation), said(s.PSI))
}

// short is a number for people.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 4, 64) }

// said is a number that may not be one.
func said(x *float64) string {
	if x == nil {
		return "none"
	}
	return short(*x)
}
