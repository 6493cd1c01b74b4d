package bench

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/page"
)

// ceilingBars holds the stages alone and the shared cores against end to end, and
// that against the model as exported, which is part of no ceiling. A stage that is far faster than the rest is cut, or the rest could not be seen.
func ceilingBars(s *Summary) *page.Bars {
	type row struct {
		label, note, class string
		rate               Estimate
		strong             bool
	}
	var rows []row
	for _, stage := range stagesInOrder {
		if a := s.Best[stage]; a != nil {
			rows = append(rows, row{stageName(stage) + " alone", settings(a.Arm, false), "stage", a.RowsPerSecond, false})
		}
	}
	scale := math.Inf(1)
	if c := s.Ceiling; c != nil {
		if c.SharedCores.known() {
			rows = append(rows, row{"all stages on shared cores", fmt.Sprintf("%g cores ÷ %s of CPU a row", c.Cores, page.Time(c.CPUSeconds.Median)), "shared", c.SharedCores, false})
		}
		scale = 1.6 * c.RowsPerSecond.High
	}
	if e := s.EndToEnd; e != nil {
		rows = append(rows, row{"end to end", settings(e.Arm, e.Chosen), "whole", e.RowsPerSecond, true})
		scale = max(scale, 1.1*e.RowsPerSecond.High)
	}
	if e := s.Exported; e != nil {
		rows = append(rows, row{"as exported, ONNX Runtime's own kernels", "infer alone, " + settings(e.Arm, false), "exported", e.RowsPerSecond, false})
	}
	if len(rows) == 0 {
		return nil
	}
	most := 0.0
	for _, r := range rows {
		most = max(most, r.rate.High)
	}
	scale = min(scale, most)
	out := &page.Bars{Title: "Ceilings and end to end", Desc: "Rows a second, at the fastest settings of each."}
	if c := s.Ceiling; c != nil && s.EndToEnd != nil {
		out.Level = page.Percentage(c.RowsPerSecond.Median, scale)
	}
	for _, r := range rows {
		b := page.Bar{Label: r.label, Note: r.note, Value: page.Count(r.rate.Median), Strong: r.strong, Cut: r.rate.Median > scale*1.0001}
		b.Parts = []page.BarPart{{Class: r.class, X: "0", Width: page.Percentage(r.rate.Median, scale), Tip: fmt.Sprintf("%s: %s rows/s (%s)", r.label, page.Count(r.rate.Median), rangeOf(r.rate, page.Count))}}
		if !b.Cut && r.rate.Repeats > 1 {
			b.Low, b.High = page.Percentage(r.rate.Low, scale), page.Percentage(r.rate.High, scale)
		}
		out.Rows = append(out.Rows, b)
	}
	return out
}

