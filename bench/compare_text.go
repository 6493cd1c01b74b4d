package bench

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/millrace/millrace/internal/page"
)

// Text writes the comparison for a terminal: what counts first, then the sweep.
func (c *Comparison) Text(w io.Writer) error {
	var b strings.Builder
	for _, p := range c.Pairs {
		fmt.Fprintf(&b, "%s on %s: %s (%s) then, %s (%s) now\n", page.Plain(p.New.Model.Name), machineName(&p.New.Machine),
			versionName(&p.Old.Versions), p.Old.Started.UTC().Format("2 Jan 2006 15:04"),
			versionName(&p.New.Versions), p.New.Started.UTC().Format("2 Jan 2006 15:04"))
		for _, v := range p.Versions {
			b.WriteString("  " + v + "\n")
		}
		if len(p.OtherMachine) > 0 {
			b.WriteString("  ANOTHER MACHINE, shown side by side without a verdict: " + strings.Join(p.OtherMachine, "; ") + "\n")
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

// changesTable shows what counts in full; of the sweep, what changed.
func changesTable(p *Pair, counts bool) string {
	title, header := "Settings of the sweep that changed, rows/s (shown only)", table.Row{"", "settings", "then", "now", "change", "p", "n", "verdict"}
	if counts {
		title, header = "What counts, rows/s", table.Row{"", "settings", "then", "interval", "now", "interval", "change", "p", "n", "verdict"}
	}
	t, others := newBenchTable(header, 2), 0
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
		row := table.Row{stageName(c.Stage), at, page.Count(c.Old.Median)}
		if counts {
			row = append(row, rangeOf(c.Old, page.Count), page.Count(c.New.Median), rangeOf(c.New, page.Count))
		} else {
			row = append(row, page.Count(c.New.Median))
		}
		chance := "<0.001"
		if c.P >= 0.001 {
			chance = fmt.Sprintf("%.3f", c.P)
		}
		t.AppendRow(append(row, page.Change(c.Ratio), chance, fmt.Sprintf("%d+%d", c.Old.Repeats, c.New.Repeats), c.Verdict))
	}
	switch {
	case t.Length() > 0 && others > 0:
		return titled(title, t) + fmt.Sprintf("  and %d settings that did not change or have too few repeats\n", others)
	case t.Length() > 0:
		return titled(title, t)
	case others > 0:
		return fmt.Sprintf("None of %d settings of the sweep changed, as far as their repeats can tell.\n", others)
	default:
		return ""
	}
}
