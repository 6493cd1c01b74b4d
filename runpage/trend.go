package runpage

import (
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

// trend is the last runs of the output, oldest first.
type trend struct {
	Rows  []trendRow
	Lines []trendLine
}

type trendRow struct{ Run, Finished, Model, Read, Rejected, Took string }

// trendLine is one quantity of the runs, a column each.
type trendLine struct {
	Title, Last string
	Columns     []column
}

// newTrend is nil where there is one run alone.
func newTrend(a *Account) *trend {
	if len(a.Chain) < 2 {
		return nil
	}
	t := &trend{}
	for _, q := range []struct {
		title string
		of    func(m *ledger.Manifest) (float64, string)
	}{
		{"rows read", func(m *ledger.Manifest) (float64, string) {
			return float64(m.Ledger.Read), humanize.Comma(m.Ledger.Read)
		}},
		{"rejected", func(m *ledger.Manifest) (float64, string) {
			return float64(m.Ledger.Rejected) / float64(max(m.Ledger.Read, 1)), rejectShare(&m.Ledger)
		}},
		{"took", func(m *ledger.Manifest) (float64, string) { return seconds(m), page.Time(seconds(m)) }},
	} {
		t.Lines = append(t.Lines, newTrendLine(q.title, a.Chain, q.of))
	}
	for _, m := range slices.Backward(a.Chain) {
		t.Rows = append(t.Rows, trendRow{
			Run: page.Plain(m.Run), Finished: moment(m.Finished), Model: short(m.Model.SHA256),
			Read: humanize.Comma(m.Ledger.Read), Rejected: fmt.Sprintf("%s (%s)", humanize.Comma(m.Ledger.Rejected), rejectShare(&m.Ledger)), Took: page.Time(seconds(m)),
		})
	}
	return t
}

func newTrendLine(title string, chain []*ledger.Manifest, of func(m *ledger.Manifest) (float64, string)) trendLine {
	most := 0.0
	for _, m := range chain {
		v, _ := of(m)
		most = max(most, v)
	}
	l := trendLine{Title: title}
	width := 100.0 / chainRuns
	for i, m := range chain {
		v, text := of(m)
		height := 0.0
		if most > 0 {
			height = max(100*v/most, 1)
		}
		at := 100 - width*float64(len(chain)-i)
		l.Columns = append(l.Columns, column{X: place(at + width*0.1), Y: place(100 - height), Width: place(width * 0.8), Height: place(height), Tip: moment(m.Finished) + ": " + text, Last: i == len(chain)-1})
		l.Last = text
	}
	return l
}
