package objects

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
)

// Publish makes the output appear.
func (s *staging) Publish(m *ledger.Manifest) error {
	s.mu.Lock()
	again := s.mu.closed
	s.mu.closed = true
	s.mu.Unlock()
	if again {
		return fmt.Errorf("output %q: %w", s.place.shown, ledger.ErrDiscarded)
	}
	ctx := s.during()
	files, err := s.account(m)
	if err != nil {
		return fmt.Errorf("output %q: not published: %w", s.place.shown, err)
	}
	now, err := s.lookAgain(ctx)
	if err != nil {
		return s.failed(err)
	}
	s.descend(m, now.there)
	c := s.newCommit(files, m, now)
	if err := s.seal(s.writes(), m, c); err != nil {
		return s.failed(err)
	}
	if told := s.told(); told != nil {
		return told
	}
	// The step. From here on nothing is undone, also if the run is told to stop.
	after := context.WithoutCancel(ctx)
	if err := s.step(after); err != nil {
		return s.failed(err)
	}
	staged, err := s.give(after, c)
	if err != nil {
		return fmt.Errorf("output %q: %w: it is decided that run %s is published, but not all files have their names: the same command, or millrace verify, gives them: %w",
			s.place.shown, ledger.ErrOutput, s.opts.RunID, err)
	}
	s.tidy(after, c, staged)
	return nil
}

// present is what stands at the output's name right before the step.
type present struct {
	standing

	keys []string // of the whole output, where it is to be replaced
}

