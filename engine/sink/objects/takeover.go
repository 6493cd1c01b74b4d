package objects

import (
	"context"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
)

// takeOver continues the run of an equal job, if one of the dead did something, and removes
// the others.
func (s *staging) takeOver(ctx context.Context, o *own) error {
	delete(o.left, s.opts.RunID) // its beat
	for run := range o.left {
		dropLeft(run)
	}
	if err := s.readLoading(ctx, o.left); err != nil {
		return err
	}
	found, rest, err := s.store.unfinished(ctx, s.place, o)
	if err != nil {
		return err
	}
	var best *unfinished
	for _, u := range found {
		progress := len(u.journal.Parts) > 0 || len(u.journal.Deaths) > 0
		if progress && s.opts.Job != nil && !s.opts.Restart {
			if changed := u.journal.ChangedSince(s.opts.Job, s.mu.before.base(s.opts.IfExists)); len(changed) > 0 {
				last := u.starts[len(u.starts)-1]
				return &ledger.OtherJobError{Output: s.place.shown, Run: last.run, Parts: len(u.journal.Parts), Differences: changed}
			}
			if best == nil || len(u.journal.Parts) >= len(best.journal.Parts) {
				best, u = u, best
			}
		}
		if u != nil { // only one can be continued
			rest = append(rest, u.runs()...)
		}
	}
	if err := s.store.drop(ctx, s.place, rest); err != nil {
		return err
	}
	if best != nil {
		s.take(best)
	}
	return nil
}

// sweep removes what is left of runs that got no further than to say that they live, and of
// published ones.
func (s *staging) sweep(ctx context.Context, o *own) error {
	var runs []string
	for run, left := range o.left {
		if (left.start == nil && !left.loading || o.manifests[run]) && run != s.opts.RunID {
			runs = append(runs, run)
		}
	}
	return s.store.drop(ctx, s.place, runs)
}

// take makes a dead run's parts this run's.
func (s *staging) take(u *unfinished) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.taken, s.mu.chain, s.mu.head = u.journal, u.runs(), u.starts[0].start.Head
	s.mu.first = s.mu.head.FirstFile
	s.mu.watched = s.mu.watched || len(u.journal.Deaths) > 0 || slices.ContainsFunc(u.starts, func(l *leftover) bool { return !l.stopped })
	for _, r := range u.journal.Parts {
		left, state := u.staged[r.Part], &partState{done: true}
		for _, o := range r.Outputs {
			state.files = append(state.files, stagedFile{Output: o, key: left.keyOf(s.place, &o)})
		}
		s.mu.parts[r.Part], s.mu.handed[r.Part] = state, true
		if s.opts.Pieces && len(state.files) > 0 {
			s.mu.pieces[r.Part] = state.files[0].key
		}
		if r.Rejects != nil {
			s.mu.badRows[r.Part] = s.place.staging(left.run) + badRowsName + r.Rejects.Name
		}
	}
}
