package runpage

import (
	_ "embed"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

//go:embed page.html.tmpl
var pageHTML string

var pageTemplate = page.New("run", pageHTML)

// Write draws the page of an account; links are as seen from a folder, the page's own.
func Write(w io.Writer, a *Account, folder string) error {
	if err := pageTemplate.Execute(w, newView(a, folder)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// view is what page.html.tmpl draws.
type view struct {
	Title, Eyebrow string
	Failed         bool
	Lead           []string
	Odd            []note
	Tiles          []tile
	Compare        []scoreRow
	CompareSay     string
	Scores, More   []*scores
	ScoresSay      string
	Ledger         *page.Bars
	Rejects        *rejectsView
	Work           *page.Bars
	WorkFacts      []page.Fact
	WorkSay        string
	Agreement      *agreementView
	Features       []featureRow
	Trend          *trend
	Outputs        *filesView
	Inputs         *filesView
	Links          []link
	Proof          []page.Fact
	Commands       []string
	Settings       []page.Fact
	Schema         []ledger.Column
	Starts         []startRow
}

// note is one thing that was odd. Strong ones come first in what a reader should know.
type note struct {
	Strong bool
	Text   string
}

type tile struct{ Value, Unit, Name, Note string }

type link struct{ Text, Address string }

type featureRow struct{ Column, Input, Nulls, Became, Rounded string }

type startRow struct{ Time, Host, Rows, Run string }

func newView(a *Account, folder string) *view {
	m := a.Manifest
	v := &view{
		Eyebrow: "millrace run", Failed: a.Failure != "",
		Lead: a.lead(), Odd: a.odd(), Tiles: a.tiles(), Ledger: a.ledgerBars(), Rejects: newRejectsView(a),
		Agreement: newAgreementView(m), Trend: newTrend(a), Outputs: newOutputsView(a, folder), Inputs: newInputsView(a),
		Proof: a.proof(), Commands: a.commands(), Settings: settingRows(m), Schema: plainColumns(m.Schema),
	}
	v.Title = "Published: " + rowsText(m.Ledger.Written(), "row")
	if v.Failed {
		v.Title = "Not published: too many rows cannot be scored"
	}
	v.Work, v.WorkFacts, v.WorkSay = a.workView()
	v.Compare, v.CompareSay = a.compared()
	for i := range m.Predictions {
		s := newScores(fmt.Sprintf("s%d", i+1), a, &m.Predictions[i])
		if len(v.Scores) < shownScores {
			v.Scores = append(v.Scores, s)
		} else {
			v.More = append(v.More, s)
		}
	}
	v.ScoresSay = a.scoresSay()
	for _, f := range m.Features {
		v.Features = append(v.Features, featureRow{
			Column: page.Plain(f.Column), Input: page.Plain(f.Input), Nulls: humanize.Comma(f.Nulls), Became: page.Plain(f.Policy), Rounded: humanize.Comma(f.Rounded),
		})
	}
	v.Links = a.links(folder)
	if m.Work != nil && len(m.Work.Starts) > 1 {
		for _, s := range m.Work.Starts {
			v.Starts = append(v.Starts, startRow{moment(s.Time), page.Plain(s.Host), humanize.Comma(s.Rows), page.Plain(s.Run)})
		}
	}
	return v
}

// shownScores is how many columns of predictions are drawn unfolded.
const shownScores = 6

func plainColumns(columns []ledger.Column) []ledger.Column {
	out := make([]ledger.Column, len(columns))
	for i, c := range columns {
		out[i] = ledger.Column{Name: page.Plain(c.Name), Type: page.Plain(c.Type), Nullable: c.Nullable}
	}
	return out
}

// rowsText is a number of things, in full.
func rowsText(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return humanize.Comma(n) + " " + thing + "s"
}

// modelName is what a model is called: by its file, and the version that it has.
func modelName(f *ledger.ModelFile) string {
	name := page.Plain(filepath.Base(f.Path))
	var facts []string
	if f.Version != 0 {
		facts = append(facts, fmt.Sprintf("version %d", f.Version))
	}
	if f.SHA256 != "" {
		facts = append(facts, "sha256 "+short(f.SHA256))
	}
	if len(facts) == 0 {
		return name
	}
	return name + " (" + strings.Join(facts, ", ") + ")"
}

func short(digest string) string {
	if d := page.Plain(digest); len(d) > 12 {
		return d[:12] + "…"
	}
	return page.Plain(digest)
}

// modelNames are those of all models of a run.
func modelNames(m *ledger.Manifest) string {
	files := m.ModelFiles()
	names := make([]string, 0, len(files))
	for i := range files {
		names = append(names, modelName(&files[i]))
	}
	const most = 3
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	return list(names)
}

// list joins names as a person does.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// ledgerBars are the rows of the run, by what became of them.
func (a *Account) ledgerBars() *page.Bars {
	l, b, scored := &a.Manifest.Ledger, &page.Bars{}, "in the output"
	if a.Failure != "" {
		scored = "not published"
	}
	for _, r := range []struct {
		label, note, class string
		rows               int64
	}{
		{"scored", scored, "s3", l.Scored},
		{"with null predictions", "in the output, and among the rejected", "s2", l.Nulled},
		{"rejected", "left out of the output", "s4", l.Rejected - l.Nulled},
		{"filtered", "by where: left out", "rest", l.Filtered},
	} {
		if r.rows == 0 && r.label != "scored" && r.label != "rejected" {
			continue
		}
		share := 0.0
		if l.Read > 0 {
			share = float64(r.rows) / float64(l.Read)
		}
		b.Rows = append(b.Rows, page.Bar{
			Label: r.label, Note: r.note, Value: humanize.Comma(r.rows),
			Parts: []page.BarPart{{Class: r.class, X: "0", Width: page.Percentage(float64(r.rows), float64(max(l.Read, 1))), Tip: fmt.Sprintf("%s: %s rows, %s", r.label, humanize.Comma(r.rows), share1(share))}},
		})
	}
	return b
}
