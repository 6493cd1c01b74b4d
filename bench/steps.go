package bench

import "time"

func (m *measurement) step(what string, expected time.Duration) {
	done, left := m.steps.next(expected)
	if m.opts.OnStep != nil {
		m.opts.OnStep(what, done, left)
	}
}

// steps keeps what is left to do: how many steps, and their time as planned.
type steps struct {
	started       time.Time
	planned, past time.Duration
	all, done     int
	shown         float64
}

func (s *steps) plan(n int, each time.Duration) {
	if s.started.IsZero() {
		s.started = time.Now()
	}
	s.all += n
	s.revise(n, each)
}

// revise makes n planned steps longer, or shorter.
func (s *steps) revise(n int, by time.Duration) { s.planned += time.Duration(n) * by }

func (s *steps) skip(expected time.Duration) { s.plan(-1, expected) }

// next begins a step of the expected length. left assumes that each of the rest
// takes as much more than planned as those that are past did on average: what is
// done around a step is not planned. A share that was shown is not taken back
// when the plan grows.
func (s *steps) next(expected time.Duration) (done float64, left time.Duration) {
	if s.planned > 0 {
		done = min(float64(s.past)/float64(s.planned), 1)
		left = max(s.planned-s.past, 0)
		if s.done > 0 {
			more := (time.Since(s.started) - s.past) / time.Duration(s.done)
			left = max(left+time.Duration(max(s.all-s.done, 0))*more, 0)
		}
	}
	s.past += expected
	s.done++
	s.shown = max(s.shown, done)
	return s.shown, left
}