// lookAgain finds out what stands at the output's name by now, whether the run still has it,
// and that no upload of it is left.
func (s *staging) lookAgain(ctx context.Context) (now present, err error) {
	looks, looking := errgroup.WithContext(ctx)
	looks.Go(func() error {
		s.ask(looking)
		return s.lost()
	})
	looks.Go(func() (err error) {
		now.standing, err = s.look(looking)
		return err
	})
	looks.Go(func() error {
		if s.opts.Single || s.opts.IfExists != ledger.IfExistsReplace {
			return nil
		}
		return s.store.list(looking, s.place.prefix, "", func(o object) error {
			if !strings.HasPrefix(o.key, s.place.own) {
				now.keys = append(now.keys, o.key)
			}
			return nil
		})
	})
	looks.Go(func() error {
		_ = s.notes.Wait() // they report to nobody
		for _, run := range s.starts() {
			if err := s.store.abortUploads(looking, s.place.run(run)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := looks.Wait(); err != nil {
		return now, err
	}
	return now, s.mayGiveWay(now.standing)
}

// give gives the files their names, and lists what is staged meanwhile.
func (s *staging) give(ctx context.Context, c *commit) (staged []object, err error) {
	gives, giving := errgroup.WithContext(ctx)
	gives.Go(func() error { return s.store.give(giving, c) })
	gives.Go(func() (err error) {
		staged, err = s.store.all(giving, s.place.staging(c.Run))
		return err
	})
	err = gives.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.swept = err == nil
	return staged, err
}

// tidy removes what was staged, the commit last, and says that nothing is left to do. Where
// it cannot, the next run does: the output is there.
func (s *staging) tidy(ctx context.Context, c *commit, staged []object) {
	s.mu.stop() // a beat that comes late would stay
	if err := s.store.drop(ctx, s.place, c.Starts[:len(c.Starts)-1]); err != nil {
		return
	}
	last := s.place.staging(c.Run) + commitName
	if err := s.store.removeBut(ctx, staged, last); err != nil {
		return
	}
	ends, ending := errgroup.WithContext(ctx)
	ends.Go(func() error { return s.store.remove(ending, last) })
	ends.Go(func() error { return s.move(ending, func(e *entry) { e.Pending, e.Holder = "", nil }) })
	if ends.Wait() != nil {
		return
	}
	if s.newest().Number%keptEntries == 0 {
		_ = s.store.trim(ctx, s.place) // it grows a little
	}
}

// step decides that this run is published, unless another run decided something meanwhile.
func (s *staging) step(ctx context.Context) error {
	err := s.move(ctx, func(e *entry) { e.Pending, e.Published = s.opts.RunID, s.opts.RunID })
	if err != nil {
		return err
	}
	// See keptEntries.
	numbers, err := s.store.logNumbers(ctx, s.place)
	if err != nil {
		return err
	}
	if len(numbers) == 0 || numbers[len(numbers)-1] != s.newest().Number {
		s.lose(ctx)
		return s.lost()
	}
	return nil
}

// account fills in what was written and checks that all agrees.
func (s *staging) account(m *ledger.Manifest) ([]stagedFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Version, m.Run = ledger.ManifestVersion, s.opts.RunID
	if m.Finished.IsZero() {
		m.Finished = time.Now().UTC().Truncate(time.Millisecond)
	}
	m.PartitionBy, m.Rejects, m.Outputs, m.PartFiles = s.opts.PartitionBy, nil, nil, nil
	several := len(s.opts.PartitionBy) > 0 || s.opts.Numbered
	var files []stagedFile
	for i := range len(s.mu.parts) {
		p := s.mu.parts[i]
		if p == nil || len(p.files) == 0 && !several {
			return nil, fmt.Errorf("%w: part %d is not committed", ledger.ErrAccounts, i)
		}
		files = append(files, p.files...)
		if several {
			m.PartFiles = append(m.PartFiles, len(p.files))
		}
	}
	if s.opts.Pieces {
		if s.mu.whole == nil {
			return nil, fmt.Errorf("%w: pieces are not joined", ledger.ErrAccounts)
		}
		files = []stagedFile{*s.mu.whole}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: there is no part", ledger.ErrAccounts)
	}
	for _, f := range files {
		m.Outputs = append(m.Outputs, f.Output)
	}
	if s.mu.rejects != nil {
		m.Rejects = &s.mu.rejects.Output
	}
	return files, m.Check()
}

// descend says in the manifest what it follows.
func (s *staging) descend(m *ledger.Manifest, there bool) {
	m.Parent, m.Mode, m.Job = nil, ledger.ModeFresh, s.Job()
	if live := s.mu.before.live; len(live) > 0 {
		m.Parent = &ledger.Parent{Run: live[0].Run, SHA256: s.mu.before.sum}
	}
	switch {
	case !there:
	case s.opts.IfExists == ledger.IfExistsAppend:
		m.Mode = ledger.ModeAppend
	default:
		m.Mode = ledger.ModeReplace
	}
}

// seal stages the manifest and what is left to do.
func (s *staging) seal(ctx context.Context, m *ledger.Manifest, c *commit) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	staging, run := s.place.staging(s.opts.RunID), s.place.run(s.opts.RunID)
	sum := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(data), manifestName) // as sha256sum writes it
	texts := map[string][]byte{sealName: sum, manifestName: data}
	for _, name := range []string{sealName, manifestName} {
		c.Own = append(c.Own, stagedCopy{From: staging + name, To: run + name, Size: int64(len(texts[name]))})
	}
	if texts[commitName], err = json.Marshal(c); err != nil {
		return err
	}
	return each(ctx, slices.Collect(maps.Keys(texts)), func(ctx context.Context, name string) error {
		return s.store.put(ctx, staging+name, texts[name])
	})
}

// finish gives the files of a published run their names, removes what it had staged, and
// says so in the log.
func (s *staging) finish(ctx context.Context, run string) error {
	if err := s.store.finish(ctx, s.place, run); err != nil {
		return err
	}
	return s.move(ctx, func(e *entry) { e.Pending = "" })
}

// KeepRejects keeps the rejects of a run that publishes nothing.
func (s *staging) KeepRejects() (string, error) {
	s.mu.Lock()
	rejects, again := s.mu.rejects, s.mu.closed
	s.mu.closed = true
	s.mu.Unlock()
	if again {
		return "", fmt.Errorf("output %q: keep rejects: %w", s.place.shown, ledger.ErrDiscarded)
	}
	if rejects == nil {
		return "", nil
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	to := s.place.keptRejects(s.opts.RunID)
	if err := s.store.copy(ctx, rejects.key, to, rejects.Bytes); err != nil {
		return "", s.failed(err)
	}
	return s.place.uri(to), nil
}
