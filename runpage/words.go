package runpage

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

// lead says in sentences what the run did.
func (a *Account) lead() []string {
	m := a.Manifest
	l := &m.Ledger
	if a.Failure != "" {
		return []string{
			fmt.Sprintf("The run of %s, started on %s, ended after %s of %s: %s.", modelNames(m), moment(m.Started), humanize.Comma(l.Read), rowsText(inputRows(m), "row"), page.PlainTo(a.Failure, 400)),
			"Nothing is published: what stood at the output's place is as it was." + a.rejectedBefore(),
			"What to do: look at the reasons below, mend the data or the job, and run the same command again; or, where so many bad rows are to be expected, let more pass (--max-bad-rows).",
		}
	}
	say := fmt.Sprintf("On %s, %s scored %s of %s read", moment(m.Finished), modelNames(m), humanize.Comma(l.Scored), humanize.Comma(l.Read))
	say += fmt.Sprintf("; %s rejected", humanize.Comma(l.Rejected))
	if l.Nulled > 0 {
		say += fmt.Sprintf(", %s of them in the output with null predictions", humanize.Comma(l.Nulled))
	}
	if reasons := a.mainReasons(); reasons != "" {
		say += " (" + reasons + ")"
	}
	if l.Filtered > 0 {
		say += fmt.Sprintf("; %s filtered", humanize.Comma(l.Filtered))
	}
	if s := seconds(m); s > 0 {
		say += fmt.Sprintf(". It took %s, at %s rows/s", page.Time(s), page.Count(rowsPerSecond(m)))
	}
	return append([]string{say + "."}, a.leadBefore()...)
}

// inputRows are the rows of all inputs, by their own metadata.
func inputRows(m *ledger.Manifest) (rows int64) {
	for i := range m.Inputs {
		rows += m.Inputs[i].Rows
	}
	return rows
}

// rejectedBefore says what was usual.
func (a *Account) rejectedBefore() string {
	if a.Before == nil {
		return ""
	}
	l := &a.Before.Ledger
	return fmt.Sprintf(" The last run that was (%s) rejected %s of %s rows (%s).", moment(a.Before.Finished), humanize.Comma(l.Rejected), humanize.Comma(l.Read), rejectShare(l))
}

// mainReasons are those of most rejected rows.
func (a *Account) mainReasons() string {
	if a.Rejects == nil {
		return ""
	}
	var out []string
	for i, r := range a.Rejects.Reasons {
		if i == 2 {
			out = append(out, "and others")
			break
		}
		text := page.Plain(r.Reason)
		if r.Column != "" {
			text += " in " + page.Plain(r.Column)
		}
		out = append(out, text+" "+humanize.Comma(r.Rows))
	}
	return strings.Join(out, ", ")
}

// leadBefore compares with the run before, in a sentence.
func (a *Account) leadBefore() []string {
	if a.Before == nil {
		if a.BeforeMissing != "" {
			return []string{"It cannot be compared with the run before: " + a.BeforeMissing + "."}
		}
		return []string{"It is the first run of this output: there is none to compare it with."}
	}
	b := &a.Before.Ledger
	now := &a.Manifest.Ledger
	rows := "rows " + changeOf(b.Read, now.Read)
	if scored := changeOf(b.Scored, now.Scored); scored != changeOf(b.Read, now.Read) {
		rows += ", scored " + scored
	}
	say := fmt.Sprintf("Against the run before (%s): %s, rejected %s after %s", moment(a.Before.Finished), rows, rejectShare(now), rejectShare(b))
	s := a.mainScore()
	before := (*distribution.Summary)(nil)
	if s != nil {
		before = a.before(s.Column)
	}
	if before != nil && s.Mean != nil && before.Mean != nil {
		say += fmt.Sprintf(", mean of %s %s after %s", page.Plain(s.Column), number(*s.Mean), number(*before.Mean))
	}
	if before != nil {
		if psi, ok := distribution.PSI(before, s); ok {
			say += fmt.Sprintf(", PSI %s: %s", psiText(psi), psiWord(psi))
		}
	}
	return []string{say + "."}
}

