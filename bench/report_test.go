package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// report writes the page and holds it to what every page must keep: that it is
// whole, fetches nothing, runs nothing, and has no number that is none. With
// MILLRACE_REPORT_DIR set, the pages are kept there, to be looked at.
func report(tb testing.TB, name string, benches []*Bench) string {
	tb.Helper()
	var w bytes.Buffer
	if err := WriteReport(&w, benches, nil); err != nil {
		tb.Fatal(err)
	}
	if dir := os.Getenv("MILLRACE_REPORT_DIR"); dir != "" && name != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), w.Bytes(), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	page := w.String()
	if err := soundPage(page); err != nil {
		tb.Errorf("%s: %v", name, err)
	}
	return page
}

var (
	noNumber = regexp.MustCompile(`\bNaN\b|[+-]?\bInf\b|%!|\(BADINDEX|ZgotmplZ|>-\d`)
	fetches  = regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|base|form|audio|video|image|use|foreignObject)\b|\b(src|href|srcset|action|on[a-z]+)\s*=|@import|url\(`)
	voidTags = regexp.MustCompile(`<(meta)\b([^>]*)>`)
	ids      = regexp.MustCompile(`\bid="([^"]*)"`)
)

// soundPage says what is wrong with a page, read as a browser reads it as far
// as XML can tell.
func soundPage(page string) error {
	_, body, _ := strings.Cut(page, "</style>")
	if m := noNumber.FindString(body); m != "" {
		return errors.New("it has " + m)
	}
	if m := fetches.FindString(tags(page)); m != "" {
		return errors.New("it has " + m)
	}
	var seen []string
	for _, m := range ids.FindAllStringSubmatch(tags(page), -1) {
		if slices.Contains(seen, m[1]) {
			return errors.New("two elements have the id " + m[1])
		}
		seen = append(seen, m[1])
	}
	d := xml.NewDecoder(strings.NewReader(voidTags.ReplaceAllString(strings.TrimPrefix(page, "<!DOCTYPE html>"), "<$1$2/>")))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var tag = regexp.MustCompile(`<[a-zA-Z/][^>]*>`)

// tags are the page's tags without its text.
func tags(page string) string { return strings.Join(tag.FindAllString(page, -1), "\n") }

// oneThread skips a test that races nothing, where tests are to be short.
func oneThread(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
}

func TestWriteReport(t *testing.T) {
	oneThread(t)
	all := twoMachines(t)
	one := report(t, "one", all[:1])
	for _, want := range []string{
		"flights_gbdt.onnx on m7i.large", `<span class="number">1.19<small>M</small></span>`, "rows a second, end to end",
		"95.9<small>%</small>", "8,192<small>rows</small>", "143<small>MiB</small>", "auto chose 4,096",
		"A billion rows take 13 min 58 s and cost", "The cores bind", "Given up after 1",
		"millrace bench --model flights_gbdt.onnx --input &#39;flights wide.parquet&#39;", "20 November 2026, 09:15 UTC",
		"4f1d2c9a77e0", "1.31.1", "19,632,842",
	} {
		if !strings.Contains(one, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if n, want := strings.Count(one, "<circle class=\"rep\""), 7+7+5+7+10+5; n != want {
		t.Errorf("%d repeats are drawn; want %d: those of the fastest arms, and of auto", n, want)
	}
	two := report(t, "two", all)
	for _, want := range []string{
		"flights_gbdt.onnx on 2 machines", "on-prem EPYC is 6.28 times as fast as m7i.large end to end.",
		"Per core, on-prem EPYC does 1.57 times the rows of m7i.large.", "For the same money",
		"rows/s per watt", `<td class="best">7.50 M</td>`, "8 of 64",
	} {
		if !strings.Contains(two, want) {
			t.Errorf("the page of two does not have %q", want)
		}
	}
	if strings.Contains(two, "Per watt,") {
		t.Error("watts are compared, which one machine does not tell")
	}
	twin := twoMachines(t)[0]
	if twin.Head.Machine.Name = "twin"; !strings.Contains(report(t, "", []*Bench{all[0], twin}), "End to end, all are as fast within noise.") {
		t.Error("two machines with the same repeats are told apart")
	}
	// Which of two is nearer to its ceiling is within the noise.
	if strings.Contains(two, `<td class="best">95.9%`) {
		t.Error("95.9% of the ceiling is called best, though the intervals overlap")
	}
}

// A run that makes no tensors is not said to be of what the machine allows.
func TestReportWithoutTensors(t *testing.T) {
	oneThread(t)
	const said = "with tensors, which the run does not make"
	for name, copied := range map[string]int64{"with-tensors": 128, "without-tensors": 0} {
		b := twoMachines(t)[0]
		for i := range b.Repeats {
			switch r := &b.Repeats[i]; r.Stage {
			case StageAssemble:
				r.BytesCopied = 128 * r.Rows
			case StageEndToEnd:
				r.BytesCopied, r.BytesViewed = copied*r.Rows, (128-copied)*r.Rows
			}
		}
		if got := strings.Contains(report(t, name, []*Bench{b}), said); got != (copied == 0) {
			t.Errorf("%s: the page says %q: %t", name, said, got)
		}
	}
}

// What ONNX Runtime's own kernels do is drawn beside the ceiling, not as a part
// of it, whether it is far below end to end or above.
func TestReportExported(t *testing.T) {
	oneThread(t)
	for name, c := range map[string]struct {
		share float64
		want  string
	}{
		"exported":      {0.08, "end to end against that: 10.8x"},
		"exported-fast": {3, "end to end against that: 28.8%"},
	} {
		b := withExported(t, c.share)
		page := report(t, name, []*Bench{b})
		for _, want := range []string{`<g class="exported">`, "as exported, ONNX Runtime&#39;s own kernels <small>infer alone, 8,192 rows, 2 workers", c.want, "(200 trees, 12600 leaves) runs on millrace&#39;s kernel"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not have %q", name, want)
			}
		}
		with, without := Summarize(b), Summarize(twoMachines(t)[0])
		if with.Ceiling.RowsPerSecond != without.Ceiling.RowsPerSecond || with.OfCeiling != without.OfCeiling || with.OfBareInference != without.OfBareInference {
			t.Errorf("%s: the ceiling is %+v; want %+v, as without", name, with.Ceiling, without.Ceiling)
		}
		if len(with.Ceiling.MissingStages) > 0 || with.OfExported.Repeats != 3 {
			t.Errorf("%s: stages missing: %v, of the exported: %+v; want none, by three rounds", name, with.Ceiling.MissingStages, with.OfExported)
		}
		report(t, name+"-beside", []*Bench{b, twoMachines(t)[1]})
	}
}

const evil = `<script>alert(1)</script>"'--></svg></title></style>` + "`" + `{{.}} ${x} javascript:x onload=x` + "\x1b[31m\u202e\x00"

// Names come from files that others made.
func TestReportHostileNames(t *testing.T) {
	oneThread(t)
	hostile := func() *Bench {
		b := twoMachines(t)[1]
		h := &b.Head
		h.Machine.Name, h.Machine.CPU, h.Machine.Arch, h.Machine.Kernel = evil, evil, evil, evil
		h.Machine.NoPower, h.Settings = evil, map[string]string{evil: evil}
		h.Machine.GPUs, h.Machine.CPUFeatures, h.Machine.PowerSource = []string{evil, evil}, []string{evil}, evil
		h.Versions = Versions{Millrace: evil, Commit: evil, Go: evil, ORT: evil, Kernels: evil}
		h.Model.Name, h.Model.SHA256, h.Data.Format, h.Data.SHA256, h.Data.Source = evil, evil, evil, evil, evil
		h.Command, h.Rewrites = []string{evil, "--x", evil}, []string{evil, evil, evil, evil}
		b.ID = evil
		for i := range b.Repeats {
			b.Repeats[i].Provider = evil
		}
		for i := range b.Stops {
			b.Stops[i].Reason, b.Stops[i].Provider, b.Stops[i].Stage = evil, evil, evil
		}
		return b
	}
	clean := regexp.MustCompile("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]")
	for name, benches := range map[string][]*Bench{"hostile": {hostile()}, "hostile-two": {hostile(), hostile()}} {
		page := report(t, name, benches)
		if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s: the name is not shown as text", name)
		}
		if m := clean.FindString(page); m != "" {
			t.Errorf("%s: the page has the control character %q", name, m)
		}
		var w bytes.Buffer
		if err := WriteTable(&w, benches); err != nil {
			t.Fatal(err)
		}
		c, err := Compare(benches, benches)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Text(&w); err != nil {
			t.Fatal(err)
		}
		if m := clean.FindString(w.String()); m != "" {
			t.Errorf("%s: the terminal gets the control character %q", name, m)
		}
	}
}

// Whatever was measured, and however little, is shown.
func TestReportFewData(t *testing.T) {
	oneThread(t)
	only := func(keep func(r *Repeat) bool) *Bench {
		b := twoMachines(t)[0]
		b.Repeats = slices.DeleteFunc(b.Repeats, func(r Repeat) bool { return !keep(&r) })
		return b
	}
	first := func(stage Stage) func(r *Repeat) bool {
		return func(r *Repeat) bool { return r.Stage == stage && r.Index == 1 && r.BatchRows == 8192 }
	}
	bare := &Bench{Repeats: []Repeat{{Stage: StageInfer, Rows: 1, Seconds: 1}}}
	huge := &Bench{Repeats: []Repeat{
		{Stage: StageInfer, Arm: Arm{BatchRows: 1 << 62, Workers: 1 << 40}, Rows: 1 << 62, Seconds: 1e-12, CPUSeconds: 1e-12, PeakMemoryBytes: 1 << 62, Joules: 1e-12},
		{Stage: StageEndToEnd, Arm: Arm{}, Rows: 1, Seconds: 1e12, CPUSeconds: 1e12, BytesRead: 1 << 62, StageSeconds: map[Stage]float64{StageRead: 1e12}},
	}, Head: Head{PricePerHour: 1e-9, Machine: Machine{Cores: 1 << 30}}}
	for name, benches := range map[string][]*Bench{
		"none":              {},
		"no-repeats":        {only(func(*Repeat) bool { return false })},
		"only-warm-up":      {only(func(r *Repeat) bool { return r.Warmup })},
		"one-read":          {only(first(StageRead))},
		"one-infer":         {only(first(StageInfer))},
		"one-whole":         {only(first(StageEndToEnd))},
		"no-end-to-end":     {only(func(r *Repeat) bool { return r.Stage != StageEndToEnd })},
		"no-stages":         {only(func(r *Repeat) bool { return r.Stage == StageEndToEnd })},
		"auto-only":         {only(func(r *Repeat) bool { return r.Chosen })},
		"one-batch":         {only(func(r *Repeat) bool { return r.BatchRows == 8192 })},
		"bare":              {bare},
		"huge":              {huge},
		"bare-beside-whole": {bare, twoMachines(t)[0], huge},
		"four":              {twoMachines(t)[0], twoMachines(t)[1], twoMachines(t)[0], twoMachines(t)[1]},
	} {
		page := report(t, name, benches)
		if name == "bare-beside-whole" && !strings.Contains(page, "not of the same model and data") {
			t.Errorf("%s: the page does not say that they are not comparable", name)
		}
		if name == "bare-beside-whole" && (strings.Contains(page, `<td class="best">`) || strings.Contains(page, "Longer is better")) {
			t.Errorf("%s: the page compares what is not comparable", name)
		}
		var w bytes.Buffer
		if err := WriteTable(&w, benches); err != nil {
			t.Fatal(err)
		}
		if err := WriteBenchfmt(&w, benches); err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`\bNaN\b|\bInf\b|%!`).FindString(w.String()); m != "" {
			t.Errorf("%s: the tables have %s:\n%s", name, m, w.String())
		}
	}
}

