package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/millrace/millrace/engine/ledger"
)

// claim takes the output for this run, or says who has it.
func (s *staging) claim(ctx context.Context) error {
	now, err := s.store.newest(ctx, s.place)
	if err != nil {
		return err
	}
	if err := s.store.alive(ctx, s.place, &now, s.lease); err != nil {
		return err
	}
	return s.claimAfter(ctx, &now)
}

// claimAfter puts the claim after an entry that nobody lives by.
func (s *staging) claimAfter(ctx context.Context, now *entry) error {
	ctx = lingering(ctx)
	beaten := make(chan error, 1) // the one outcome
	go func() { beaten <- s.beatOnce(ctx) }()
	claim := entry{Run: s.opts.RunID, Holder: newHolder(s.opts.RunID), Pending: now.Pending, Published: now.Published}
	won, err := s.store.next(ctx, s.place, now.Number, &claim)
	beat := <-beaten
	switch {
	case err != nil:
		return errors.Join(err, s.store.remove(ctx, s.place.staging(s.opts.RunID)+beatName))
	case !won:
		return errors.Join(s.heldBy(ctx), s.store.remove(ctx, s.place.staging(s.opts.RunID)+beatName))
	}
	s.mu.Lock()
	s.mu.now = claim
	s.mu.Unlock()
	if now.Holder != nil { // who died, and may again
		s.mu.dead, s.mu.watched = now.Holder.Run, true
	}
	if beat != nil { // who watches would take the run for dead
		return errors.Join(beat, s.move(ctx, func(e *entry) { e.Holder = nil }))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		s.beating(context.WithoutCancel(ctx), stop)
	}()
	s.mu.stop = sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
	return nil
}

// ask looks in the log whether this run still has the output.
func (s *staging) ask(ctx context.Context) {
	if s.lost() != nil {
		return
	}
	if passed, err := s.passed(ctx); err == nil && passed {
		s.lose(ctx)
	}
}

// heldBy says which run has the output.
func (s *staging) heldBy(ctx context.Context) error {
	held := &ledger.HeldError{Output: s.place.shown}
	if now, err := s.store.newest(ctx, s.place); err == nil && now.Holder != nil {
		held.Holder = now.Holder.Holder
	} else if err == nil {
		held.Holder.Run = now.Run
	}
	return held
}

// newest is the log's newest entry, as far as this run knows.
func (s *staging) newest() entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.now
}

// move puts the log's next entry, of this run. Where another run has put one, this one has
// lost the output.
func (s *staging) move(ctx context.Context, change func(*entry)) error {
	s.moving.Lock()
	defer s.moving.Unlock()
	next := s.newest()
	number := next.Number
	next.Run = s.opts.RunID
	change(&next)
	won, err := s.store.next(ctx, s.place, number, &next)
	if err != nil {
		return err
	}
	if !won {
		s.lose(ctx)
		return s.lost()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.now = next
	return nil
}

// lose notes that another run has the output.
func (s *staging) lose(ctx context.Context) {
	held, ok := errors.AsType[*ledger.HeldError](s.heldBy(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && s.mu.lost == nil {
		s.mu.lost = held
	}
}

// TakenOver asks whether another run took the output, and says who.
func (s *staging) TakenOver() error {
	s.mu.Lock()
	ours := s.mu.now.Holder != nil && !s.mu.ended
	s.mu.Unlock()
	if ours {
		ctx, cancel := within(s.during(), s.lease)
		defer cancel()
		s.ask(ctx)
	}
	return s.lost()
}

// lost says who took the output, as far as this run knows.
func (s *staging) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lost == nil {
		return nil
	}
	return fmt.Errorf("%w, which took it over while this one was stalled; this one publishes nothing", s.mu.lost)
}