// timeBars is where the time of a million rows goes: CPU seconds of the stages
// alone, and busy seconds of the stages within end to end.
func timeBars(s *Summary) *page.Bars {
	const million = 1e6
	type stack struct {
		label, note string
		seconds     map[Stage]float64
		rest        float64
	}
	alone := stack{label: "stages alone", note: "CPU time", seconds: map[Stage]float64{}}
	for _, stage := range Stages {
		if a := s.Best[stage]; a != nil && a.CPUSecondsPerRow.known() {
			alone.seconds[stage] = a.CPUSecondsPerRow.Median * million
		}
	}
	stacks := []stack{alone}
	if e := s.EndToEnd; e != nil && len(e.StageSecondsPerRow) > 0 {
		whole := stack{label: "end to end", note: "busy time", seconds: map[Stage]float64{}, rest: e.CPUSecondsPerRow.Median * million}
		for stage, v := range e.StageSecondsPerRow {
			whole.seconds[stage] = v * million
			whole.rest -= v * million
		}
		whole.rest = max(0, whole.rest)
		stacks = append(stacks, whole)
	}
	most := 0.0
	sum := func(s stack) (all float64) {
		for _, stage := range Stages {
			all += s.seconds[stage]
		}
		return all + s.rest
	}
	for _, st := range stacks {
		most = max(most, sum(st))
	}
	if most <= 0 {
		return nil
	}
	out := &page.Bars{Title: "Where the time goes", Desc: "Seconds of core time for a million rows."}
	seen := map[string]bool{}
	for _, st := range stacks {
		all := sum(st)
		if all <= 0 {
			continue
		}
		b := page.Bar{Label: st.label, Note: st.note, Value: page.Time(all)}
		at := 0.0
		add := func(class, name string, v float64) {
			if v <= 0 {
				return
			}
			part := page.BarPart{Class: class, X: page.Percentage(at, most), Width: page.Percentage(v, most), Tip: fmt.Sprintf("%s: %s, %s", name, page.Time(v), page.Percent(v/all))}
			if v/most > 0.14 {
				part.Label, part.Wide = name+" "+page.Percent(v/all), v/most < 0.5
			}
			b.Parts, at = append(b.Parts, part), at+v
			if !seen[class] {
				seen[class] = true
				out.Legend = append(out.Legend, page.Legend{Class: class, Label: name})
			}
		}
		for i, stage := range Stages {
			add(fmt.Sprintf("s%d", i+1), stageName(stage), st.seconds[stage])
		}
		add("rest", "elsewhere", st.rest)
		out.Rows = append(out.Rows, b)
	}
	for i := range out.Rows {
		out.Columns = append(out.Columns, out.Rows[i].Label, "share")
	}
	for i, stage := range append(slices.Clone(Stages), "") {
		name, class := "elsewhere", "rest"
		if stage != "" {
			name, class = stageName(stage), fmt.Sprintf("s%d", i+1)
		}
		if !seen[class] {
			continue
		}
		row := page.Fact{Name: name}
		for _, st := range stacks {
			all := sum(st)
			if all <= 0 {
				continue
			}
			v := st.rest
			if stage != "" {
				v = st.seconds[stage]
			}
			row.Cells = append(row.Cells, page.Time(v), page.Percent(v/all))
		}
		out.Table = append(out.Table, row)
	}
	slices.SortStableFunc(out.Legend, func(a, b page.Legend) int { // s1 to s4, then the rest
		order := func(class string) int { return map[bool]int{true: 1}[class == "rest"] }
		return order(a.Class) - order(b.Class)
	})
	return out
}

// bytesBars is what happens to the bytes of a row, end to end, or what that does
// not tell, in the stages alone.
func bytesBars(s *Summary) *page.Bars {
	var decoded, copied, viewed, written float64
	if e := s.EndToEnd; e != nil {
		decoded, copied, viewed, written = e.BytesReadPerRow, e.BytesCopiedPerRow, e.BytesViewedPerRow, e.BytesWrittenPerRow
	}
	if a := s.Best[StageRead]; a != nil && decoded == 0 {
		decoded = a.BytesReadPerRow
	}
	if a := s.Best[StageAssemble]; a != nil && copied+viewed == 0 {
		copied, viewed = a.BytesCopiedPerRow, a.BytesViewedPerRow
	}
	if a := s.Best[StageWrite]; a != nil && written == 0 {
		written = a.BytesWrittenPerRow
	}
	most := max(decoded, copied, viewed, written)
	if most <= 0 {
		return nil
	}
	out := &page.Bars{Title: "Bytes of a row", Desc: "Bytes a row that are decoded, copied into tensors, viewed in place, and written."}
	for _, r := range []struct {
		label, note, class string
		v                  float64
	}{
		{"decoded", "columns the model needs", "s1", decoded},
		{"copied into tensors", "transpose, cast, null fill", "s2", copied},
		{"viewed in place", "no copy", "s3", viewed},
		{"written", "predictions and ids", "s4", written},
	} {
		if r.v == 0 && (r.class != "s3" || copied == 0) {
			continue // not counted; a view of no bytes says something only beside copies
		}
		value := page.Significant(r.v) + " B"
		out.Rows = append(out.Rows, page.Bar{
			Label: r.label, Note: r.note, Value: value,
			Parts: []page.BarPart{{Class: r.class, X: "0", Width: page.Percentage(r.v, most), Tip: r.label + ": " + value + " a row"}},
		})
	}
	return out
}