// mainScore is the column that the first screen speaks of: the first of numbers; of class
// scores, which stand beside a label, the last. Where there are no numbers it is the first
// column.
func (a *Account) mainScore() *distribution.Summary {
	var numbers []*distribution.Summary
	labels := 0
	for i := range a.Manifest.Predictions {
		switch s := &a.Manifest.Predictions[i]; s.Kind {
		case distribution.Number:
			numbers = append(numbers, s)
		case distribution.Label:
			labels++
		case distribution.List:
		}
	}
	switch {
	case len(numbers) > 0 && labels > 0 && len(a.Manifest.Models) == 0:
		return numbers[len(numbers)-1]
	case len(numbers) > 0:
		return numbers[0]
	case len(a.Manifest.Predictions) > 0:
		return &a.Manifest.Predictions[0]
	default:
		return nil
	}
}

// changeOf writes how far a count is from one before.
func changeOf(before, now int64) string {
	switch before {
	case now:
		return "as before"
	case 0:
		return "from none to " + humanize.Comma(now)
	}
	percent := 100 * (float64(now)/float64(before) - 1)
	if math.Abs(percent) < 0.05 {
		if now > before {
			return "+" + humanize.Comma(now-before)
		}
		return "−" + humanize.Comma(before-now)
	}
	text := humanize.FormatFloat("#,###.#", percent) + "%"
	if percent > 0 {
		return "+" + text
	}
	return strings.Replace(text, "-", "−", 1)
}

func rejectShare(l *ledger.Rows) string { return share1(share(l.Rejected, l.Read)) }

// share is a part of a whole; 0 of nothing.
func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// odd lists what a reader should look at.
func (a *Account) odd() []note {
	var out []note
	strong := func(format string, args ...any) { out = append(out, note{true, fmt.Sprintf(format, args...)}) }
	weak := func(format string, args ...any) { out = append(out, note{false, fmt.Sprintf(format, args...)}) }
	m := a.Manifest
	if n := len(a.Problems); n > 0 {
		strong("%s with the manifests of this output, the first: %s. millrace verify says more.", english.Plural(n, "problem", ""), page.PlainTo(a.Problems[0].String(), 300))
	}
	if !a.Live && a.Failure == "" {
		weak("A later run has replaced this one's files: only what its manifest says is left.")
	}
	if m.Ledger.Read == 0 && a.Failure == "" {
		strong("The input has no rows.")
	}
	if m.Ledger.Read > 0 && m.Ledger.Scored == 0 && a.Failure == "" {
		strong("Not one of %s was scored.", rowsText(m.Ledger.Read, "row"))
	}
	if m.Ledger.Rejected > 0 && a.Failure == "" {
		part := share(m.Ledger.Rejected, m.Ledger.Read)
		text := fmt.Sprintf("%s (%s) could not be scored; the reasons are below.", rowsText(m.Ledger.Rejected, "row"), share1(part))
		out = append(out, note{part >= 0.01, text})
	}
	a.oddBefore(strong, weak)
	a.oddScores(strong)
	if m.Work != nil {
		if n := len(m.Work.Starts); n > 1 {
			weak("The run was stopped and continued: %s.", english.Plural(n, "start", ""))
		}
		if n := len(m.Work.Drift); n > 0 {
			weak("Input files differ from the first in columns or types: %s", page.PlainTo(strings.Join(m.Work.Drift, "; "), 400))
		}
	}
	var nulls, rounded int64
	for _, f := range ledger.ByColumn(m.Features) {
		nulls, rounded = nulls+f.Nulls, rounded+f.Rounded
	}
	if nulls > 0 {
		weak("%s in features; what became of them is below.", rowsText(nulls, "null"))
	}
	if rounded > 0 {
		weak("%s rounded to what the model takes.", rowsText(rounded, "value"))
	}
	if d := setting[*duplicates](m, "duplicates"); d != nil && d.Rows > 0 {
		weak("%s by %s: %s.", rowsText(d.Rows, "duplicate row"), plainList(d.Columns), duplicatesBecame(d.On))
	}
	if lowered := setting[[]struct{ Setting string }](m, "memory_lowered"); len(lowered) > 0 {
		weak("Settings were lowered to keep within the memory limit.")
	}
	return out
}

