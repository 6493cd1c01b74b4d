package objects

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/blobstore"
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
	if err := s.claimed(); err != nil {
		return err
	}
	ctx := s.during()
	files, err := s.account(m)
	if err != nil {
		return fmt.Errorf("output %q: not published: %w", s.place.shown, err)
	}
	c, err := s.ready(ctx, m, files)
	if err != nil {
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
			s.place.shown, ledger.ErrOutput, s.opts.RunID, blobstore.Clean(err))
	}
	untidy := s.untidied(s.tidy(after, c, staged))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.untidy = untidy
	return nil
}

// ready stages the manifest and what is left to do, and waits for all that the step needs:
// parts and their records, that the run still has the output, and what stands at its name.
// All of that is asked for at once: the manifest is written for what stood there when the run
// began, and once more where that is another by now.
func (s *staging) ready(ctx context.Context, m *ledger.Manifest, files []stagedFile) (*commit, error) {
	before, err := s.mu.stood()
	if err != nil {
		return nil, err
	}
	looked := time.Now()
	var now present
	var c *commit
	all, asking := errgroup.WithContext(ctx)
	all.Go(s.staged)
	all.Go(func() error { return s.stillOurs(asking) })
	all.Go(func() (err error) {
		now, err = s.look(asking)
		return err
	})
	all.Go(func() (err error) { //nolint:contextcheck // a Staging has the run's context
		c, err = s.seal(s.writes(), m, files, before)
		return err
	})
	if err := all.Wait(); err != nil {
		return nil, errors.Join(err, s.unseal(err)) //nolint:contextcheck // a Staging has the run's context
	}
	if time.Since(looked) > lookedLately { // what was staged took long
		if now, err = s.look(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.mayGiveWay(now.standing); err != nil {
		return nil, err
	}
	if !now.equal(before) {
		return s.seal(s.writes(), m, files, now) //nolint:contextcheck // a Staging has the run's context
	}
	return c, nil
}

// unseal removes what seal staged where another run has the output by now, which does not know
// of it.
func (s *staging) unseal(why error) error {
	if !errors.Is(why, ledger.ErrHeld) {
		return nil
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	staging := s.place.staging(s.opts.RunID)
	return s.store.remove(ctx, staging+sealName, staging+manifestName, staging+commitName)
}

// lookedLately is how long what stands at the output's name counts as looked at right before
// the step.
const lookedLately = 2 * time.Second

// staged waits for all that was staged, and for what nobody waited for so far.
func (s *staging) staged() error {
	if err := s.recorded(); err != nil {
		return err
	}
	_ = s.notes.Wait() // they report to nobody
	if err := s.cleared(); err != nil {
		return err
	}
	return s.arriveAll()
}

// stillOurs says who has the output, if this run has not.
func (s *staging) stillOurs(ctx context.Context) error {
	s.moving.Lock()
	defer s.moving.Unlock()
	asked := time.Now()
	numbers, err := s.store.logNumbers(ctx, s.place)
	if err != nil {
		return err
	}
	if len(numbers) == 0 || numbers[len(numbers)-1] != s.newest().Number {
		s.lose(ctx)
		return s.lost()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.sure = asked
	return nil
}

// give gives the files their names, and lists what is staged meanwhile. While the last two get
// theirs, the last beat may come to its end: a late one would stay.
func (s *staging) give(ctx context.Context, c *commit) (staged []object, err error) {
	gives, giving := errgroup.WithContext(ctx)
	gives.Go(func() error {
		if err := s.store.giveFiles(giving, c); err != nil {
			return err
		}
		gives.Go(func() error {
			s.mu.stop()
			return nil
		})
		return s.store.giveLast(giving, c)
	})
	gives.Go(func() (err error) {
		staged, err = s.store.all(giving, s.place.staging(c.Run))
		return err
	})
	return staged, gives.Wait()
}

// tidy removes what was staged and says that nothing is left to do. Where it cannot, the next
// run does: the output is there. What the run itself staged goes while that is said: a crash
// leaves it to a run that knows by the manifest that it is nothing to go on with. What it
// continued has none, and goes before.
func (s *staging) tidy(ctx context.Context, c *commit, staged []object) error {
	if err := s.store.drop(ctx, s.place, c.Starts[:len(c.Starts)-1]); err != nil {
		return err
	}
	ends, ending := errgroup.WithContext(ctx)
	ends.Go(func() error { return s.store.removeAll(ending, staged) })
	ends.Go(func() error { return s.sweepUploads(ending, c.Starts) })
	ends.Go(func() error { return s.move(ending, func(e *entry) { e.Pending, e.Holder = "", nil }) })
	if err := ends.Wait(); err != nil {
		return err
	}
	if s.newest().Number%keptEntries == 0 {
		_ = s.store.trim(ctx, s.place) // it grows a little
	}
	return nil
}

// untidied words what tidy could not do; Discard gives it.
func (s *staging) untidied(err error) error {
	if err == nil || errors.Is(err, ledger.ErrHeld) { // who took the output over does it
		return nil
	}
	return fmt.Errorf("output %q: run %s is published, and not all that it had staged is removed; the next run there does it, or millrace verify: %w",
		s.place.shown, s.opts.RunID, blobstore.Clean(err))
}

// sweepUploads ends the uploads of which the store knows and the run does not: those whose
// beginning, or whose end, was lost on its way back.
func (s *staging) sweepUploads(ctx context.Context, starts []string) error {
	err := each(ctx, starts, func(ctx context.Context, run string) error { return s.store.abortUploads(ctx, s.place.run(run), "") })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.swept = err == nil
	return err
}

// step decides that this run is published, unless another run decided something meanwhile.
func (s *staging) step(ctx context.Context) error {
	err := s.move(ctx, func(e *entry) { e.Pending, e.Published = s.opts.RunID, s.opts.RunID })
	if err != nil {
		return err
	}
	s.mu.Lock()
	sure := s.mu.sure
	s.mu.Unlock()
	if sinceByAnyClock(sure) < sureFor { // see keptEntries
		return nil
	}
	return s.stillOurs(ctx)
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

// seal stages the manifest and what is left to do, for what stands at the output's name.
func (s *staging) seal(ctx context.Context, m *ledger.Manifest, files []stagedFile, now present) (*commit, error) {
	s.descend(m, now.there)
	c := s.newCommit(files, m, now)
	data, err := m.Encode()
	if err != nil {
		return nil, err
	}
	staging, run := s.place.staging(s.opts.RunID), s.place.run(s.opts.RunID)
	sum := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(data), manifestName) // as sha256sum writes it
	texts := map[string][]byte{sealName: sum, manifestName: data}
	for _, name := range []string{sealName, manifestName} {
		c.Own = append(c.Own, stagedCopy{From: staging + name, To: run + name, Size: int64(len(texts[name]))})
	}
	if texts[commitName], err = json.Marshal(c); err != nil {
		return nil, err
	}
	return c, each(ctx, slices.Collect(maps.Keys(texts)), func(ctx context.Context, name string) error {
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
	if err := s.arrive(rejects.key); err != nil {
		return "", err
	}
	to := s.place.keptRejects(s.opts.RunID)
	if err := s.store.copy(ctx, rejects.key, to, rejects.Bytes); err != nil {
		return "", s.failed(err)
	}
	return s.place.uri(to), nil
}
