package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// arms makes a measurement of one model on one machine with these rows/s of end
// to end, auto.
func endToEnd(rates ...float64) *Bench {
	b := &Bench{ID: "made", Head: Head{
		Schema: Schema, Started: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC),
		Machine: Machine{CPU: "some CPU", Arch: "amd64", Cores: 2},
		Model:   Model{Name: "m.onnx", SHA256: "aa"}, Data: Data{Format: "arrow", Rows: 1000, SHA256: "bb"},
	}}
	for i, r := range rates {
		b.Repeats = append(b.Repeats, Repeat{
			Stage: StageEndToEnd, Chosen: true, Arm: Arm{Provider: "cpu", BatchRows: 4096, Workers: 2, IntraOpThreads: 1},
			Index: i, Rows: 1000, Seconds: 1000 / r, CPUSeconds: 2000 / r,
		})
	}
	return b
}

func scaled(by float64, rates ...float64) []float64 {
	out := slices.Clone(rates)
	for i := range out {
		out[i] *= by
	}
	return out
}

func TestCompareVerdicts(t *testing.T) {
	five := []float64{1000, 1010, 1020, 990, 1005}
	wild := []float64{800, 1200, 1000, 900, 1100}
	for _, c := range []struct {
		name     string
		old, now []float64
		want     Verdict
	}{
		{"the same repeats are the same", five, five, Same},
		{"10% slower, every repeat, is worse", five, scaled(0.90, five...), Worse},
		{"10% faster, every repeat, is better", five, scaled(1.10, five...), Better},
		{"sure, but 2.6% is below the threshold", []float64{1000, 1001, 1002, 1003, 1004}, scaled(0.974, 1000, 1001, 1002, 1003, 1004), Same},
		{"5% slower within a spread of 40% is noise", wild, scaled(0.95, wild...), Same},
		{
			"two repeats while the machine did something else: p is 0.02, and intervals meet",
			[]float64{1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 850, 851},
			[]float64{900, 901, 902, 903, 904, 905, 906, 907, 908, 909},
			Same,
		},
		{"three repeats a side cannot reach p < 0.05, however far apart", []float64{1000, 1001, 1002}, []float64{500, 501, 502}, Unjudged},
		{"four a side can: the least p is 2/70", []float64{1000, 1001, 1002, 1003}, []float64{500, 501, 502, 503}, Worse},
		{"three against five can: the least p is 2/56", []float64{1000, 1001, 1002}, []float64{500, 501, 502, 503, 504}, Worse},
	} {
		got, err := Compare([]*Bench{endToEnd(c.old...)}, []*Bench{endToEnd(c.now...)})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Verdict != c.want || got.Regressed() != (c.want == Worse) {
			t.Errorf("%s: verdict %q (p=%v, ratio %v); want %q", c.name, got.Verdict, got.Pairs[0].Changes[0].P, got.Pairs[0].Changes[0].Ratio, c.want)
		}
	}
}

// A warm-up repeat that is far off must not turn the verdict.
func TestCompareLeavesWarmUpOut(t *testing.T) {
	old, now := endToEnd(1000, 1010, 1020, 990, 1005), endToEnd(1, 1000, 1010, 1020, 990, 1005)
	now.Repeats[0].Warmup = true
	got, err := Compare([]*Bench{old}, []*Bench{now})
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Pairs[0].Changes[0]; c.Ratio != 1 || c.New.Repeats != 5 {
		t.Errorf("ratio %v of %d repeats; want 1 of 5", c.Ratio, c.New.Repeats)
	}
}

// A copy of the input under another name is the same data.
func TestCompareByContent(t *testing.T) {
	old, now := endToEnd(1000, 1010, 1020, 990, 1005), endToEnd(900, 909, 918, 891, 904)
	now.Head.Data.SHA256 = "cc"
	if _, err := Compare([]*Bench{old}, []*Bench{now}); !errors.Is(err, ErrIncomparable) {
		t.Errorf("Compare of data of which nothing is alike = %v; want %v", err, ErrIncomparable)
	}
	old.Head.Data.Content, now.Head.Data.Content = "dd", "dd"
	got, err := Compare([]*Bench{old}, []*Bench{now})
	if err != nil || got.Verdict != Worse {
		t.Errorf("Compare = %v, %v; want a verdict", got, err)
	}
}

