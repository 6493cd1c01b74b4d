package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/millrace/millrace/internal/page"
)

// WriteTable writes what the measurements say for a terminal of 100 columns: one
// in full, several side by side, a column each.
func WriteTable(w io.Writer, benches []*Bench) error {
	all := make([]*Summary, len(benches))
	for i, b := range benches {
		all[i] = Summarize(b)
	}
	var b strings.Builder
	switch len(all) {
	case 0:
		b.WriteString("no measurements\n")
	case 1:
		s := all[0]
		b.WriteString(heading(s) + "\n")
		for _, part := range []string{ceilingTable(s), stagesTable(s), sweepTable(s), costTable(s), autoLine(s), stopLines(s), briefLine(s), restlessLine(s), cutLine(benches[0])} {
			if part != "" {
				b.WriteString("\n" + part)
			}
		}
	default:
		b.WriteString(besideTable(all))
		for i := range benches {
			b.WriteString(cutLine(benches[i]))
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// newBenchTable has titles left and numbers right.
func newBenchTable(header table.Row, left int) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder = false
	style.Options.SeparateColumns = false
	t.SetStyle(style)
	t.AppendHeader(header)
	configs := make([]table.ColumnConfig, len(header))
	for i := range header {
		configs[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
		if i < left {
			configs[i].Align, configs[i].AlignHeader = text.AlignLeft, text.AlignLeft
		}
	}
	t.SetColumnConfigs(configs)
	t.SuppressEmptyColumns()
	return t
}

func titled(title string, t table.Writer) string {
	lines := strings.Split(t.Render(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return title + "\n" + strings.Join(lines, "\n") + "\n"
}

func heading(s *Summary) string {
	h := s.Head
	kind := machineKind(&h.Machine)
	if name := machineName(&h.Machine); !strings.HasSuffix(kind, name) {
		kind = name + ", " + kind
	}
	out := fmt.Sprintf("%s on %s\n%s of %s, %s; millrace %s, ONNX Runtime %s",
		page.Plain(h.Model.Name), kind, page.Number(int(h.Data.Rows), "row"), page.Plain(h.Data.Format), dataKind(&h.Data), versionName(&h.Versions), page.Plain(h.Versions.ORT))
	if rewrites := rewritesOf(h); rewrites != "" {
		out += "\nrewritten: " + rewrites
	}
	return out
}

// exportedName is what StageInferExported is called beside end to end.
const exportedName = "ONNX Runtime's own kernels alone"

func dataKind(d *Data) string {
	if d.Source == "made" {
		return "made"
	}
	return fmt.Sprintf("%s, %s stored", page.Number(d.Files, "file"), page.Memory(d.Bytes))
}

// ceilingTable holds end to end against its bounds.
func ceilingTable(s *Summary) string {
	t := newBenchTable(table.Row{"", "rows/s", "interval", "end to end is", ""}, 1)
	add := func(what string, rate, ratio Estimate, note string) {
		if !rate.known() {
			return
		}
		is := page.Unknown
		if ratio.known() && s.Brief == nil {
			is = timesOf(ratio.Median)
		}
		t.AppendRow(table.Row{what, page.Count(rate.Median), rangeOf(rate, page.Count), is, note})
	}
	var rate Estimate
	if s.EndToEnd != nil {
		rate = s.EndToEnd.RowsPerSecond
		t.AppendRow(table.Row{"end to end", page.Count(rate.Median), rangeOf(rate, page.Count), "", settings(s.EndToEnd.Arm, s.EndToEnd.Chosen)})
	}
	if c := s.Ceiling; c != nil {
		binds := func(term CeilingTerm) string {
			if term == c.Binds {
				return "binds"
			}
			return ""
		}
		add("ceiling: "+stageName(c.SlowestStage)+" alone", c.SlowestAlone, rate.over(c.SlowestAlone), binds(BySlowestStage))
		add(fmt.Sprintf("ceiling: %g cores shared", c.Cores), c.SharedCores, rate.over(c.SharedCores), binds(BySharedCores))
	}
	if infer := s.Best[StageInfer]; infer != nil {
		add("bare inference", infer.RowsPerSecond, s.OfBareInference, settings(infer.Arm, false))
	}
	if e := s.Exported; e != nil {
		add(exportedName, e.RowsPerSecond, s.OfExported, settings(e.Arm, false))
	}
	if t.Length() == 0 {
		return ""
	}
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 4, Align: text.AlignRight, AlignHeader: text.AlignRight},
	})
	out := titled("End to end and its ceiling", t)
	if c := s.Ceiling; c != nil && len(c.MissingStages) > 0 {
		out += "  not measured: " + stageList(c.MissingStages) + "; the true ceiling may be lower\n"
	}
	if s.OfCeiling.known() {
		out += fmt.Sprintf("  %s of the ceiling (%s)\n", page.Percent(s.OfCeiling.Median), rangeOf(s.OfCeiling, page.Percent))
		if withoutTensors(s) != "" {
			out += "  the stages are measured with tensors, which the run does not make: it takes columns where they lie\n"
		}
	}
	return out
}

func stageList(stages []Stage) string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = stageName(s)
	}
	return strings.Join(names, ", ")
}

