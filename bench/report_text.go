package bench

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/page"
)

// millionsOf writes a number of rows in millions.
func millionsOf(v float64) string {
	if v < 999.5e6 {
		return page.Significant(v / 1e6)
	}
	return page.Whole(v / 1e6)
}

// timesOf writes a ratio as a percentage, or from twice on as a multiple.
func timesOf(ratio float64) string {
	if ratio < 1.9995 {
		return page.Percent(ratio)
	}
	return page.Significant(ratio) + "x"
}

// rangeOf writes an interval with the prefix said once when both ends share it.
func rangeOf(e Estimate, write func(float64) string) string {
	if !e.known() {
		return page.Unknown
	}
	low, high := write(e.Low), write(e.High)
	if low == high {
		return high
	}
	if i := strings.LastIndexByte(low, ' '); i >= 0 && strings.HasSuffix(high, low[i:]) {
		low = low[:i]
	}
	return strings.TrimSuffix(low, "%") + "–" + high
}

// sureness says what an estimate's interval is.
func sureness(e Estimate) string {
	switch {
	case e.Repeats == 1:
		return "one repeat"
	case e.Confidence < confidence:
		return fmt.Sprintf("range of %d", e.Repeats)
	default:
		return fmt.Sprintf("95%%, n=%d", e.Repeats)
	}
}

// unrest is how wide an interval may be, as a share of its median, before the
// reader is told that the machine was not quiet.
const unrest = 0.25

// restless says so when the repeats end to end, or else of inference, are too far
// apart to stand on; "" when they are not.
func restless(s *Summary) string {
	a := s.EndToEnd
	if a == nil {
		a = s.Best[StageInfer]
	}
	if a == nil || a.RowsPerSecond.Repeats < 2 {
		return ""
	}
	e := a.RowsPerSecond
	if width := (e.High - e.Low) / e.Median; width > unrest {
		return fmt.Sprintf("The repeats are far apart (%s, %s wide): the machine was busy with something else, or is shared. Measure again when it is quiet.",
			rangeOf(e, page.Count), page.Percent(width))
	}
	return ""
}

// stageName is a stage's name in sentences.
func stageName(s Stage) string {
	switch s {
	case StageEndToEnd:
		return "end to end"
	case StageInferExported:
		return "infer, as exported"
	case StageCopyIn:
		return "copy to the device"
	case StageCopyOut:
		return "copy from the device"
	case StageRead, StageAssemble, StageInfer, StageWrite, StageCompute:
	}
	return page.Plain(string(s))
}

// maxRewrites is how many rewrites are told apart.
const maxRewrites = 3

// rewritesOf says what was run otherwise than the model's file has it; "" for
// nothing, and for records that do not tell.
func rewritesOf(h *Head) string {
	var parts []string
	for _, rewrite := range h.Rewrites[:min(len(h.Rewrites), maxRewrites)] {
		parts = append(parts, page.PlainTo(rewrite, 2*page.PlainRunes))
	}
	if more := len(h.Rewrites) - maxRewrites; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// settings names an arm.
func settings(a Arm, chosen bool) string {
	if a.BatchRows == 0 && a.Workers == 0 && a.IntraOpThreads == 0 {
		return page.Plain(a.Provider)
	}
	s := humanize.Comma(int64(a.BatchRows)) + " rows"
	if a.Workers > 0 {
		s += ", " + page.Number(a.Workers, "worker")
	}
	if a.IntraOpThreads > 1 {
		s += fmt.Sprintf(", intra %d", a.IntraOpThreads)
	}
	if a.Provider != "" && a.Provider != "cpu" {
		s += ", " + page.Plain(a.Provider)
	}
	if chosen {
		s = "auto: " + s
	}
	return s
}

// machineName is what a machine is called: by its user, or by its processor.
func machineName(m *Machine) string {
	switch {
	case m.Name != "":
		return page.Plain(m.Name)
	case m.CPU != "":
		return page.Plain(m.CPU)
	default:
		return "unnamed machine"
	}
}

// machineKind is what a machine is.
func machineKind(m *Machine) string {
	var parts []string
	if m.Cores > 0 {
		cores := page.Number(m.Cores, "core")
		if granted := m.Granted(); granted < float64(m.Cores) {
			cores = fmt.Sprintf("%g cores", granted)
		}
		if m.CoresOnline > m.Cores {
			cores += fmt.Sprintf(" of %d", m.CoresOnline)
		}
		parts = append(parts, cores)
	}
	if m.CPU != "" {
		parts = append(parts, page.Plain(m.CPU))
	}
	if gpus := gpuNames(m); gpus != "" {
		parts = append(parts, gpus)
	}
	return strings.Join(parts, ", ")
}

// gpuNames lists GPUs, equal ones once.
func gpuNames(m *Machine) string {
	var names []string
	count := map[string]int{}
	for _, gpu := range m.GPUs {
		if count[gpu]++; count[gpu] == 1 {
			names = append(names, gpu)
		}
	}
	for i, name := range names {
		if names[i] = page.Plain(name); count[name] > 1 {
			names[i] = fmt.Sprintf("%d × %s", count[name], names[i])
		}
	}
	return strings.Join(names, ", ")
}

// bytesOf writes bytes of a row.
func bytesOf(v float64) string {
	if v <= 0 {
		return "0 B"
	}
	number, prefix := page.CountParts(v)
	return number + " " + prefix + "B"
}

// labels tell several measurements apart as shortly as can be: by machine, then
// also by model, data, commit, and in the end by number.
func labels(all []*Summary) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = machineName(&s.Head.Machine)
	}
	for _, also := range []func(h *Head) string{
		func(h *Head) string { return page.Plain(h.Model.Name) },
		func(h *Head) string { return h.Data.Format },
		func(h *Head) string { return cut(h.Versions.Commit, 7) },
		func(h *Head) string { return h.Started.UTC().Format("2 Jan 15:04") },
	} {
		if distinct(out) {
			break
		}
		more := make([]string, len(all))
		for i, s := range all {
			more[i] = page.Plain(also(s.Head))
		}
		if same(more) {
			continue
		}
		for i := range out {
			if more[i] != "" {
				out[i] += " · " + more[i]
			}
		}
	}
	if !distinct(out) {
		for i := range out {
			out[i] += fmt.Sprintf(" #%d", i+1)
		}
	}
	return out
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func distinct(s []string) bool {
	seen := map[string]bool{}
	for _, v := range s {
		if seen[v] {
			return false
		}
		seen[v] = true
	}
	return true
}

func same(s []string) bool {
	for _, v := range s {
		if v != s[0] {
			return false
		}
	}
	return true
}
