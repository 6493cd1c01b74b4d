package objects

import (
	"context"
	"errors"
	"io/fs"

	"github.com/millrace/millrace/engine/ledger"
)

// LoadDeaths counts the starts that died while the model was loaded.
func (s *staging) LoadDeaths() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.loadDeaths
}

// Loading notes that the model is about to be loaded.
func (s *staging) Loading() error {
	if s.opts.Job == nil {
		return nil
	}
	text, err := ledger.LoadingNote(s.opts.Job, s.LoadDeaths())
	if err != nil {
		return err
	}
	noted := make(chan error, 1) // the one outcome
	ctx := s.writes()
	go func() { noted <- s.putClaimed(ctx, loadingName, text) }()
	s.mu.Lock()
	watched := s.mu.watched
	s.mu.noted = noted
	s.mu.Unlock()
	if !watched { // a first death goes unseen if it comes before the note: the next start waits
		return nil
	}
	err = <-noted
	noted <- err
	return s.failed(err)
}

// Loaded notes that it went well. Nobody waits for that.
func (s *staging) Loaded() error {
	s.mu.Lock()
	noted := s.mu.noted
	s.mu.Unlock()
	if noted == nil {
		return nil
	}
	s.notes.Go(func() error {
		if err := <-noted; err != nil {
			return err
		}
		ctx, cancel := anyway(s.during())
		defer cancel()
		return s.store.remove(ctx, s.place.staging(s.opts.RunID)+loadingName)
	})
	return nil
}

// readLoading counts the starts of the job, of dead runs, that died while it was loaded.
func (s *staging) readLoading(ctx context.Context, dead map[string]*leftover) error {
	for run, left := range dead {
		if !left.loading || s.opts.Job == nil || s.opts.Restart {
			continue
		}
		text, err := s.store.get(ctx, s.place.staging(run)+loadingName, maxSmallBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.mu.loadDeaths = max(s.mu.loadDeaths, ledger.DeathsByNote(text, s.opts.Job))
	}
	return nil
}
