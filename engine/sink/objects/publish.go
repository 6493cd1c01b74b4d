package objects

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// commit is what is left to do after the step: whoever reads it can.
type commit struct {
	Run    string       `json:"run"`
	Starts []string     `json:"starts"` // whose staging goes, oldest first
	Copies []stagedCopy `json:"copies"`
	Own    []stagedCopy `json:"own"` // the run's own objects, after the others
	// Removes are keys of an output that is replaced, which no copy takes the place of.
	Removes []string `json:"removes,omitempty"`
	Success string   `json:"success,omitempty"` // key of _SUCCESS, for a folder
	Fresh   bool     `json:"fresh,omitempty"`   // nothing stood there
}

// stagedCopy is an object that gets another name.
type stagedCopy struct {
	From string `json:"from"`
	To   string `json:"to"`
	Size int64  `json:"size"`
}

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
	there, err := s.look(ctx)
	if err != nil {
		return s.failed(err)
	}
	s.descend(m, there)
	c, err := s.newCommit(ctx, files, m, there)
	if err != nil {
		return s.failed(err)
	}
	if err := s.seal(ctx, m, c); err != nil {
		return s.failed(err)
	}
	// The step. From here on nothing is undone, also if the run is told to stop.
	after := context.WithoutCancel(ctx)
	if err := s.step(after); err != nil {
		return s.failed(err)
	}
	if err := s.store.give(after, c); err != nil {
		return fmt.Errorf("output %q: %w: it is decided that run %s is published, but not all files have their names: the same command, or millrace verify, gives them: %w",
			s.place.shown, ledger.ErrOutput, s.opts.RunID, err)
	}
	s.tidy(after, c)
	return nil
}

// tidy removes what was staged, and says that nothing is left to do. Where it cannot, the
// next run does: the output is there.
func (s *staging) tidy(ctx context.Context, c *commit) {
	s.mu.stop() // a beat that comes late would stay
	if err := s.store.dropStaged(ctx, s.place, c); err != nil {
		return
	}
	if err := s.move(ctx, func(e *entry) { e.Pending, e.Holder = "", nil }); err != nil {
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
		s.lose()
		return s.TakenOver()
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

// newCommit lists what is to be done after the step.
func (s *staging) newCommit(ctx context.Context, files []stagedFile, m *ledger.Manifest, there bool) (*commit, error) {
	p := s.place
	c := &commit{Run: s.opts.RunID, Fresh: !there, Starts: append(slices.Clone(s.mu.chain), s.opts.RunID)}
	kept := map[string]bool{}
	for _, f := range files {
		c.Copies = append(c.Copies, stagedCopy{From: f.key, To: p.final(f.Name), Size: f.Bytes})
		kept[p.final(f.Name)] = true
	}
	if m.Rejects != nil {
		c.Own = append(c.Own, stagedCopy{From: s.mu.rejects.key, To: p.run(s.opts.RunID) + rejectsName, Size: m.Rejects.Bytes})
	}
	if s.opts.Single {
		return c, nil
	}
	c.Success = p.final(successName)
	if !there || m.Mode != ledger.ModeReplace {
		return c, nil
	}
	err := s.store.list(ctx, p.prefix, "", func(o object) error {
		if !strings.HasPrefix(o.key, p.own) && o.key != p.prefix && o.key != c.Success && !kept[o.key] {
			c.Removes = append(c.Removes, o.key)
		}
		return nil
	})
	return c, err
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

// finish does what is left to do for a published run; all of it can be done twice. Staging
// goes last, and in it the commit: where that is gone, everything is done.
func (s *store) finish(ctx context.Context, p *place, run string) error {
	text, err := s.get(ctx, p.staging(run)+commitName, maxSmallBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var c commit
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", p.uri(p.staging(run)+commitName), err)
	}
	if err := c.check(p, run); err != nil {
		return err
	}
	named, err := s.named(ctx, p, &c)
	if err != nil {
		return err
	}
	if named {
		return s.dropStaged(ctx, p, &c)
	}
	return s.finishBy(ctx, p, &c)
}

// finishBy does all that a commit says.
func (s *store) finishBy(ctx context.Context, p *place, c *commit) error {
	if err := s.give(ctx, c); err != nil {
		return err
	}
	return s.dropStaged(ctx, p, c)
}

// dropStaged removes what the starts of a run had staged, the commit last.
func (s *store) dropStaged(ctx context.Context, p *place, c *commit) error {
	for _, start := range c.Starts[:len(c.Starts)-1] {
		if err := s.drop(ctx, p, []string{start}); err != nil {
			return err
		}
	}
	return s.dropButCommit(ctx, p, c.Run)
}

// check refuses a commit that leads out of the output.
func (c *commit) check(p *place, run string) error {
	inside := func(key string) bool { return strings.HasPrefix(key, p.prefix) }
	ok := c.Run == run && len(c.Own) > 0 && len(c.Starts) > 0 && c.Starts[len(c.Starts)-1] == run
	for _, copies := range [][]stagedCopy{c.Copies, c.Own} {
		for _, one := range copies {
			ok = ok && strings.HasPrefix(one.From, p.own) && inside(one.To)
		}
	}
	for _, key := range c.Removes {
		ok = ok && inside(key)
	}
	for _, start := range c.Starts {
		ok = ok && ledger.ValidRunID(start)
	}
	if !ok || c.Success != "" && c.Success != p.final(successName) {
		return fmt.Errorf("%s names what is not of this output", p.uri(p.staging(run)+commitName))
	}
	return nil
}

// named says whether all files have their names already: _SUCCESS, or the manifest of a
// single file, is the last to be written.
func (s *store) named(ctx context.Context, p *place, c *commit) (bool, error) {
	for _, key := range []string{c.Success, p.run(c.Run) + manifestName} {
		if key == "" {
			continue
		}
		if _, err := s.size(ctx, key); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// give gives the files their names. While that goes on, _SUCCESS is missing.
func (s *store) give(ctx context.Context, c *commit) error {
	if c.Success != "" && !c.Fresh {
		if err := s.remove(ctx, c.Success); err != nil {
			return err
		}
	}
	give := func(ctx context.Context, one stagedCopy) error {
		return s.copy(ctx, one.From, one.To, one.Size)
	}
	if err := each(ctx, c.Copies, give); err != nil {
		return err
	}
	if err := s.remove(ctx, c.Removes...); err != nil {
		return err
	}
	last := len(c.Own) - 1 // the manifest, by which named knows of a single file
	if err := each(ctx, c.Own[:last], give); err != nil {
		return err
	}
	if err := give(ctx, c.Own[last]); err != nil || c.Success == "" {
		return err
	}
	return s.put(ctx, c.Success, nil)
}

// dropButCommit removes what a run had staged, the commit last.
func (s *store) dropButCommit(ctx context.Context, p *place, run string) error {
	found, err := s.all(ctx, p.staging(run))
	if err != nil {
		return err
	}
	last := p.staging(run) + commitName
	var keys []string
	for _, o := range found {
		if o.key != last {
			keys = append(keys, o.key)
		}
	}
	if err := s.remove(ctx, keys...); err != nil {
		return err
	}
	return s.remove(ctx, last)
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
