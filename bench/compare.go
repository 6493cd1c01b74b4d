package bench

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/page"
)

// ErrIncomparable says that two sets of measurements have nothing in common that
// could be compared.
var ErrIncomparable = errors.New("measurements cannot be compared")

// RegressionThreshold is the least change of a median, as a share, that is worth
// a verdict: less is not worth a release that waits, however sure.
const RegressionThreshold = 0.03

// Verdict is what a comparison says.
type Verdict string

// The verdicts. A change is better or worse only when it is both beyond noise
// (p < 0.05, and intervals that do not meet) and beyond the threshold. Unjudged means that it cannot be said:
// too few repeats to ever reach p < 0.05, or another machine.
const (
	Better   Verdict = "better"
	Worse    Verdict = "worse"
	Same     Verdict = "same"
	Unjudged Verdict = "not judged"
)

// Comparison is every pair of comparable measurements and what they say in all.
type Comparison struct {
	Pairs []*Pair `json:"pairs"`
	// Verdict is Worse when any pair is, else Better when any is, else Same when
	// any could be judged.
	Verdict   Verdict `json:"verdict"`
	Threshold float64 `json:"threshold"`
	Alpha     float64 `json:"alpha"`
	// Unpaired are labels of new measurements that have no old one of the same
	// model and data.
	Unpaired []string `json:"unpaired,omitempty"`
}

// Regressed reports whether something became worse beyond noise and threshold.
func (c *Comparison) Regressed() bool { return c.Verdict == Worse }

// Pair is an old and a new measurement of the same model and data.
type Pair struct {
	Old     *Head     `json:"old"`
	New     *Head     `json:"new"`
	Changes []*Change `json:"changes"`
	Verdict Verdict   `json:"verdict"`
	// OtherMachine says how the machines differ; then the numbers are shown side
	// by side, and there is no verdict.
	OtherMachine []string `json:"other_machine,omitempty"`
	// Versions says what else differs, settings of the run among it: usually what
	// is being judged.
	Versions []string `json:"versions,omitempty"`
	// Uncompared says what only one side measured, or of which records are missing:
	// the verdict knows nothing of it.
	Uncompared []string `json:"uncompared,omitempty"`
}

// Change is one arm, or the fastest arm of a stage, then and now.
type Change struct {
	Stage Stage `json:"stage"`
	// Arm has the settings of both, but where NewArm is set: that one was
	// fastest, or chosen by auto, in the new measurement.
	Arm
	NewArm *Arm `json:"new_arm,omitempty"`
	Chosen bool `json:"chosen,omitempty"`
	// Counts marks the changes that the pair's verdict is made of: end to end
	// and each stage at its fastest. The sweep's other arms are shown only: of
	// fifty arms, two or three differ at p < 0.05 by chance.
	Counts  bool     `json:"counts"`
	Old     Estimate `json:"old"` // rows/s
	New     Estimate `json:"new"`
	Ratio   float64  `json:"ratio"` // new / old
	P       float64  `json:"p"`
	Verdict Verdict  `json:"verdict"`
	Why     string   `json:"why,omitempty"` // why it is not judged
}

// Compare lays new measurements beside old ones of the same model and data (by
// their sha256, or what the data are). Each new one is compared with the latest old one on the same
// machine, or with the latest on another, and then without a verdict. The error
// wraps ErrIncomparable when no two have model and data in common.
//
// The p-value is the two-sided Mann-Whitney U test's on the repeats' rows/s. It
// takes repeats as independent, which they are not on a machine that others use, too:
// their load comes and goes with many repeats. So intervals that meet are no change,
// whatever the test says. What a machine does from one hour to the next none of this
// knows: the threshold is for that, and a gate should measure old and new right after
// each other.
func Compare(old, recent []*Bench) (*Comparison, error) {
	c := &Comparison{Threshold: RegressionThreshold, Alpha: alpha}
	for _, b := range recent {
		before := partner(old, b)
		if before == nil {
			c.Unpaired = append(c.Unpaired, fmt.Sprintf("%s on %s", page.Plain(b.Head.Model.Name), machineName(&b.Head.Machine)))
			continue
		}
		p := newPair(Summarize(before), Summarize(b))
		p.Uncompared = append(p.Uncompared, cutSides(before, b)...)
		c.Pairs = append(c.Pairs, p)
	}
	if len(c.Pairs) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrIncomparable, whyIncomparable(old, recent))
	}
	verdicts := make([]Verdict, len(c.Pairs))
	for i, p := range c.Pairs {
		verdicts[i] = p.Verdict
	}
	if c.Verdict = overall(verdicts); !slices.ContainsFunc(c.Pairs, func(p *Pair) bool { return len(p.Changes) > 0 }) {
		return nil, fmt.Errorf("%w: the same model and data, but no stage that both measured", ErrIncomparable)
	}
	return c, nil
}

