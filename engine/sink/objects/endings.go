package objects

import (
	"context"
	"errors"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
)

// Suspend keeps what is recorded and gives the output up.
func (s *staging) Suspend(why string) (parts int, err error) {
	said := s.claimed() == nil && s.saidStart() == nil
	_ = s.recorded() // the part is kept, or not
	s.mu.Lock()
	for _, p := range s.mu.parts {
		if p.done {
			parts++
		}
	}
	keep := s.mu.begun && said && s.mu.lost == nil && (parts > 0 || s.mu.watched) || s.mu.now.Pending != ""
	s.mu.Unlock()
	if !keep {
		return 0, s.Discard()
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	errs := []error{s.endWriting(ctx)}
	if s.newest().Pending == "" {
		errs = append(errs, s.store.put(ctx, s.place.staging(s.opts.RunID)+stoppedName, []byte(why)))
	}
	errs = append(errs, s.giveUp(ctx))
	return parts, s.failed(errors.Join(errs...))
}

// Discard removes what is staged and gives the output up.
func (s *staging) Discard() error {
	_ = s.claimed() // that it was refused is said
	s.mu.Lock()
	over, ours, untidy := s.mu.ended, s.mu.now.Number > 0, s.mu.untidy
	s.mu.Unlock()
	if over {
		return nil
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	errs := []error{s.endWriting(ctx)}
	ours = ours && s.newest().Holder != nil // else it has published, and nothing is left
	if ours {
		s.ask(ctx)
	}
	// What a run did that was taken over is the other's now, which goes on with it.
	if ours && s.newest().Pending == "" && s.lost() == nil {
		errs = append(errs, s.store.drop(ctx, s.place, append(slices.Clone(s.mu.chain), s.opts.RunID)))
	}
	errs = append(errs, s.giveUp(ctx))
	return errors.Join(untidy, s.failed(errors.Join(errs...)))
}

// endWriting ends what is under way: no upload of this run's may be left.
func (s *staging) endWriting(ctx context.Context) error {
	_ = s.claimed() // that it was refused is said
	_ = s.cleared() // the next run does it
	s.mu.Lock()
	s.mu.closed = true
	stop, swept := s.mu.stop, s.mu.swept
	s.mu.Unlock()
	_ = s.saidStart()  // of no interest any more
	_ = s.recorded()   // as little
	_ = s.notes.Wait() // they report to nobody
	s.dropComing()
	errs := []error{s.work.close()}
	if stop != nil {
		stop()
	}
	if stop != nil && !swept {
		errs = append(errs, s.store.abortUploads(ctx, s.place.run(s.opts.RunID), ""))
	}
	return errors.Join(errs...)
}

// giveUp says in the log that nobody holds the output.
func (s *staging) giveUp(ctx context.Context) error {
	var err error
	if now := s.newest(); now.Holder != nil && s.lost() == nil {
		err = s.move(ctx, func(e *entry) { e.Holder = nil })
	}
	if errors.Is(err, ledger.ErrHeld) { // nothing is left to give up
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ended = err == nil
	if err == nil {
		err = s.store.bucket.Close()
	}
	return err
}

// drop removes what runs have staged, the oldest first, so that what is left after a crash
// is not taken for a run that can be continued.
func (s *store) drop(ctx context.Context, p *place, runs []string) error {
	for _, run := range runs {
		prefix := p.staging(run)
		if err := s.remove(ctx, prefix+startName); err != nil {
			return err
		}
		found, err := s.all(ctx, prefix)
		if err != nil {
			return err
		}
		if err := s.removeAll(ctx, found); err != nil {
			return err
		}
	}
	return nil
}