// A number that noise made is not shown without saying so.
func TestRestless(t *testing.T) {
	quiet, busy := endToEnd(1000, 1010, 1020, 990, 1005), endToEnd(1000, 1500, 700, 900, 1005)
	for _, c := range []struct {
		b    *Bench
		want bool
	}{{quiet, false}, {busy, true}, {endToEnd(1000), false}} {
		var w bytes.Buffer
		if err := WriteTable(&w, []*Bench{c.b}); err != nil {
			t.Fatal(err)
		}
		page := report(t, "", []*Bench{c.b})
		if strings.Contains(w.String(), "NOISY") != c.want || strings.Contains(page, "Measure again when it is quiet") != c.want {
			t.Errorf("%v rows/s: the reader is warned: %v; want %v", Summarize(c.b).EndToEnd.RowsPerSecond, !c.want, c.want)
		}
	}
}

func TestLabels(t *testing.T) {
	named := func(name, model, commit string) *Summary {
		return &Summary{Head: &Head{Machine: Machine{Name: name, CPU: "a CPU"}, Model: Model{Name: model}, Versions: Versions{Commit: commit}}}
	}
	for _, c := range []struct {
		name string
		all  []*Summary
		want []string
	}{
		{"machines' names suffice", []*Summary{named("a", "m", ""), named("b", "m", "")}, []string{"a", "b"}},
		{"a machine without a name is its processor", []*Summary{named("", "m", "")}, []string{"a CPU"}},
		{"two models on one machine", []*Summary{named("a", "m", "1"), named("a", "n", "2")}, []string{"a · m", "a · n"}},
		{"two commits", []*Summary{named("a", "m", "0123456789"), named("a", "m", "9876543210")}, []string{"a · 0123456", "a · 9876543"}},
		{"nothing to tell them apart", []*Summary{named("a", "m", ""), named("a", "m", "")}, []string{"a #1", "a #2"}},
	} {
		if got := labels(c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: labels = %q; want %q", c.name, got, c.want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	got := shellQuote([]string{"millrace", "--input", "it's a *.parquet", "", "$(rm)", "\x1b"})
	if want := `millrace --input 'it'\''s a *.parquet' '' '$(rm)' '` + "\uFFFD'"; got != want {
		t.Errorf("shellQuote = %s; want %s", got, want)
	}
}
