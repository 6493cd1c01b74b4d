package bench

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// How numbers are written, on the terminal and on the page alike: three digits
// that count, and a unit that a person says. What is not known is a dash.

const unknown = "–"

// significant writes v with three digits that count.
func significant(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.001:
		return fmt.Sprintf("%.2g", v)
	case a < 0.0999:
		return fmt.Sprintf("%.3g", v)
	case a < 9.995:
		return fmt.Sprintf("%.2f", v)
	case a < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// countOf writes a large number with k, M, G or T.
func countOf(v float64) string {
	if v <= 0 {
		return unknown
	}
	number, unit := countParts(v)
	return strings.TrimRight(number+" "+unit, " ")
}

// countParts is a number and its prefix, apart so that a column of numbers with
// one prefix can be aligned.
func countParts(v float64) (number, prefix string) {
	for _, prefix = range []string{"", "k", "M", "G", "T"} {
		if v < 999.5 {
			break
		}
		if prefix != "T" {
			v /= 1000
		}
	}
	return significant(v), prefix
}

// millionsOf writes a number of rows in millions.
func millionsOf(v float64) string {
	if v < 999.5e6 {
		return significant(v / 1e6)
	}
	return wholeOf(v / 1e6)
}

// wholeOf writes a number in full.
func wholeOf(v float64) string {
	if v >= 1e15 {
		return countOf(v)
	}
	return humanize.Comma(int64(v + 0.5))
}

// timeOf writes seconds with the unit that fits.
func timeOf(seconds float64) string {
	switch {
	case seconds <= 0:
		return unknown
	case seconds < 999.5e-9:
		return significant(seconds*1e9) + " ns"
	case seconds < 999.5e-6:
		return significant(seconds*1e6) + " µs"
	case seconds < 0.9995:
		return significant(seconds*1e3) + " ms"
	case seconds < 59.95:
		return significant(seconds) + " s"
	case seconds < 48*3600:
		d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
		if d < time.Hour {
			return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
		}
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return countOf(seconds/86400) + " days"
	}
}

func memoryOf(n int64) string {
	if n <= 0 {
		return unknown
	}
	return humanize.IBytes(uint64(n))
}

// percentOf writes a ratio as a percentage.
func percentOf(ratio float64) string {
	if ratio <= 0 {
		return unknown
	}
	return fmt.Sprintf("%.1f%%", ratio*100)
}

// timesOf writes a ratio as a percentage, or from twice on as a multiple.
func timesOf(ratio float64) string {
	if ratio < 1.9995 {
		return percentOf(ratio)
	}
	return significant(ratio) + "x"
}

// changeOf writes how far a ratio is from 1, with its sign.
func changeOf(ratio float64) string {
	if ratio <= 0 {
		return unknown
	}
	change := (ratio - 1) * 100
	if math.Abs(change) < 0.05 {
		return "0.0%"
	}
	return strings.Replace(fmt.Sprintf("%+.1f%%", change), "-", "−", 1)
}

// rangeOf writes an interval with the prefix said once when both ends share it.
func rangeOf(e Estimate, write func(float64) string) string {
	if !e.known() {
		return unknown
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
			rangeOf(e, countOf), percentOf(width))
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
	return plain(string(s))
}

// maxRewrites is how many rewrites are told apart.
const maxRewrites = 3

// rewritesOf says what was run otherwise than the model's file has it; "" for
// nothing, and for records that do not tell.
func rewritesOf(h *Head) string {
	var parts []string
	for _, rewrite := range h.Rewrites[:min(len(h.Rewrites), maxRewrites)] {
		parts = append(parts, plainTo(rewrite, 2*plainRunes))
	}
	if more := len(h.Rewrites) - maxRewrites; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// numberOf writes a number of things.
func numberOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return humanize.Comma(int64(n)) + " " + thing + "s"
}

// settings names an arm.
func settings(a Arm, chosen bool) string {
	if a.BatchRows == 0 && a.Workers == 0 && a.IntraOpThreads == 0 {
		return plain(a.Provider)
	}
	s := humanize.Comma(int64(a.BatchRows)) + " rows"
	if a.Workers > 0 {
		s += ", " + numberOf(a.Workers, "worker")
	}
	if a.IntraOpThreads > 1 {
		s += fmt.Sprintf(", intra %d", a.IntraOpThreads)
	}
	if a.Provider != "" && a.Provider != "cpu" {
		s += ", " + plain(a.Provider)
	}
	if chosen {
		s = "auto: " + s
	}
	return s
}

// plainRunes bounds how much of a string from a file is shown.
const plainRunes = 80

// plain makes a string from a file fit to show: one line, nothing that moves the
// cursor, turns the writing direction or hides, and not endless.
func plain(s string) string { return plainTo(s, plainRunes) }

// plainTo is plain with another bound.
func plainTo(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteRune('…')
			break
		}
		if r == unicode.ReplacementChar || r != ' ' && !unicode.IsPrint(r) { // controls, bidi and zero-width are not printable
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// machineName is what a machine is called: by its user, or by its processor.
func machineName(m *Machine) string {
	switch {
	case m.Name != "":
		return plain(m.Name)
	case m.CPU != "":
		return plain(m.CPU)
	default:
		return "unnamed machine"
	}
}

// machineKind is what a machine is.
func machineKind(m *Machine) string {
	var parts []string
	if m.Cores > 0 {
		cores := numberOf(m.Cores, "core")
		if m.CoresOnline > m.Cores {
			cores += fmt.Sprintf(" of %d", m.CoresOnline)
		}
		parts = append(parts, cores)
	}
	if m.CPU != "" {
		parts = append(parts, plain(m.CPU))
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
		if names[i] = plain(name); count[name] > 1 {
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
	number, prefix := countParts(v)
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
		func(h *Head) string { return plain(h.Model.Name) },
		func(h *Head) string { return h.Data.Format },
		func(h *Head) string { return cut(h.Versions.Commit, 7) },
		func(h *Head) string { return h.Started.UTC().Format("2 Jan 15:04") },
	} {
		if distinct(out) {
			break
		}
		more := make([]string, len(all))
		for i, s := range all {
			more[i] = plain(also(s.Head))
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
