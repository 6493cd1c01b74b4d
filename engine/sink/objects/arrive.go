package objects

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
)

// comes notes that an object's bytes are all on their way.
func (s *staging) comes(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.coming[u.key] = u
}

// arrive waits until objects are there; those that nobody waits for any more are.
func (s *staging) arrive(keys ...string) error {
	for _, key := range keys {
		s.mu.Lock()
		u := s.mu.coming[key]
		s.mu.Unlock()
		if u == nil {
			continue
		}
		if err := u.there(); err != nil {
			return s.failed(err)
		}
		s.mu.Lock()
		if s.mu.coming[key] == u {
			delete(s.mu.coming, key)
		}
		s.mu.Unlock()
	}
	return nil
}

// arriveAll waits until all objects are there.
func (s *staging) arriveAll() error {
	s.mu.Lock()
	keys := slices.Collect(maps.Keys(s.mu.coming))
	s.mu.Unlock()
	return s.arrive(keys...)
}

// dropComing ends the uploads that nobody waits for any more.
func (s *staging) dropComing() {
	s.mu.Lock()
	coming := slices.Collect(maps.Values(s.mu.coming))
	clear(s.mu.coming)
	s.mu.Unlock()
	for _, u := range coming {
		u.drop(context.Canceled)
	}
	for _, u := range coming {
		_ = u.there() // of no interest any more
	}
}

// Record puts a part into the journal: an object that was not there. Once all of the run's parts
// are on their way there, nobody waits for them but Publish, which does much else at the same
// time, and Suspend.
func (s *staging) Record(part ledger.PartRecord) error {
	s.mu.Lock()
	s.mu.handed[part.Part] = true
	if len(s.mu.handed) == s.opts.Parts {
		s.mu.handedAll()
	}
	s.mu.Unlock()
	recorded := make(chan error, 1) // the one outcome
	s.records.Go(func() error {
		err := s.record(part)
		recorded <- err
		return err
	})
	select {
	case err := <-recorded:
		return err
	case <-s.allHanded:
		return nil
	}
}

// recorded waits until all parts that were handed over are in the journal.
func (s *staging) recorded() error { return s.records.Wait() }

// outcome waits for the one outcome that comes on a channel and leaves it there for others;
// there is none to wait for where the channel is nil.
func (s *staging) outcome(of *chan error) error {
	s.mu.Lock()
	c := *of
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	err := <-c
	c <- err
	return err
}

// record waits for the part's objects while it writes the record: one whose objects are not
// there, with their sizes, counts for nothing; see leftover.whole.
func (s *staging) record(part ledger.PartRecord) error {
	var writes errgroup.Group
	writes.Go(func() error { return s.arrive(s.keysOf(part.Part)...) })
	writes.Go(func() error { return s.putRecord(part) })
	if err := writes.Wait(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.open, part.Part)
	if p := s.mu.parts[part.Part]; p != nil {
		p.done = true
	}
	return nil
}

// keysOf are those of a part's objects.
func (s *staging) keysOf(part int) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.mu.parts[part]; p != nil {
		for _, f := range p.files {
			keys = append(keys, f.key)
		}
	}
	if key := s.mu.badRows[part]; key != "" {
		keys = append(keys, key)
	}
	return keys
}

func (s *staging) putRecord(part ledger.PartRecord) error {
	if s.opts.Job == nil {
		return nil
	}
	text, err := json.Marshal(ledger.Line{Part: &part})
	if err != nil {
		return err
	}
	if err := cmp.Or(s.claimed(), s.saidStart()); err != nil {
		return s.failed(err)
	}
	key := fmt.Sprintf("%s%spart-%05d", s.place.staging(s.opts.RunID), journalName, part.Part)
	won, err := s.store.create(s.writes(), key, text)
	if err == nil && !won {
		err = fmt.Errorf("%w: part %d is recorded already", ledger.ErrAccounts, part.Part)
	}
	return s.failed(err)
}
