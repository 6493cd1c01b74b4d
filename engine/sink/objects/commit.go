package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

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

// starts are the runs whose staging goes, oldest first: those that this one continues, the
// one that died with the output in hand, and itself. What the dead one had asked for last,
// the store may have done after it was looked for and removed.
func (s *staging) starts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	runs := slices.Clone(s.mu.chain)
	if s.mu.dead != "" && !slices.Contains(runs, s.mu.dead) {
		runs = append(runs, s.mu.dead)
	}
	return append(runs, s.opts.RunID)
}

// newCommit lists what is to be done after the step.
func (s *staging) newCommit(files []stagedFile, m *ledger.Manifest, now present) *commit {
	p := s.place
	c := &commit{Run: s.opts.RunID, Fresh: !now.there, Starts: s.starts()}
	kept := map[string]bool{}
	for _, f := range files {
		c.Copies = append(c.Copies, stagedCopy{From: f.key, To: p.final(f.Name), Size: f.Bytes})
		kept[p.final(f.Name)] = true
	}
	if m.Rejects != nil {
		c.Own = append(c.Own, stagedCopy{From: s.mu.rejects.key, To: p.run(s.opts.RunID) + rejectsName, Size: m.Rejects.Bytes})
	}
	if s.opts.Single {
		return c
	}
	c.Success = p.final(successName)
	for _, key := range now.keys { // none but of an output that is replaced
		if key != p.prefix && key != c.Success && !kept[key] {
			c.Removes = append(c.Removes, key)
		}
	}
	return c
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

// dropStaged removes what the starts of a run had staged, and their uploads; the commit last.
func (s *store) dropStaged(ctx context.Context, p *place, c *commit) error {
	if err := s.drop(ctx, p, c.Starts[:len(c.Starts)-1]); err != nil {
		return err
	}
	err := each(ctx, c.Starts, func(ctx context.Context, run string) error { return s.abortUploads(ctx, p.run(run), "") })
	if err != nil {
		return err
	}
	found, err := s.all(ctx, p.staging(c.Run))
	if err != nil {
		return err
	}
	last := p.staging(c.Run) + commitName
	if err := s.removeAll(ctx, slices.DeleteFunc(found, func(o object) bool { return o.key == last })); err != nil {
		return err
	}
	return s.remove(ctx, last)
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
	if err := s.giveFiles(ctx, c); err != nil {
		return err
	}
	return s.giveLast(ctx, c)
}

// giveFiles gives all but the manifest their names.
func (s *store) giveFiles(ctx context.Context, c *commit) error {
	if c.Success != "" && !c.Fresh {
		if err := s.remove(ctx, c.Success); err != nil {
			return err
		}
	}
	files, giving := errgroup.WithContext(ctx)
	last := len(c.Own) - 1
	files.Go(func() error { return each(giving, slices.Concat(c.Copies, c.Own[:last]), s.copyStaged) })
	files.Go(func() error { return s.remove(giving, c.Removes...) }) // no copy goes there
	return files.Wait()
}

// giveLast gives the manifest its name, by which readers know the files, and named a single one;
// and then _SUCCESS, since what waits for it may read the manifest at once.
func (s *store) giveLast(ctx context.Context, c *commit) error {
	if err := s.copyStaged(ctx, c.Own[len(c.Own)-1]); err != nil || c.Success == "" {
		return err
	}
	return s.put(ctx, c.Success, nil)
}

func (s *store) copyStaged(ctx context.Context, one stagedCopy) error {
	return s.copy(ctx, one.From, one.To, one.Size)
}

// removeAll removes objects that were listed.
func (s *store) removeAll(ctx context.Context, found []object) error {
	keys := make([]string, len(found))
	for i, o := range found {
		keys[i] = o.key
	}
	return s.remove(ctx, keys...)
}
