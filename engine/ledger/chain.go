package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// link follows the runs' parents: it finds the newest and the live ones, puts
// runs in order, and reports what breaks the chain.
func (h *History) link() {
	byRun := make(map[string]*Recorded, len(h.Runs))
	named := map[string]bool{} // as somebody's parent
	broken := false            // so that it cannot be known whom some run follows
	for _, r := range h.Runs {
		byRun[r.Run] = r
	}
	for _, r := range h.Runs {
		if r.Manifest == nil {
			broken = true
		} else if r.Manifest.Parent != nil {
			named[r.Manifest.Parent.Run] = true
			broken = broken || byRun[r.Manifest.Parent.Run] == nil
			h.checkParent(r, byRun)
		}
	}
	var ends []chainEnd
	for _, r := range h.Runs {
		if !named[r.Run] && r.Manifest != nil {
			ends = append(ends, chainEnd{r.Run, r.Manifest.Finished})
		}
	}
	heads := newestFirst(ends)
	if len(heads) > 1 && !broken {
		h.problem(Problem{
			What: fmt.Sprintf("%d runs claim to be the newest: %s", len(heads), strings.Join(heads, ", ")),
			Do:   fmt.Sprintf("what a reader sees is that of one of them, or a mixture: keep the true one's files; %s finished last", heads[0]),
		})
	}
	h.order(byRun, heads)
	if !broken {
		h.checkCircles(byRun, heads)
	}
}

// chainEnd is a run that no other names as its parent.
type chainEnd struct {
	run      string
	finished time.Time
}

// newestFirst are runs that no other names as parent, of which there is one unless
// somebody was at the manifests: whichever finished last counts as the newest, to who
// reads the output and to who replaces it.
func newestFirst(ends []chainEnd) []string {
	slices.SortFunc(ends, func(a, b chainEnd) int {
		return cmp.Or(b.finished.Compare(a.finished), strings.Compare(b.run, a.run))
	})
	runs := make([]string, len(ends))
	for i, e := range ends {
		runs[i] = e.run
	}
	return runs
}

// checkParent compares a run with the one that it says was before it.
func (h *History) checkParent(r *Recorded, byRun map[string]*Recorded) {
	parent := r.Manifest.Parent
	if !ValidRunID(parent.Run) {
		return // said already
	}
	before, name := byRun[parent.Run], h.file(parent.Run, manifestName)
	switch {
	case before == nil:
		h.problem(Problem{
			File: name, Run: r.Run, What: fmt.Sprintf("is missing: run %s says that it followed that run, so history is cut here", r.Run),
			Do: "restore it from a copy",
		})
	case before.SHA256 != "" && before.SHA256 != parent.SHA256:
		h.problem(Problem{
			File: name, Run: r.Run,
			What: fmt.Sprintf("is not the manifest that run %s followed: its sha256 is %.12s…, and that run recorded %.12s…", r.Run, before.SHA256, parent.SHA256),
			Do:   "restore it from a copy",
		})
	}
}

// order marks live runs and sorts: the newest's chain, then what is outside.
func (h *History) order(byRun map[string]*Recorded, heads []string) {
	slices.SortFunc(h.Runs, func(a, b *Recorded) int { return strings.Compare(b.Run, a.Run) })
	newest := h.Runs[0].Run
	if len(heads) > 0 {
		newest = heads[0]
	}
	place := map[string]int{}
	live := true
	for r := byRun[newest]; ; {
		if r == nil || r.Manifest == nil {
			h.cut = live
		}
		if r == nil {
			break
		}
		if _, again := place[r.Run]; again {
			break
		}
		place[r.Run] = len(place)
		r.Live = live
		if r.Manifest == nil || r.Manifest.Parent == nil {
			break
		}
		live = live && r.Manifest.Mode == ModeAppend
		r = byRun[r.Manifest.Parent.Run]
	}
	outside := len(place)
	for _, r := range h.Runs {
		if _, placed := place[r.Run]; !placed && r.Manifest == nil {
			h.cut = true // it may be the newest
		}
	}
	slices.SortStableFunc(h.Runs, func(a, b *Recorded) int {
		at := func(r string) int {
			if n, ok := place[r]; ok {
				return n
			}
			return outside
		}
		return at(a.Run) - at(b.Run)
	})
}

// checkCircles reports runs that no newest one leads to: each follows another.
func (h *History) checkCircles(byRun map[string]*Recorded, heads []string) {
	reached := map[string]bool{}
	for _, head := range heads {
		for r := byRun[head]; r != nil && !reached[r.Run]; {
			reached[r.Run] = true
			if r.Manifest.Parent == nil {
				break
			}
			r = byRun[r.Manifest.Parent.Run]
		}
	}
	var circle []string
	for _, r := range h.Runs {
		if !reached[r.Run] {
			circle = append(circle, r.Run)
		}
	}
	if len(circle) > 0 {
		h.problem(Problem{
			What: "runs follow each other in a circle, which cannot have happened: " + strings.Join(circle, ", "),
			Do:   "restore their manifests from a copy",
		})
	}
}