// stagesTable shows each stage alone at its fastest.
func stagesTable(s *Summary) string {
	t := newBenchTable(table.Row{"stage", "rows/s", "interval", "", "CPU a row", "share", "bytes/s", "fastest at"}, 1)
	var sum float64
	for _, stage := range Stages {
		if a := s.Best[stage]; a != nil {
			sum += a.CPUSecondsPerRow.Median
		}
	}
	for _, stage := range stagesInOrder {
		a := s.Best[stage]
		if a == nil {
			continue
		}
		share := page.Unknown
		if sum > 0 && !slices.Contains(DeviceStages, stage) { // those are in infer's
			share = page.Percent(a.CPUSecondsPerRow.Median / sum)
		}
		t.AppendRow(table.Row{
			stageName(stage), page.Count(a.RowsPerSecond.Median), rangeOf(a.RowsPerSecond, page.Count), sureness(a.RowsPerSecond),
			page.Time(a.CPUSecondsPerRow.Median), share, page.Count(a.BytesPerSecond.Median), settings(a.Arm, false),
		})
	}
	if t.Length() == 0 {
		return ""
	}
	return titled("Stages alone, all cores", t) + deviceMemoryLine(s)
}

// deviceMemoryLine says what the stages on a device took of its memory.
func deviceMemoryLine(s *Summary) string {
	var parts []string
	for _, stage := range append(slices.Clone(DeviceStages), StageInfer) {
		if a := s.Best[stage]; a != nil && a.PeakDeviceMemoryBytes > 0 {
			parts = append(parts, stageName(stage)+" "+deviceMemoryOf(a))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "  most of the device's memory in use: " + strings.Join(parts, ", ") + "\n"
}

// deviceMemoryOf is an arm's memory of the device; empty on the CPU.
func deviceMemoryOf(a *ArmSummary) string {
	if a.PeakDeviceMemoryBytes == 0 {
		return ""
	}
	return page.Memory(a.PeakDeviceMemoryBytes)
}

// sweepTable shows what each choice of settings gave.
func sweepTable(s *Summary) string {
	rows := sweep(s)
	if len(rows) < 2 {
		return ""
	}
	t := newBenchTable(table.Row{"batch rows", "workers", "intra", "provider", "infer alone", "interval", "vs best", "end to end", "interval", "vs best"}, 0)
	bestInfer, bestWhole := s.swept, s.BestFixed
	versus := func(a, best *ArmSummary) []any {
		if a == nil {
			return []any{"", "", ""}
		}
		vs := page.Unknown
		switch {
		case a.Stopped != nil:
			vs = "stopped"
		case a == best:
			vs = "best"
		case best != nil:
			vs = page.Change(a.RowsPerSecond.Median / best.RowsPerSecond.Median)
		}
		return []any{page.Count(a.RowsPerSecond.Median), rangeOf(a.RowsPerSecond, page.Count), vs}
	}
	oneProvider := !slices.ContainsFunc(rows, func(r *swept) bool { return r.Provider != rows[0].Provider })
	for _, r := range rows {
		provider := page.Plain(r.Provider)
		if oneProvider {
			provider = ""
		}
		row := append(make(table.Row, 0, 10), humanize.Comma(int64(r.BatchRows)), r.Workers, r.IntraOpThreads, provider)
		row = append(append(row, versus(r.infer, bestInfer)...), versus(r.whole, bestWhole)...)
		t.AppendRow(row)
	}
	return titled("Settings, rows/s", t)
}

// swept is one choice of settings: inference alone and end to end.
type swept struct {
	Arm
	infer, whole *ArmSummary
}

// sweep pairs the arms of inference alone with those of end to end.
func sweep(s *Summary) []*swept {
	var rows []*swept
	at := map[Arm]*swept{}
	for _, a := range s.Arms {
		if a.Chosen || a.Stage != StageInfer && a.Stage != StageEndToEnd {
			continue
		}
		if at[a.Arm] == nil {
			at[a.Arm] = &swept{Arm: a.Arm}
			rows = append(rows, at[a.Arm])
		}
		if a.Stage == StageInfer {
			at[a.Arm].infer = a
		} else {
			at[a.Arm].whole = a
		}
	}
	slices.SortStableFunc(rows, func(a, b *swept) int { return compareArms(a.Arm, b.Arm) })
	return rows
}

// costTable says what end to end gives for a core, a watt and money.
func costTable(s *Summary) string {
	var parts []string
	for _, m := range costs(s) {
		if m.value != "" {
			parts = append(parts, fmt.Sprintf("%s %s", m.value, m.name))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	out := "Cost  " + strings.Join(parts, " · ") + "\n"
	if e := s.EndToEnd; e.PeakMemoryBytes > 0 {
		device := ""
		if e.PeakDeviceMemoryBytes > 0 {
			device = " and " + deviceMemoryOf(e) + " of the device's"
		}
		out += fmt.Sprintf("      %s of memory%s at most, %s copied into tensors a row, %s read in place\n",
			page.Memory(e.PeakMemoryBytes), device, bytesOf(e.BytesCopiedPerRow), bytesOf(e.BytesViewedPerRow))
	}
	if why := s.Head.Machine.NoPower; why != "" {
		out += "      no rows/s per watt: " + page.Plain(why) + "\n"
	}
	return out
}

// measure is one named number, "" when it is not known.
type measure struct{ name, value string }

func costs(s *Summary) []measure {
	value := func(e Estimate, write func(float64) string) string {
		if !e.known() {
			return ""
		}
		return write(e.Median)
	}
	return []measure{
		{"rows/s per core", value(s.RowsPerSecondPerCore, page.Count)},
		{"rows/s per watt", value(s.RowsPerJoule, page.Count)},
		{"million rows per unit of money", value(s.RowsPerUnit, millionsOf)},
		{"for a billion rows", value(billion(s), page.Time)},
	}
}

// billion is the seconds that a billion rows take; a number that one can say.
func billion(s *Summary) Estimate {
	if s.EndToEnd == nil || s.Brief != nil {
		return Estimate{}
	}
	return Estimate{Median: 1e9, Low: 1e9, High: 1e9, Confidence: 1, Repeats: s.EndToEnd.RowsPerSecond.Repeats}.over(s.EndToEnd.RowsPerSecond)
}

// autoLine says how good the choice of --batch-size auto was.
func autoLine(s *Summary) string {
	if s.Auto == nil {
		return ""
	}
	out := "Auto chose " + settings(s.Auto.Arm, false)
	if s.Auto.Choices > 1 {
		out += fmt.Sprintf(" most often, of %d choices", s.Auto.Choices)
	}
	if s.AutoOfBestFixed.known() {
		out += fmt.Sprintf(": %s against the best fixed choice (%s)", page.Change(s.AutoOfBestFixed.Median), settings(s.BestFixed.Arm, false))
	}
	if s.AutoOfFixed1024.known() {
		out += fmt.Sprintf(",\n  %s against the best with 1,024 rows (%s)", page.Change(s.AutoOfFixed1024.Median), settings(s.Fixed1024.Arm, false))
	}
	return out + "\n"
}

func restlessLine(s *Summary) string {
	if warning := restless(s); warning != "" {
		return "NOISY: " + warning + "\n"
	}
	return ""
}

// maxStopLines is how many arms that were given up are told apart. The tables
// have the others.
const maxStopLines = 4

// cutNote says that records are missing; "" when none are known to be.
func cutNote(b *Bench) string {
	if b.Cut {
		return "The records end within a line: the measurement was killed, or its disk was full. What is shown is what was written until then."
	}
	return ""
}

func cutLine(b *Bench) string {
	if note := cutNote(b); note != "" {
		return "INCOMPLETE: " + note + "\n"
	}
	return ""
}

// stopLines says which arms were given up, or where there are many, how many.
func stopLines(s *Summary) string {
	var b strings.Builder
	many := map[Stage]int{}
	for i := range s.Stops {
		stop := &s.Stops[i]
		switch {
		case stop.After == 0:
			fmt.Fprintf(&b, "Not measured: %s: %s\n", settings(stop.Arm, false), page.PlainTo(stop.Reason, 4*page.PlainRunes))
		case len(s.Stops) <= maxStopLines:
			fmt.Fprintf(&b, "Given up after %d: %s, %s: %s\n", stop.After, stageName(stop.Stage), settings(stop.Arm, false), page.Plain(stop.Reason))
		default:
			many[stop.Stage]++
		}
	}
	parts := make([]string, 0, len(many))
	for _, stage := range slices.Sorted(maps.Keys(many)) {
		parts = append(parts, fmt.Sprintf("%s of %s", page.Number(many[stage], "setting"), stageName(stage)))
	}
	if len(parts) > 0 {
		fmt.Fprintf(&b, "Given up early, far behind the best: %s\n", strings.Join(parts, ", "))
	}
	return b.String()
}

// besideTable lays several measurements side by side.
func besideTable(all []*Summary) string {
	header := append(make(table.Row, 0, len(all)+1), "")
	for _, label := range labels(all) {
		header = append(header, label)
	}
	t := newBenchTable(header, 1)
	for _, m := range beside(all) {
		if m.Cells == nil {
			t.AppendSeparator()
			continue
		}
		row := table.Row{m.Name}
		for _, c := range m.Cells {
			row = append(row, c.Text)
		}
		t.AppendRow(row)
	}
	configs := append(make([]table.ColumnConfig, 0, len(all)+1), table.ColumnConfig{Number: 1, WidthMax: 30})
	for i := range all {
		configs = append(configs, table.ColumnConfig{Number: i + 2, Align: text.AlignRight, AlignHeader: text.AlignRight, WidthMax: 28})
	}
	t.SetColumnConfigs(configs)
	return titled("Side by side", t)
}