func TestCompareRefusals(t *testing.T) {
	base := func() *Bench { return endToEnd(1000, 1010, 1020, 990, 1005) }
	for _, c := range []struct {
		name   string
		change func(b *Bench)
		say    []string
	}{
		{"another model", func(b *Bench) { b.Head.Model = Model{Name: "n.onnx", SHA256: "cc"} }, []string{"another model", "m.onnx (sha256 aa…) then", "n.onnx (sha256 cc…) now"}},
		{"other data", func(b *Bench) { b.Head.Data.SHA256 = "dd" }, []string{"other data", "sha256 bb", "sha256 dd", "--input"}},
		{"both", func(b *Bench) { b.Head.Model.SHA256, b.Head.Data.SHA256 = "cc", "dd" }, []string{"another model", "other data"}},
		{"no stage in common", func(b *Bench) { b.Repeats[0].Stage = StageRead; b.Repeats = b.Repeats[:1] }, []string{"no stage that both measured"}},
	} {
		b := base()
		c.change(b)
		got, err := Compare([]*Bench{base()}, []*Bench{b})
		if !errors.Is(err, ErrIncomparable) || got != nil {
			t.Errorf("%s: Compare = %v, %v; want an error that wraps ErrIncomparable", c.name, got, err)
			continue
		}
		for _, say := range c.say {
			if !strings.Contains(err.Error(), say) {
				t.Errorf("%s: %q does not say %q", c.name, err, say)
			}
		}
	}
	if _, err := Compare(nil, []*Bench{base()}); !errors.Is(err, ErrIncomparable) {
		t.Errorf("Compare with nothing old = %v; want ErrIncomparable", err)
	}
}

func TestCompareOtherMachine(t *testing.T) {
	old, now := endToEnd(1000, 1010, 1020, 990, 1005), endToEnd(500, 510, 520, 490, 505)
	now.Head.Machine.CPU = "another CPU"
	got, err := Compare([]*Bench{old}, []*Bench{now})
	if err != nil {
		t.Fatal(err)
	}
	if got.Verdict != Unjudged || len(got.Pairs[0].OtherMachine) != 1 {
		t.Errorf("verdict %q, differs in %q; want not judged, in its CPU", got.Verdict, got.Pairs[0].OtherMachine)
	}
	// With one of the same machine among the old ones, that one is taken, though
	// it is older.
	alike := endToEnd(1000, 1010, 1020, 990, 1005)
	alike.Head.Machine.CPU, alike.Head.Started = "another CPU", old.Head.Started.Add(-time.Hour)
	for _, before := range [][]*Bench{{alike, old}, {old, alike}} {
		if got, err = Compare(before, []*Bench{now}); err != nil || got.Verdict != Worse {
			t.Errorf("Compare = %v, %v; want worse, against the same machine", got.Verdict, err)
		}
	}
	// Of two, the later.
	later := endToEnd(500, 510, 520, 490, 505)
	later.Head.Machine.CPU, later.Head.Started = "another CPU", old.Head.Started.Add(time.Hour)
	if got, err = Compare([]*Bench{alike, later, old}, []*Bench{now}); err != nil || got.Verdict != Same {
		t.Errorf("Compare = %v, %v; want same, against the later one", got.Verdict, err)
	}
}