// compareBars are the measures by which hardware is chosen, a group of bars
// each, a bar for each measurement. Measures that fewer than two know are left
// out.
func compareBars(all []*Summary, names []string) []*page.Bars {
	var out []*page.Bars
	for _, m := range []struct {
		title, unit string
		write       func(float64) string
		of          func(s *Summary) Estimate
	}{
		{"End to end", "rows a second", page.Count, func(s *Summary) Estimate {
			if s.EndToEnd != nil {
				return s.EndToEnd.RowsPerSecond
			}
			return Estimate{}
		}},
		{"Bare inference", "rows a second, best settings", page.Count, func(s *Summary) Estimate {
			if a := s.Best[StageInfer]; a != nil {
				return a.RowsPerSecond
			}
			return Estimate{}
		}},
		{"Per core", "rows a second for each core granted", page.Count, func(s *Summary) Estimate { return s.RowsPerSecondPerCore }},
		{"Per watt", "rows a second for each watt", page.Count, func(s *Summary) Estimate { return s.RowsPerJoule }},
		{"For the money", "million rows for one unit of money", millionsOf, func(s *Summary) Estimate { return s.RowsPerUnit }},
	} {
		most, known := 0.0, 0
		for _, s := range all {
			if e := m.of(s); e.known() {
				most, known = max(most, e.High), known+1
			}
		}
		if known < 2 {
			continue
		}
		group := &page.Bars{Title: m.title, Desc: m.unit}
		for i, s := range all {
			e := m.of(s)
			b := page.Bar{Label: names[i], Value: page.Unknown}
			if e.known() {
				b.Value = m.write(e.Median)
				b.Parts = []page.BarPart{{Class: fmt.Sprintf("c%d", i%maxCurves+1), X: "0", Width: page.Percentage(e.Median, most), Tip: fmt.Sprintf("%s: %s (%s)", names[i], m.write(e.Median), rangeOf(e, m.write))}}
				if e.Repeats > 1 {
					b.Low, b.High = page.Percentage(e.Low, most), page.Percentage(e.High, most)
				}
			}
			group.Rows = append(group.Rows, b)
		}
		out = append(out, group)
	}
	return out
}

// strips shows every repeat of the arms that the headline stands on, as its
// distance from the arm's median, in the order in which they were made.
type strips struct {
	Title, Desc string
	Rows        []strip
	Left, Right string // the ends of the axis
}

type strip struct {
	Label, Note string
	Low, Width  string // the median's interval
	Height      string
	Dots        []dot
}

type dot struct {
	X, Y, Tip    string
	Warmup, Edge bool
}

const (
	dotPixels = 7.0
	maxDots   = 60 // a strip of more would be taller than a page
)

func newStrips(s *Summary) *strips {
	var arms []*ArmSummary
	for _, stage := range Stages {
		if a := s.Best[stage]; a != nil {
			arms = append(arms, a)
		}
	}
	for _, a := range []*ArmSummary{s.Auto, s.BestFixed, s.Exported} {
		if a != nil {
			arms = append(arms, a)
		}
	}
	if len(arms) == 0 {
		return nil
	}
	reach := 0.01
	for _, a := range arms {
		for _, r := range a.rates() {
			reach = max(reach, math.Abs(r/a.RowsPerSecond.Median-1))
		}
	}
	for _, nice := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5} {
		if reach <= nice || nice == 0.5 {
			reach = nice
			break
		}
	}
	x := func(ratio float64) float64 { return 50 + 46*min(1, max(-1, (ratio-1)/reach)) }
	out := &strips{
		Title: "Every repeat", Desc: "Each dot is one repeat, the first above the last, as its distance from the median.",
		Left: page.Change(1 - reach), Right: page.Change(1 + reach),
	}
	for _, a := range arms {
		e := a.RowsPerSecond
		low, high := x(e.Low/e.Median), x(e.High/e.Median)
		row := strip{
			Label: stageName(a.Stage), Note: settings(a.Arm, a.Chosen), Low: px(low), Width: px(high - low),
		}
		for i := range a.repeats[:min(len(a.repeats), maxDots)] {
			r := &a.repeats[i]
			ratio := r.RowsPerSecond() / e.Median
			d := dot{X: px(x(ratio)), Y: px(dotPixels * (float64(i) + 1)), Warmup: r.Warmup, Edge: math.Abs(ratio-1) > reach*1.0001}
			d.Tip = fmt.Sprintf("repeat %d: %s rows/s, %s", i+1, page.Count(r.RowsPerSecond()), page.Change(ratio))
			if r.Warmup {
				d.Tip += ", warm-up, not counted"
			}
			row.Dots = append(row.Dots, d)
		}
		row.Height = px(dotPixels * float64(len(row.Dots)+1))
		out.Rows = append(out.Rows, row)
	}
	return out
}
