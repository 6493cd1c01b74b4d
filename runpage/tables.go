package runpage

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/page"
)

// tiles are the headline numbers.
func (a *Account) tiles() []tile {
	m := a.Manifest
	l := &m.Ledger
	count := func(n int64) (string, string) {
		if n < 1_000_000 {
			return humanize.Comma(n), ""
		}
		return page.CountParts(float64(n))
	}
	value, unit := count(l.Scored)
	out := []tile{{value, unit, "rows scored", a.readText()}}
	value, unit = count(l.Rejected)
	out = append(out, tile{value, unit, "rows rejected", rejectShare(l)})
	if l.Filtered > 0 {
		value, unit = count(l.Filtered)
		out = append(out, tile{value, unit, "rows filtered", "by where"})
	}
	if s := seconds(m); s > 0 {
		value, unit, _ := strings.Cut(page.Time(s), " ")
		if strings.Contains(unit, " ") { // 3 min 20 s
			value, unit = page.Time(s), ""
		}
		out = append(out, tile{value, unit, "from start to end", page.Count(rowsPerSecond(m)) + " rows/s"})
	}
	if s := a.mainScore(); s != nil && s.Mean != nil {
		note := ""
		if before := a.before(s.Column); before != nil && before.Mean != nil {
			note = number(*before.Mean) + " before"
		}
		out = append(out, tile{number(*s.Mean), "", "mean of " + page.PlainTo(s.Column, 24), note})
	}
	if m.Work != nil && m.Work.PeakMemoryBytes > 0 {
		value, unit, _ := strings.Cut(page.Memory(m.Work.PeakMemoryBytes), " ")
		out = append(out, tile{value, unit, "peak memory", ""})
	}
	return out
}

// readText says of how many rows.
func (a *Account) readText() string {
	if a.Failure != "" {
		return fmt.Sprintf("of %s, when it ended", humanize.Comma(inputRows(a.Manifest)))
	}
	return "of " + humanize.Comma(a.Manifest.Ledger.Read) + " read"
}

// compared is the run beside the one before, in numbers.
func (a *Account) compared() (rows []scoreRow, say string) {
	if a.Before == nil || a.Failure != "" { // which met a part of the rows
		return nil, ""
	}
	now, was := a.Manifest, a.Before
	count := func(name string, n, before int64) {
		rows = append(rows, scoreRow{name, humanize.Comma(n), humanize.Comma(before), changeOf(before, n)})
	}
	count("rows read", now.Ledger.Read, was.Ledger.Read)
	count("rows scored", now.Ledger.Scored, was.Ledger.Scored)
	rows = append(rows, scoreRow{
		"rejected", humanize.Comma(now.Ledger.Rejected) + " (" + rejectShare(&now.Ledger) + ")", humanize.Comma(was.Ledger.Rejected) + " (" + rejectShare(&was.Ledger) + ")",
		changeOf(was.Ledger.Rejected, now.Ledger.Rejected),
	})
	if now.Ledger.Filtered+was.Ledger.Filtered > 0 {
		count("filtered", now.Ledger.Filtered, was.Ledger.Filtered)
	}
	speed := func(m *ledger.Manifest) string { return page.Time(seconds(m)) }
	rows = append(rows,
		scoreRow{"took", speed(now), speed(was), page.Change(seconds(now) / max(seconds(was), 1e-9))},
		scoreRow{"rows/s", page.Count(rowsPerSecond(now)), page.Count(rowsPerSecond(was)), page.Change(rowsPerSecond(now) / max(rowsPerSecond(was), 1e-9))},
		scoreRow{"model", short(now.Model.SHA256), short(was.Model.SHA256), sameOr(now.Model.SHA256 == was.Model.SHA256)},
	)
	return rows, fmt.Sprintf("The run before is %s, of %s.", page.Plain(was.Run), moment(was.Finished))
}

func sameOr(same bool) string {
	if same {
		return "the same"
	}
	return "another"
}

