package bench

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/page"
)

//go:embed report.html.tmpl
var reportHTML string

var reportTemplate = page.New("report", reportHTML)

// reportPage is what report.html.tmpl draws.
type reportPage struct {
	Title, Eyebrow string
	Lead           []string
	Warnings       []string
	Compared       *reportCompared // nil: with nothing
	Several        bool
	Benches        []*reportBench
	Compare        []*page.Bars
	Labels         []string
	Beside         []besideRow
	Facts          []page.Fact
}

// reportBench is one measurement on the page.
type reportBench struct {
	ID, Label, Kind     string
	Number, Prefix      string // end to end, or bare inference, in rows a second
	NumberOf, Within    string
	Tiles               []tile
	Throughput, Memory  *lineChart
	Ceilings, Time      *page.Bars
	Bytes               *page.Bars
	Strips              *strips
	Numbers             []numbers
	Joules, Device      bool // some arm tells energy, and memory of a device
	Stops               string
	Command             string
	Bound, Auto, Absent string // sentences below the charts
	Exported            string
}

// tile is one of the headline numbers.
type tile struct{ Value, Unit, Name, Note string }

// numbers is one row of the table of all numbers.
type numbers struct {
	Stage, Batch, Workers, Intra, Provider, Repeats, Rate, Low, High, CPU, Bytes, Memory, Device, PerJoule string
	Best                                                                                                   bool
}