// partner is the old measurement to hold a new one against.
func partner(old []*Bench, b *Bench) *Bench {
	var best *Bench
	for _, o := range old {
		if o.Head.Model.SHA256 != b.Head.Model.SHA256 || !o.Head.Data.same(&b.Head.Data) {
			continue
		}
		alike := func(x *Bench) bool { return len(machineDiffers(&x.Head.Machine, &b.Head.Machine)) == 0 }
		switch {
		case best == nil, alike(o) && !alike(best):
			best = o
		case alike(o) == alike(best) && o.Head.Started.After(best.Head.Started):
			best = o
		}
	}
	return best
}

// whyIncomparable names what differs.
func whyIncomparable(old, recent []*Bench) string {
	if len(old) == 0 || len(recent) == 0 {
		return "one side has no measurements"
	}
	sides := func(of func(h *Head) (name, sha string)) (text string, differs bool) {
		list := func(all []*Bench) (names, shas []string) {
			for _, b := range all {
				name, sha := of(&b.Head)
				if !slices.Contains(shas, sha) {
					names, shas = append(names, fmt.Sprintf("%s (sha256 %s…)", name, page.Plain(cut(sha, 12)))), append(shas, sha)
				}
			}
			return names, shas
		}
		oldNames, oldSHA := list(old)
		newNames, newSHA := list(recent)
		common := slices.ContainsFunc(oldSHA, func(sha string) bool { return slices.Contains(newSHA, sha) })
		return strings.Join(oldNames, ", ") + " then, " + strings.Join(newNames, ", ") + " now", !common
	}
	model, modelDiffers := sides(func(h *Head) (string, string) { return page.Plain(h.Model.Name), h.Model.SHA256 })
	data, dataDiffers := sides(func(h *Head) (string, string) {
		return fmt.Sprintf("%d rows of %s", h.Data.Rows, page.Plain(h.Data.Format)), h.Data.SHA256
	})
	switch {
	case modelDiffers && dataDiffers:
		return "another model: " + model + "; and other data: " + data
	case modelDiffers:
		return "another model: " + model
	case dataDiffers:
		return "other data: " + data + "; measure the new one on the old one's --input"
	default:
		return "no measurement of the same model on the same data on both sides"
	}
}

// machineDiffers says how machines differ in what makes speed. The name counts
// only when both have one; memory does not: it is granted anew every time.
func machineDiffers(a, b *Machine) []string {
	var out []string
	differ := func(what string, x, y any) {
		if x != y {
			out = append(out, fmt.Sprintf("%s: %s then, %s now", what, page.Plain(fmt.Sprint(x)), page.Plain(fmt.Sprint(y))))
		}
	}
	if a.Name != "" && b.Name != "" {
		differ("name", a.Name, b.Name)
	}
	differ("CPU", a.CPU, b.CPU)
	differ("architecture", a.Arch, b.Arch)
	differ("cores", a.Granted(), b.Granted())
	differ("L3 cache", a.L3Bytes, b.L3Bytes)
	differ("GPUs", gpuNames(a), gpuNames(b))
	return out
}

// changed names the commit, and says whether there were changes to it.
func changed(v *Versions) string {
	if v.Dirty {
		return cut(v.Commit, 12) + " with changes"
	}
	return cut(v.Commit, 12)
}

func versionsDiffer(a, b *Versions) []string {
	var out []string
	for _, v := range [][3]string{
		{"millrace", a.Millrace, b.Millrace},
		{"commit", changed(a), changed(b)},
		{"Go", a.Go, b.Go},
		{"ONNX Runtime", a.ORT, b.ORT},
		{"kernels", a.Kernels, b.Kernels},
	} {
		if v[1] != v[2] {
			out = append(out, fmt.Sprintf("%s: %s then, %s now", v[0], page.Plain(v[1]), page.Plain(v[2])))
		}
	}
	return out
}

