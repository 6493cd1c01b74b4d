package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/millrace/millrace/internal/page"
)

// Text writes the comparison for a terminal: what counts first, then the sweep.
func (c *Comparison) Text(w io.Writer) error {
	var b strings.Builder
	for _, p := range c.Pairs {
		b.WriteString(p.title() + "\n")
		for _, note := range p.notes() {
			b.WriteString("  " + note + "\n")
		}
		b.WriteString("\n" + changesTable(p, true))
		if rest := changesTable(p, false); rest != "" {
			b.WriteString("\n" + rest)
		}
		b.WriteString("\n")
	}
	for _, name := range c.Unpaired {
		fmt.Fprintf(&b, "Nothing to compare with: %s\n", name)
	}
	b.WriteString(c.sentence() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// title says what is held against what.
func (p *Pair) title() string {
	return fmt.Sprintf("%s on %s: %s (%s) then, %s (%s) now", page.Plain(p.New.Model.Name), machineName(&p.New.Machine),
		versionName(&p.Old.Versions), p.Old.Started.UTC().Format("2 Jan 2006 15:04"),
		versionName(&p.New.Versions), p.New.Started.UTC().Format("2 Jan 2006 15:04"))
}

// notes say what to know of a pair besides its numbers.
func (p *Pair) notes() []string {
	notes := slices.Clone(p.Versions)
	if len(p.OtherMachine) > 0 {
		notes = append(notes, "ANOTHER MACHINE, shown side by side without a verdict: "+strings.Join(p.OtherMachine, "; "))
	}
	if len(p.Uncompared) > 0 {
		notes = append(notes, "NOT COMPARED: "+strings.Join(p.Uncompared, "; "))
	}
	return notes
}

// sentence is the verdict in words.
func (c *Comparison) sentence() string {
	rule := fmt.Sprintf("a change counts below p = %v, beyond %s, and where intervals are apart", c.Alpha, fmt.Sprintf("%g%%", c.Threshold*100))
	switch c.Verdict {
	case Worse:
		return "REGRESSION: " + strings.Join(c.named(Worse), "; ") + " (" + rule + ")"
	case Better:
		return "Better: " + strings.Join(c.named(Better), "; ") + ", nothing worse (" + rule + ")"
	case Same:
		return "Same within noise (" + rule + ")"
	default:
		for _, p := range c.Pairs {
			for _, change := range p.Changes {
				if change.Counts && change.Why != "" {
					return "Not judged: " + change.Why
				}
			}
		}
		return "Not judged: nothing that counts was measured on both sides"
	}
}

// named lists the changes that count and have a verdict.
func (c *Comparison) named(v Verdict) []string {
	var out []string
	for _, p := range c.Pairs {
		for _, change := range p.Changes {
			if change.Counts && change.Verdict == v {
				out = append(out, fmt.Sprintf("%s %s (p=%.2g)", stageName(change.Stage), page.Change(change.Ratio), change.P))
			}
		}
	}
	return out
}

func versionName(v *Versions) string {
	name, commit := page.Plain(v.Millrace), page.Plain(cut(v.Commit, 7))
	if !strings.Contains(name, commit) { // a version of no tag is the commit
		name = strings.TrimSpace(name + " " + commit)
	}
	if v.Dirty && !strings.Contains(name, "dirty") {
		name += " and changes"
	}
	return name
}

// changeRow is one change in words.
type changeRow struct {
	Stage, Settings      string
	Then, ThenWithin     string
	Now, NowWithin       string
	Change, Chance, Runs string
	Verdict              Verdict
}

// changeRows are a pair's changes that count; or those of the sweep that are worth a
// line, and how many others there are.
func changeRows(p *Pair, counts bool) (rows []changeRow, others int) {
	for _, c := range p.Changes {
		if c.Counts != counts {
			continue
		}
		if !counts && (c.Verdict == Same || c.Verdict == Unjudged && len(p.OtherMachine) == 0) {
			others++
			continue
		}
		at := settings(c.Arm, c.Chosen)
		if c.NewArm != nil {
			at += " → " + settings(*c.NewArm, false)
		}
		chance := "<0.001"
		if c.P >= 0.001 {
			chance = fmt.Sprintf("%.3f", c.P)
		}
		rows = append(rows, changeRow{
			Stage: stageName(c.Stage), Settings: at,
			Then: page.Count(c.Old.Median), ThenWithin: rangeOf(c.Old, page.Count),
			Now: page.Count(c.New.Median), NowWithin: rangeOf(c.New, page.Count),
			Change: page.Change(c.Ratio), Chance: chance, Runs: fmt.Sprintf("%d+%d", c.Old.Repeats, c.New.Repeats), Verdict: c.Verdict,
		})
	}
	return rows, others
}

// othersLine says how many settings of the sweep have no line; "" for none.
func othersLine(rows, others int) string {
	switch {
	case others == 0:
		return ""
	case rows > 0:
		return fmt.Sprintf("and %d settings that did not change or have too few repeats", others)
	default:
		return fmt.Sprintf("None of %d settings of the sweep changed, as far as their repeats can tell.", others)
	}
}

// changesTable shows what counts in full; of the sweep, what changed.
func changesTable(p *Pair, counts bool) string {
	title, header := "Settings of the sweep that changed, rows/s (shown only)", table.Row{"", "settings", "then", "now", "change", "p", "n", "verdict"}
	if counts {
		title, header = "What counts, rows/s", table.Row{"", "settings", "then", "interval", "now", "interval", "change", "p", "n", "verdict"}
	}
	t := newBenchTable(header, 2)
	rows, others := changeRows(p, counts)
	for _, r := range rows {
		if counts {
			t.AppendRow(table.Row{r.Stage, r.Settings, r.Then, r.ThenWithin, r.Now, r.NowWithin, r.Change, r.Chance, r.Runs, r.Verdict})
		} else {
			t.AppendRow(table.Row{r.Stage, r.Settings, r.Then, r.Now, r.Change, r.Chance, r.Runs, r.Verdict})
		}
	}
	switch line := othersLine(len(rows), others); {
	case len(rows) > 0 && line != "":
		return titled(title, t) + "  " + line + "\n"
	case len(rows) > 0:
		return titled(title, t)
	case line != "":
		return line + "\n"
	default:
		return ""
	}
}