// A sweep's arms are shown but do not make the verdict, and a best batch size
// that moved is no regression at the old one.
func TestCompareCountsTheFastest(t *testing.T) {
	with := func(slow, fast int) *Bench {
		b := endToEnd(1000, 1010, 1020, 990, 1005)
		for _, arm := range []struct {
			rows int
			rate float64
		}{{slow, 100}, {fast, 1000}} {
			for i := range 5 {
				rate := arm.rate + float64(i)
				b.Repeats = append(b.Repeats, Repeat{
					Stage: StageInfer, Arm: Arm{Provider: "cpu", BatchRows: arm.rows, Workers: 2, IntraOpThreads: 1},
					Index: i, Rows: 1000, Seconds: 1000 / rate, CPUSeconds: 2000 / rate,
				})
			}
		}
		return b
	}
	got, err := Compare([]*Bench{with(1024, 4096)}, []*Bench{with(4096, 1024)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Verdict != Same {
		t.Errorf("verdict %q; want same", got.Verdict)
	}
	worse := 0
	for _, c := range got.Pairs[0].Changes {
		if c.Verdict == Worse && !c.Counts {
			worse++
		}
	}
	if worse == 0 {
		t.Error("the slower arm of the sweep is not shown as worse")
	}
}

// What a verdict does not know of is said: a gate whose end to end is no longer measured
// would pass for ever.
func TestCompareSaysWhatItDoesNot(t *testing.T) {
	old, now := twoMachines(t)[:1], twoMachines(t)[:1]
	now[0].Repeats = slices.DeleteFunc(now[0].Repeats, func(r Repeat) bool { return r.Stage == StageEndToEnd || r.Stage == StageWrite })
	old[0].Repeats = slices.DeleteFunc(old[0].Repeats, func(r Repeat) bool { return r.Stage == StageRead })
	old[0].Cut = true
	c, err := Compare(old, now)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	want := "NOT COMPARED: end to end was measured then only; read was measured now only; write was measured then only; the records of then end within a line"
	if !strings.Contains(text.String(), want) {
		t.Errorf("the comparison says\n%s\nwithout %q", text.String(), want)
	}
}

// The page of a comparison has its verdict and numbers.
func TestReportCompared(t *testing.T) {
	old, now := twoMachines(t), twoMachines(t)[:1]
	now[0].Head.Model.Name = "<b>"
	for i := range now[0].Repeats {
		if r := &now[0].Repeats[i]; r.Stage == StageRead {
			r.Seconds *= 1.08
		}
	}
	c, err := Compare(old, now)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := WriteReport(&page, now, c); err != nil {
		t.Fatal(err)
	}
	if err := soundPage(page.String()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`<p class="warning" role="note">REGRESSION: read −7.4%`, "Compared with before", "<td>−7.4%</td>", "<td>worse</td>", "<td>same</td>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestComparisonText(t *testing.T) {
	old := twoMachines(t)
	now := twoMachines(t)[:1]
	now[0].Head.Versions.Commit, now[0].Head.Started = "beadfeed", now[0].Head.Started.Add(24*time.Hour)
	for i := range now[0].Repeats {
		if r := &now[0].Repeats[i]; r.Stage == StageRead || r.Stage == StageEndToEnd && r.Chosen {
			r.Seconds *= 1.08
		}
	}
	c, err := Compare(old, now)
	if err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	if err := c.Text(&w); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", w.Bytes())
	if _, err := json.Marshal(c); err != nil { // NaN and infinity cannot be written
		t.Error(err)
	}
}

// What differs beside the machine is told, since it is what is judged.
func TestComparisonOfSettings(t *testing.T) {
	old, now := twoMachines(t)[:1], twoMachines(t)[:1]
	now[0].Head.Settings = map[string]string{"compression": "none"}
	now[0].Head.Versions.Dirty = true
	c, err := Compare(old, now)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(c.Pairs[0].Versions, "\n")
	for _, want := range []string{"--compression: default then, none now", "with changes now"} {
		if !strings.Contains(said, want) {
			t.Errorf("differences are %q; want %q among them", said, want)
		}
	}
}

// ONNX Runtime's own kernels are no change of ours: they are not compared.
func TestCompareLeavesExportedOut(t *testing.T) {
	old, now := withExported(t, 0.08), withExported(t, 0.02)
	c, err := Compare([]*Bench{old}, []*Bench{now})
	if err != nil {
		t.Fatal(err)
	}
	if c.Verdict != Same {
		t.Errorf("verdict %q; want same", c.Verdict)
	}
	for _, change := range c.Pairs[0].Changes {
		if change.Stage == StageInferExported {
			t.Errorf("%+v is compared", change)
		}
	}
}