// scoresSay explains what is compared, and what PSI is.
func (a *Account) scoresSay() string {
	m := a.Manifest
	var say []string
	switch {
	case a.Failure != "":
		say = append(say, "Nothing was published, so no distribution is recorded.")
	case a.Uncomputed != "":
		say = append(say, "Not recorded by this run, and its files cannot be read: "+page.PlainTo(a.Uncomputed, 200)+".")
	case m.Ledger.Written() == 0:
		say = append(say, "No row was written.")
	case len(m.Predictions) == 0:
		say = append(say, "Not recorded: this run was made before manifests had it, and its files are gone or of a format that is not read back.")
	case a.Computed:
		say = append(say, "Not recorded by this run: computed from the output's files now.")
	}
	if a.Before != nil && len(m.Predictions) > 0 {
		say = append(say, fmt.Sprintf("PSI, the population stability index, says how far a distribution has moved: below %g nothing to speak of, up to %g some shift, above it a large one. Of numbers it is over the deciles of the run before.", psiSome, psiLarge))
	}
	return strings.Join(say, " ")
}

// workView is where the time went.
func (a *Account) workView() (bars *page.Bars, facts []page.Fact, say string) {
	w := a.Manifest.Work
	fact := func(name, format string, args ...any) {
		facts = append(facts, page.Fact{Name: name, Cells: []string{fmt.Sprintf(format, args...)}})
	}
	if choice := setting[struct {
		BatchRows int64  `json:"batch_rows"`
		Workers   int    `json:"workers"`
		Reason    string `json:"reason"`
	}](a.Manifest, "choice"); choice.BatchRows > 0 {
		fact("batches", "of %s: %s", rowsText(choice.BatchRows, "row"), page.PlainTo(choice.Reason, 300))
		fact("workers", "%d", choice.Workers)
	}
	if w == nil {
		return nil, facts, "Not recorded."
	}
	total := 0.0
	for _, s := range w.StageSeconds {
		total += s
	}
	if total > 0 {
		bars = &page.Bars{}
		for i, stage := range []string{"read", "assemble", "infer", "write"} {
			s := w.StageSeconds[stage]
			rate := page.Unknown
			if s > 0 {
				rate = page.Count(float64(w.Rows) / s)
			}
			bars.Rows = append(bars.Rows, page.Bar{
				Label: stage, Note: fmt.Sprintf("%s of busy time, %s rows/s of it", page.Time(s), rate), Value: share1(s / total),
				Parts: []page.BarPart{{Class: fmt.Sprintf("s%d", i+1), X: "0", Width: page.Percentage(s, total), Tip: stage + ": " + page.Time(s)}},
			})
		}
	}
	fact("whole", "%s for %s, %s rows/s", page.Time(w.Seconds), rowsText(w.Rows, "row"), page.Count(float64(w.Rows)/max(w.Seconds, 1e-9)))
	fact("runs of the model", "%s", humanize.Comma(w.Batches))
	fact("bytes", "%s copied into tensors, %s read where they lay", humanize.IBytes(uint64(max(w.BytesCopied, 0))), humanize.IBytes(uint64(max(w.BytesViewed, 0))))
	fact("peak memory", "%s, mapped pages in use among it", page.Memory(w.PeakMemoryBytes))
	if f := w.Filter; f != nil {
		fact("not read", "%s, %s and %s that the filter cannot hold for", rowsText(int64(f.FilesSkipped), "file"), rowsText(int64(f.SpansSkipped), "span"), rowsText(f.RowsSkipped, "row"))
	}
	if d := setting[struct {
		Algorithm string `json:"algorithm"`
		Reason    string `json:"reason"`
	}](a.Manifest, "digest"); d.Reason != "" {
		by := d.Algorithm
		if by == "" {
			by = "size and time of change"
		}
		fact("inputs known by", "%s (%s)", page.Plain(by), page.PlainTo(d.Reason, 200))
	}
	return bars, facts, ""
}