// settingsDiffer says how the runs' settings differ.
func settingsDiffer(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	var out []string
	for _, flag := range slices.Sorted(maps.Keys(all)) {
		if a[flag] != b[flag] {
			out = append(out, fmt.Sprintf("--%s: %s then, %s now", page.Plain(flag), page.Plain(cmp.Or(a[flag], "default")), page.Plain(cmp.Or(b[flag], "default"))))
		}
	}
	return out
}

// newPair compares two measurements, first what counts.
func newPair(old, recent *Summary) *Pair {
	p := &Pair{
		Old: old.Head, New: recent.Head,
		OtherMachine: machineDiffers(&old.Head.Machine, &recent.Head.Machine),
		Versions:     append(versionsDiffer(&old.Head.Versions, &recent.Head.Versions), settingsDiffer(old.Head.Settings, recent.Head.Settings)...),
	}
	now := map[armKey]*ArmSummary{}
	for _, a := range recent.Arms {
		now[a.key()] = a
	}
	counted := map[armKey]bool{}
	// The fastest then against the fastest now: a change that moves the best batch
	// size is not a regression at the old one.
	count := func(stage Stage, o, n *ArmSummary) {
		if o == nil || n == nil {
			if side := map[bool]string{true: "now", false: "then"}[o == nil]; o != n {
				p.Uncompared = append(p.Uncompared, fmt.Sprintf("%s was measured %s only", stageName(stage), side))
			}
			return
		}
		counted[o.key()] = o.key() == n.key()
		p.Changes = append(p.Changes, newChange(o, n, true, p.OtherMachine))
	}
	if old.Auto != nil && recent.Auto != nil {
		count(StageEndToEnd, old.Auto, recent.Auto)
	} else {
		count(StageEndToEnd, old.BestFixed, recent.BestFixed)
	}
	for _, stage := range Stages {
		count(stage, old.Best[stage], recent.Best[stage])
	}
	verdicts := make([]Verdict, len(p.Changes))
	for i, c := range p.Changes {
		verdicts[i] = c.Verdict
	}
	p.Verdict = overall(verdicts)
	for _, o := range old.Arms {
		if o.Stage == StageInferExported { // ONNX Runtime's speed, which no change here makes
			continue
		}
		if n := now[o.key()]; n != nil && !counted[o.key()] {
			p.Changes = append(p.Changes, newChange(o, n, false, p.OtherMachine))
		}
	}
	return p
}

// cutSides says of which side records are known to be missing.
func cutSides(old, recent *Bench) (sides []string) {
	for _, side := range []struct {
		cut bool
		of  string
	}{{old.Cut, "then"}, {recent.Cut, "now"}} {
		if side.cut {
			sides = append(sides, "the records of "+side.of+" end within a line, and what came after it is missing")
		}
	}
	return sides
}

// key is what the arm is found by in another measurement.
func (a *ArmSummary) key() armKey { return a.repeats[0].key() }

func newChange(o, n *ArmSummary, counts bool, otherMachine []string) *Change {
	c := &Change{
		Stage: o.Stage, Arm: o.Arm, Chosen: o.Chosen, Counts: counts,
		Old: o.RowsPerSecond, New: n.RowsPerSecond, Ratio: n.RowsPerSecond.Median / o.RowsPerSecond.Median,
		P: differ(o.rates(), n.rates()),
	}
	if n.Arm != o.Arm {
		c.NewArm = &n.Arm
	}
	switch {
	case len(otherMachine) > 0:
		c.Verdict, c.Why = Unjudged, "another machine"
	case leastP(c.Old.Repeats, c.New.Repeats) >= alpha:
		c.Verdict = Unjudged
		c.Why = fmt.Sprintf("%d and %d repeats can never reach p < %v; 5 and 5 can", c.Old.Repeats, c.New.Repeats, alpha)
	case c.P < alpha && c.Ratio < 1-RegressionThreshold && c.New.High < c.Old.Low:
		c.Verdict = Worse
	case c.P < alpha && c.Ratio > 1+RegressionThreshold && c.New.Low > c.Old.High:
		c.Verdict = Better
	default:
		c.Verdict = Same
	}
	return c
}

// overall is the verdict of several: the worst news first.
func overall(all []Verdict) Verdict {
	for _, v := range []Verdict{Worse, Better, Same} {
		if slices.Contains(all, v) {
			return v
		}
	}
	return Unjudged
}
