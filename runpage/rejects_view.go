package runpage

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
	"github.com/millrace/millrace/io/dataset"
)

// rejectsView are the rejected rows as the page shows them.
type rejectsView struct {
	Say     string
	Reasons []reasonRow
	IDs     []string
	Samples []sampleRow
	Privacy string
}

type reasonRow struct{ Reason, Column, Stage, Rows, Share string }

type sampleRow struct {
	Reason, Column, File, Row string
	IDs                       []string
}

// shownExamples bounds the examples of all reasons.
const shownExamples = 15

// newRejectsView is nil where no row was rejected.
func newRejectsView(a *Account) *rejectsView {
	r := a.Rejects
	if r == nil {
		return nil
	}
	v := &rejectsView{}
	if r.Elsewhere {
		v.Say = "The rejected rows are here: " + page.PlainTo(a.RejectsPath, 300) + "."
		return v
	}
	if r.Unread != "" {
		v.Say = "The rejected rows cannot be read: " + page.PlainTo(r.Unread, 300) + "."
		return v
	}
	if r.Counted < r.Rows {
		v.Say = fmt.Sprintf("Of %s, the first %s are counted.", rowsText(r.Rows, "rejected row"), humanize.Comma(r.Counted))
	}
	for _, id := range r.IDs {
		v.IDs = append(v.IDs, page.Plain(id))
	}
	names := InputNames(a.Manifest)
	for i := range r.Reasons {
		reason := &r.Reasons[i]
		row := reasonRow{
			Reason: page.PlainTo(reason.Reason, 200), Column: page.Plain(reason.Column), Stage: page.Plain(reason.Stage),
			Rows: humanize.Comma(reason.Rows), Share: share1(float64(reason.Rows) / float64(max(r.Counted, 1))),
		}
		if row.Column == "" {
			row.Column = page.Unknown
		}
		v.Reasons = append(v.Reasons, row)
		for _, e := range reason.Examples {
			if len(v.Samples) < shownExamples {
				v.Samples = append(v.Samples, newSample(&row, &e, names))
			}
		}
	}
	if r.Others > 0 {
		v.Reasons = append(v.Reasons, reasonRow{"other reasons", page.Unknown, page.Unknown, humanize.Comma(r.Others), share1(float64(r.Others) / float64(max(r.Counted, 1)))})
	}
	v.Privacy = "Of rejected rows the page shows file, row and no other values; "
	if len(v.IDs) > 0 {
		v.Privacy = "Of rejected rows the page shows file, row and ids (" + strings.Join(v.IDs, ", ") + "), and no other values; "
	}
	v.Privacy += "numbers and texts that reasons quote are left out. The file of rejects has all columns that the run read."
	if len(v.Samples) == 0 {
		v.Privacy = "Examples are left out. The file of rejects has the rows."
	}
	return v
}

func newSample(reason *reasonRow, e *Example, names map[string]string) sampleRow {
	file := cmp.Or(names[e.File], e.File)
	s := sampleRow{Reason: reason.Reason, Column: reason.Column, File: page.PlainTo(file, 120), Row: humanize.Comma(e.Row)}
	for _, id := range e.IDs {
		s.IDs = append(s.IDs, page.PlainTo(id, 40))
	}
	return s
}

// InputNames is what people are shown of a run's input files: as much of each path as
// tells it from the others. m may be nil.
func InputNames(m *ledger.Manifest) map[string]string {
	var paths []string
	if m != nil {
		for i := range m.Inputs {
			paths = append(paths, m.Inputs[i].Path)
		}
	}
	return dataset.ShortNames(paths)
}