// WriteReport writes the measurements as one HTML page that stands alone: no
// scripts, nothing fetched. Every string of the records is shown as text. Several
// measurements stand side by side. What they were compared with, if anything, comes
// with its verdict.
func WriteReport(w io.Writer, benches []*Bench, compared *Comparison) error {
	all := make([]*Summary, len(benches))
	for i, b := range benches {
		all[i] = Summarize(b)
	}
	page := newReportPage(all)
	for _, b := range benches {
		if note := cutNote(b); note != "" {
			page.Warnings = append(page.Warnings, note)
		}
	}
	page.Compared = newReportCompared(compared)
	if err := reportTemplate.Execute(w, page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func newReportPage(all []*Summary) *reportPage {
	p := &reportPage{Title: "No measurements", Eyebrow: "millrace bench", Several: len(all) > 1, Labels: labels(all)}
	if len(all) == 0 {
		return p
	}
	for i, s := range all {
		p.Benches = append(p.Benches, newReportBench(fmt.Sprintf("b%d", i+1), p.Labels[i], s))
	}
	models := each(all, func(s *Summary) string { return s.Head.Model.SHA256 })
	name := page.Plain(all[0].Head.Model.Name)
	switch {
	case !p.Several:
		p.Title = name + " on " + p.Labels[0]
		p.Lead = leadOne(all[0])
	case same(models):
		p.Title = fmt.Sprintf("%s, %d measurements", name, len(all))
		if machines := each(all, func(s *Summary) string { return machineName(&s.Head.Machine) }); distinct(machines) {
			p.Title = fmt.Sprintf("%s on %d machines", name, len(all))
		}
	default:
		p.Title = fmt.Sprintf("%d measurements", len(all))
	}
	if p.Several {
		p.Beside = beside(all)
		if same(models) && sameData(all) {
			p.Compare, p.Lead = compareBars(all, p.Labels), leadSeveral(all, p.Labels)
		} else {
			p.Warnings = append(p.Warnings, "These measurements are not of the same model and data. Rows a second of one cannot be held against those of another.")
		}
	}
	for i, s := range all {
		for _, warning := range []string{briefly(s), restless(s)} {
			if warning != "" && p.Several {
				warning = p.Labels[i] + ": " + warning
			}
			if warning != "" {
				p.Warnings = append(p.Warnings, warning)
			}
		}
	}
	p.Facts = facts(all)
	return p
}

// leadOne says the result in sentences.
func leadOne(s *Summary) []string {
	var out []string
	if t := billion(s); t.known() {
		sentence := "A billion rows take " + page.Time(t.Median)
		if s.RowsPerUnit.known() {
			sentence += fmt.Sprintf(" and cost %s at %g an hour", page.Significant(1e9/s.RowsPerUnit.Median), s.Head.PricePerHour)
		}
		out = append(out, sentence+", from file to file.")
	}
	if without := withoutTensors(s); without != "" {
		out = append(out, without)
	} else if s.OfCeiling.known() && s.OfCeiling.Median <= 1 { // more is noise, and needs no praise
		out = append(out, fmt.Sprintf("That is %s of what this machine allows, measured stage by stage.", page.Percent(s.OfCeiling.Median)))
	}
	var sum float64
	for _, a := range s.Best {
		sum += a.CPUSecondsPerRow.Median
	}
	if a := s.Best[StageInfer]; a != nil && sum > 0 && len(s.Best) > 1 {
		out = append(out, fmt.Sprintf("Inference itself is %s of the CPU time.", page.Percent(a.CPUSecondsPerRow.Median/sum)))
	}
	return out
}

// withoutTensors says why whole runs that make no tensors are held against stages that
// do, and may be above their ceiling; empty of others.
func withoutTensors(s *Summary) string {
	made, whole := s.Best[StageAssemble], s.EndToEnd
	if !s.OfCeiling.known() || made == nil || whole == nil || made.BytesCopiedPerRow == 0 || whole.BytesCopiedPerRow > 0 || whole.BytesViewedPerRow == 0 {
		return ""
	}
	return fmt.Sprintf("That is %s of what the stages allow, measured one by one: with tensors, which the run does not make. "+
		"Millrace's kernels take columns where they lie.", page.Percent(s.OfCeiling.Median))
}

// leadSeveral says which is fastest, and what it costs in cores, watts and money.
func leadSeveral(all []*Summary, names []string) []string {
	compare := func(of func(s *Summary) Estimate) (first, last int) {
		first, last = -1, -1
		for i, s := range all {
			e := of(s)
			if !e.known() {
				continue
			}
			if first < 0 || e.Median > of(all[first]).Median {
				first = i
			}
			if last < 0 || e.Median <= of(all[last]).Median {
				last = i
			}
		}
		return first, last
	}
	var out []string
	for _, m := range []struct {
		of   func(s *Summary) Estimate
		same string
		more string
	}{
		{func(s *Summary) Estimate {
			if s.EndToEnd == nil {
				return Estimate{}
			}
			return s.EndToEnd.RowsPerSecond
		}, "End to end, all are as fast within noise.", "%s is %s times as fast as %s end to end."},
		{func(s *Summary) Estimate { return s.RowsPerSecondPerCore }, "Per core they are equal within noise.", "Per core, %s does %s times the rows of %s."},
		{func(s *Summary) Estimate { return s.RowsPerJoule }, "Per watt they are equal within noise.", "Per watt, %s does %s times the rows of %s."},
		{func(s *Summary) Estimate { return s.RowsPerUnit }, "For the money they are equal within noise.", "For the same money, %s scores %s times the rows of %s."},
	} {
		first, last := compare(m.of)
		if first == last { // one or none is known
			continue
		}
		ratio := m.of(all[first]).over(m.of(all[last]))
		if ratio.Low <= 1 {
			out = append(out, m.same)
			continue
		}
		out = append(out, fmt.Sprintf(m.more, names[first], page.Significant(ratio.Median), names[last]))
	}
	return out
}

func newReportBench(id, label string, s *Summary) *reportBench {
	b := &reportBench{
		ID: id, Label: label, Kind: machineKind(&s.Head.Machine), Tiles: tiles(s),
		Throughput: throughputChart(id+"-throughput", s), Memory: memoryChart(id+"-memory", s),
		Ceilings: ceilingBars(s), Time: timeBars(s), Bytes: bytesBars(s), Strips: newStrips(s),
		Numbers: allNumbers(s), Joules: anyJoules(s), Device: anyDevice(s), Command: shellQuote(s.Head.Command),
	}
	head := s.EndToEnd
	if b.NumberOf = "rows a second, end to end"; head == nil {
		head, b.NumberOf = s.Best[StageInfer], "rows a second, inference alone"
	}
	if head != nil {
		b.Number, b.Prefix = page.CountParts(head.RowsPerSecond.Median)
		if b.Within = sureness(head.RowsPerSecond); head.RowsPerSecond.Repeats > 1 {
			b.Within = fmt.Sprintf("%s (%s)", rangeOf(head.RowsPerSecond, page.Count), b.Within)
		}
	}
	if c := s.Ceiling; c != nil {
		switch c.Binds {
		case BySharedCores:
			b.Bound = fmt.Sprintf("The cores bind: the stages together need %s of CPU a row, and %g cores give no more than %s rows/s.",
				page.Time(c.CPUSeconds.Median), c.Cores, page.Count(c.SharedCores.Median))
		case BySlowestStage:
			b.Bound = fmt.Sprintf("The slowest stage binds: %s alone reaches %s rows/s.", stageName(c.SlowestStage), page.Count(c.SlowestAlone.Median))
		}
		if len(c.MissingStages) > 0 {
			b.Bound += " Not measured: " + stageList(c.MissingStages) + "; the true ceiling may be lower."
		}
	}
	b.Exported = exportedSentence(s)
	b.Auto = strings.TrimSpace(strings.ReplaceAll(autoLine(s), "\n ", ""))
	if s.EndToEnd == nil {
		b.Absent = "End to end was not measured."
	}
	b.Stops = strings.TrimSpace(strings.ReplaceAll(stopLines(s), "\n", ". "))
	return b
}

// exportedSentence says what the bar of the model as exported is; "" without.
func exportedSentence(s *Summary) string {
	e := s.Exported
	if e == nil {
		return ""
	}
	out := fmt.Sprintf("As exported, on ONNX Runtime's own kernels, inference alone reaches %s rows/s (%s, %s)",
		page.Count(e.RowsPerSecond.Median), rangeOf(e.RowsPerSecond, page.Count), sureness(e.RowsPerSecond))
	if s.OfExported.known() {
		out += "; end to end against that: " + timesOf(s.OfExported.Median)
	}
	return out + ". It is part of no ceiling: the infer of the others is the model as it is run."
}

// tiles are the headline numbers below the first.
func tiles(s *Summary) []tile {
	var out []tile
	if s.OfCeiling.known() {
		number := strings.TrimSuffix(page.Percent(s.OfCeiling.Median), "%")
		out = append(out, tile{number, "%", "of the ceiling", rangeOf(s.OfCeiling, page.Percent)})
	} else if infer := s.Best[StageInfer]; infer != nil && infer.CPUSecondsPerRow.known() {
		value, unit, _ := strings.Cut(page.Time(infer.CPUSecondsPerRow.Median), " ")
		out = append(out, tile{value, unit, "of CPU a row", "inference alone"})
	}
	best := s.BestFixed
	if best == nil {
		best = s.Best[StageInfer]
	}
	if best != nil {
		t := tile{humanize.Comma(int64(best.BatchRows)), "rows", "best batch", ""}
		if s.Auto != nil {
			t.Note = "auto chose " + humanize.Comma(int64(s.Auto.BatchRows))
			if s.AutoOfBestFixed.known() {
				t.Note += ", " + page.Change(s.AutoOfBestFixed.Median)
			}
		}
		out = append(out, t)
	}
	memory := s.EndToEnd
	if memory == nil {
		memory = s.Best[StageInfer]
	}
	if memory != nil && memory.PeakMemoryBytes > 0 {
		value, unit, _ := strings.Cut(page.Memory(memory.PeakMemoryBytes), " ")
		out = append(out, tile{value, unit, "peak memory", "most of " + page.Number(memory.RowsPerSecond.Repeats, "repeat")})
	}
	if memory != nil && memory.PeakDeviceMemoryBytes > 0 {
		value, unit, _ := strings.Cut(deviceMemoryOf(memory), " ")
		out = append(out, tile{value, unit, "memory of the device", "most, of all processes"})
	}
	for _, m := range costs(s)[:3] {
		if m.value == "" {
			continue
		}
		value, unit, _ := strings.Cut(m.value, " ")
		out = append(out, tile{value, unit, m.name, ""})
	}
	return out
}

// allNumbers is every arm.
func allNumbers(s *Summary) []numbers {
	count := func(n int) string {
		if n <= 0 {
			return page.Unknown
		}
		return humanize.Comma(int64(n))
	}
	out := make([]numbers, 0, len(s.Arms))
	joules, device := anyJoules(s), anyDevice(s)
	for _, a := range s.Arms {
		n := numbers{
			Stage: stageName(a.Stage), Batch: count(a.BatchRows), Workers: count(a.Workers), Intra: count(a.IntraOpThreads), Provider: page.Plain(a.Provider),
			Repeats: count(a.RowsPerSecond.Repeats),
			Rate:    page.Whole(a.RowsPerSecond.Median), Low: page.Whole(a.RowsPerSecond.Low), High: page.Whole(a.RowsPerSecond.High),
			CPU: page.Time(a.CPUSecondsPerRow.Median), Bytes: page.Unknown, Memory: page.Memory(a.PeakMemoryBytes),
			Best: a == s.BestFixed || a == s.EndToEnd || s.Best[a.Stage] != nil && a.key() == s.Best[a.Stage].key(),
		}
		if a.BytesPerSecond.known() {
			n.Bytes = page.Count(a.BytesPerSecond.Median) + "B/s"
		}
		if joules {
			n.PerJoule = page.Count(a.RowsPerJoule.Median)
		}
		if device {
			n.Device = cmp.Or(deviceMemoryOf(a), page.Unknown)
		}
		if a.Chosen {
			n.Stage += ", auto"
		}
		if a.Stopped != nil {
			n.Stage += ", given up"
		}
		out = append(out, n)
	}
	return out
}

func anyJoules(s *Summary) bool {
	return slices.ContainsFunc(s.Arms, func(a *ArmSummary) bool { return a.RowsPerJoule.known() })
}

func anyDevice(s *Summary) bool {
	return slices.ContainsFunc(s.Arms, func(a *ArmSummary) bool { return a.PeakDeviceMemoryBytes > 0 })
}

// facts are what was measured with what, one line each; lines that nobody knows
// are left out.
func facts(all []*Summary) []page.Fact {
	var out []page.Fact
	for _, f := range []struct {
		name string
		of   func(s *Summary, h *Head) string
	}{
		{"machine", func(_ *Summary, h *Head) string { return machineName(&h.Machine) }},
		{"processor", func(_ *Summary, h *Head) string { return page.Plain(h.Machine.CPU) }},
		{"architecture", func(_ *Summary, h *Head) string { return page.Plain(h.Machine.Arch) }},
		{"cores granted", func(_ *Summary, h *Head) string {
			return fmt.Sprintf("%g of %d", h.Machine.Granted(), h.Machine.CoresOnline)
		}},
		{"features", func(_ *Summary, h *Head) string { return page.Plain(strings.Join(h.Machine.CPUFeatures, ", ")) }},
		{"caches L1, L2, L3", func(_ *Summary, h *Head) string {
			if h.Machine.L1Bytes+h.Machine.L2Bytes+h.Machine.L3Bytes <= 0 {
				return ""
			}
			return page.Memory(h.Machine.L1Bytes) + ", " + page.Memory(h.Machine.L2Bytes) + ", " + page.Memory(h.Machine.L3Bytes)
		}},
		{"memory granted", func(_ *Summary, h *Head) string { return known(h.Machine.MemoryBytes, page.Memory) }},
		{"GPUs", func(_ *Summary, h *Head) string { return gpuNames(&h.Machine) }},
		{"kernel", func(_ *Summary, h *Head) string { return page.Plain(h.Machine.Kernel) }},
		{"cgroup limits", func(_ *Summary, h *Head) string {
			var limits []string
			if h.Machine.CgroupCores > 0 {
				limits = append(limits, fmt.Sprintf("%g cores", h.Machine.CgroupCores))
			}
			if h.Machine.CgroupMemoryBytes > 0 {
				limits = append(limits, page.Memory(h.Machine.CgroupMemoryBytes))
			}
			return strings.Join(limits, ", ")
		}},
		{"power told by", func(_ *Summary, h *Head) string { return page.Plain(h.Machine.PowerSource) }},
		{"no power", func(_ *Summary, h *Head) string { return page.Plain(h.Machine.NoPower) }},
		{"commit", func(_ *Summary, h *Head) string { return page.Plain(h.Versions.Commit) }},
		{"price an hour", func(_ *Summary, h *Head) string {
			if h.PricePerHour <= 0 {
				return ""
			}
			return fmt.Sprintf("%g", h.PricePerHour)
		}},
		{"millrace", func(_ *Summary, h *Head) string {
			return versionName(&h.Versions)
		}},
		{"ONNX Runtime", func(_ *Summary, h *Head) string { return page.Plain(h.Versions.ORT) }},
		{"Go", func(_ *Summary, h *Head) string { return page.Plain(h.Versions.Go) }},
		{"kernels in use", func(_ *Summary, h *Head) string { return page.Plain(h.Versions.Kernels) }},
		{"model", func(_ *Summary, h *Head) string {
			return strings.Trim(page.Plain(h.Model.Name)+", "+known(h.Model.Bytes, page.Memory), ", ")
		}},
		{"rewritten", func(_ *Summary, h *Head) string { return rewritesOf(h) }},
		{"model sha256", func(_ *Summary, h *Head) string { return page.Plain(h.Model.SHA256) }},
		{"data", func(_ *Summary, h *Head) string {
			return fmt.Sprintf("%s rows of %s, %d columns; %s", humanize.Comma(h.Data.Rows), page.Plain(h.Data.Format), h.Data.Columns, dataKind(&h.Data))
		}},
		{"data sha256", func(_ *Summary, h *Head) string { return page.Plain(h.Data.SHA256) }},
		{"settings", func(_ *Summary, h *Head) string {
			var set []string
			for _, flag := range slices.Sorted(maps.Keys(h.Settings)) {
				set = append(set, page.Plain("--"+flag+" "+h.Settings[flag]))
			}
			return strings.Join(set, " ")
		}},
		{"measured", func(_ *Summary, h *Head) string { return h.Started.UTC().Format("2 January 2006, 15:04 UTC") }},
		{"records", func(s *Summary, _ *Head) string { return page.Plain(s.ID) }},
	} {
		cells := each(all, func(s *Summary) string { return f.of(s, s.Head) })
		if !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
			continue
		}
		for i := range cells {
			if cells[i] == "" {
				cells[i] = page.Unknown
			}
		}
		out = append(out, page.Fact{Name: f.name, Cells: cells})
	}
	return out
}

func known(n int64, write func(int64) string) string {
	if n <= 0 {
		return ""
	}
	return write(n)
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellQuote writes a command as a POSIX shell reads it. Characters that cannot
// be shown are replaced: then the command is to be read, not run.
func shellQuote(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		a = strings.Map(func(r rune) rune {
			if r != ' ' && !unicode.IsPrint(r) {
				return unicode.ReplacementChar
			}
			return r
		}, a)
		if !shellSafe.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted[i] = a
	}
	return strings.Join(quoted, " ")
}