// duplicates is what the settings have of them.
type duplicates struct {
	Columns []string `json:"columns"`
	On      string   `json:"on"`
	Rows    int64    `json:"rows"`
}

func duplicatesBecame(on string) string {
	switch on {
	case "count":
		return "counted, and scored like others"
	case "reject":
		return "rejected"
	case "null":
		return "in the output with null predictions"
	default:
		return page.Plain(on)
	}
}

func plainList(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = page.Plain(n)
	}
	return list(out)
}

// Bounds beyond which a change against the run before is odd.
const (
	oddRows    = 0.2 // share of the rows before; of the rows read, in what is scored of them
	oddRejects = 0.01
)

// oddBefore compares counts with the run before.
func (a *Account) oddBefore(strong, weak func(string, ...any)) {
	if a.Before == nil || a.Failure != "" {
		return
	}
	now, was := &a.Manifest.Ledger, &a.Before.Ledger
	if was.Read > 0 && math.Abs(float64(now.Read)/float64(was.Read)-1) > oddRows {
		strong("The input has %s rows, and had %s in the run before (%s).", humanize.Comma(now.Read), humanize.Comma(was.Read), changeOf(was.Read, now.Read))
	}
	if was.Scored > 0 && math.Abs(share(now.Scored, now.Read)-share(was.Scored, was.Read)) > oddRows && now.Scored > 0 {
		strong("Of the rows that were read %s are scored, and %s were in the run before.", share1(share(now.Scored, now.Read)), share1(share(was.Scored, was.Read)))
	}
	if was.Read > 0 && now.Read > 0 && share(now.Rejected, now.Read)-share(was.Rejected, was.Read) > oddRejects {
		strong("The share of rejected rows rose from %s to %s.", rejectShare(was), rejectShare(now))
	}
	before, files := a.Before.ModelFiles(), a.Manifest.ModelFiles()
	same := len(before) == len(files)
	for i := 0; same && i < len(files); i++ {
		same = before[i].SHA256 == files[i].SHA256
	}
	if !same {
		weak("The model is another than in the run before, which was of %s.", modelNames(a.Before))
	}
	if a.Manifest.Versions.Millrace != a.Before.Versions.Millrace || a.Manifest.Versions.ORT != a.Before.Versions.ORT {
		weak("The run before was by millrace %s with ONNX Runtime %s.", page.Plain(a.Before.Versions.Millrace), page.Plain(a.Before.Versions.ORT))
	}
}

// mostOddScores bounds the columns that are told of.
const mostOddScores = 5

// oddScores names columns that shifted, or have what no score should.
func (a *Account) oddScores(strong func(string, ...any)) {
	said := 0
	for i := range a.Manifest.Predictions {
		s := &a.Manifest.Predictions[i]
		if said == mostOddScores {
			return
		}
		if s.NaNs > 0 || s.Infinities > 0 {
			strong("%s has %s NaN and %s infinite values.", page.Plain(s.Column), humanize.Comma(s.NaNs), humanize.Comma(s.Infinities))
			said++
		}
		if finite := s.Rows - s.Nulls - s.NaNs - s.Infinities; s.Kind == distribution.Number && s.Min != nil && *s.Min == *s.Max && finite > 1 {
			where := "every row"
			if finite < s.Rows {
				where = fmt.Sprintf("all %s rows that have a finite value", humanize.Comma(finite))
			}
			strong("%s is %s in %s.", page.Plain(s.Column), number(*s.Min), where)
			said++
		}
		if before := a.before(s.Column); before != nil {
			if psi, ok := distribution.PSI(before, s); ok && psi >= psiSome {
				strong("%s is distributed otherwise than in the run before: PSI %s, %s.", page.Plain(s.Column), psiText(psi), psiWord(psi))
				said++
			}
		}
	}
}
