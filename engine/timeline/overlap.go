package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Shares say how a device's time went, from the first thing that it did to the last:
// as shares of that time, of which those of one kind of work may overlap the others'.
type Shares struct {
	Device                   int
	Whole                    time.Duration
	CopyIn, Compute, CopyOut float64
	// Overlap has a copy, in or out, and arithmetic at the same time; Idle has
	// neither.
	Overlap, Idle float64
}

// edge is where some work of a device begins or ends.
type edge struct {
	at   time.Time
	work Work
	more int // 1 or -1
}

// Overlap gives the shares of each device among the spans, by their numbers.
func Overlap(spans []Span) []Shares {
	edges := map[int][]edge{}
	for _, s := range spans {
		if s.Device == nil {
			continue
		}
		n := s.Device.Device
		edges[n] = append(edges[n], edge{s.Start, s.Work, 1}, edge{s.End, s.Work, -1})
	}
	all := make([]Shares, 0, len(edges))
	for device, e := range edges {
		all = append(all, shares(device, e))
	}
	slices.SortFunc(all, func(a, b Shares) int { return cmp.Compare(a.Device, b.Device) })
	return all
}

// shares goes through a device's time from edge to edge.
func shares(device int, edges []edge) Shares {
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	s := Shares{Device: device, Whole: edges[len(edges)-1].at.Sub(edges[0].at)}
	at := map[Work]int{} // how much of each goes on
	for i, e := range edges {
		if i > 0 && s.Whole > 0 {
			s.add(at, e.at.Sub(edges[i-1].at).Seconds()/s.Whole.Seconds())
		}
		at[e.work] += e.more
	}
	return s
}

// add counts a share of the time in which the same goes on.
func (s *Shares) add(at map[Work]int, share float64) {
	in, compute, out := at[CopyIn] > 0, at[Compute] > 0, at[CopyOut] > 0
	if in {
		s.CopyIn += share
	}
	if compute {
		s.Compute += share
	}
	if out {
		s.CopyOut += share
	}
	switch copies := in || out; {
	case copies && compute:
		s.Overlap += share
	case !copies && !compute:
		s.Idle += share
	}
}

// String says it in a line.
func (s Shares) String() string {
	return fmt.Sprintf("device %d: of %s, %.0f%% copies to it, %.0f%% computes, %.0f%% copies from it; %.0f%% copies and computes at once, %.0f%% does nothing",
		s.Device, s.Whole.Round(time.Microsecond), 100*s.CopyIn, 100*s.Compute, 100*s.CopyOut, 100*s.Overlap, 100*s.Idle)
}
