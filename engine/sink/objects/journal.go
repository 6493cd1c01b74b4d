package objects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// start is what a process says when it begins to work on a run. The run's journal is the
// starts that continue each other, and the parts that each of them finished.
type start struct {
	Continues string       `json:"continues,omitempty"` // the start before, by its run id
	Head      *ledger.Head `json:"head"`
	Start     ledger.Start `json:"start"`
}

// leftover is what a run has staged that is not published.
type leftover struct {
	run     string
	start   *start // nil where it died before it said
	parts   []string
	digests []string
	sizes   map[string]int64 // of all its objects, by key
	loading bool
	stopped bool
}

// own is what an output's own folder has.
type own struct {
	manifests map[string]bool      // runs that have one, and so are published
	left      map[string]*leftover // by run
}

// listOwn lists an output's own folder.
func (s *store) listOwn(ctx context.Context, p *place) (*own, error) {
	o := &own{manifests: map[string]bool{}, left: map[string]*leftover{}}
	err := s.list(ctx, p.own, "", func(found object) error {
		run, name, _ := strings.Cut(strings.TrimPrefix(found.key, p.own), "/")
		if !ledger.ValidRunID(run) {
			return nil
		}
		if name == manifestName {
			o.manifests[run] = true
		}
		if name, ok := strings.CutPrefix(name, stagingName); ok {
			o.addStaged(run, name, found)
		}
		return nil
	})
	return o, err
}

func (o *own) addStaged(run, name string, found object) {
	left := o.left[run]
	if left == nil {
		left = &leftover{run: run, sizes: map[string]int64{}}
		o.left[run] = left
	}
	left.sizes[found.key] = found.size
	switch base, inJournal := strings.CutPrefix(name, journalName); {
	case inJournal && strings.HasPrefix(base, "part-"):
		left.parts = append(left.parts, found.key)
	case inJournal && strings.HasPrefix(base, "digest-"):
		left.digests = append(left.digests, found.key)
	case name == startName:
		left.start = &start{} // read when it is needed
	case name == loadingName:
		left.loading = true
	case name == stoppedName:
		left.stopped = true
	}
}

// unfinished is a run that can be continued: the starts of it, oldest first.
type unfinished struct {
	starts  []*leftover
	journal *ledger.Journal
	staged  map[int]*leftover // the start that finished a part
}

// runs are those of its starts.
func (u *unfinished) runs() []string {
	runs := make([]string, len(u.starts))
	for i, l := range u.starts {
		runs[i] = l.run
	}
	return runs
}

// unfinished finds the runs that are not published, and what is left of none.
func (s *store) unfinished(ctx context.Context, p *place, o *own) (found []*unfinished, rest []string, err error) {
	continued := map[string]bool{}
	for run, left := range o.left {
		if left.start == nil {
			continue
		}
		if err := s.readStart(ctx, p, left); err != nil {
			return nil, nil, err
		}
		if left.start.Head == nil {
			left.start = nil
			continue
		}
		continued[left.start.Continues] = true
		_ = run
	}
	used := map[string]bool{}
	for _, run := range slices.Sorted(maps.Keys(o.left)) {
		if left := o.left[run]; left.start == nil || continued[run] || o.manifests[run] {
			continue
		}
		u := &unfinished{}
		for at := o.left[run]; at != nil && at.start != nil && !used[at.run]; at = o.left[at.start.Continues] {
			u.starts = append(u.starts, at)
			used[at.run] = true
		}
		slices.Reverse(u.starts)
		if err := s.readJournal(ctx, p, u); err != nil {
			return nil, nil, err
		}
		found = append(found, u)
	}
	for _, run := range slices.Sorted(maps.Keys(o.left)) {
		if !used[run] {
			rest = append(rest, run)
		}
	}
	return found, rest, nil
}

func (s *store) readStart(ctx context.Context, p *place, left *leftover) error {
	text, err := s.get(ctx, p.staging(left.run)+startName, maxSmallBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left.start = &start{}
	if err == nil && (json.Unmarshal(text, left.start) != nil || left.start.Head != nil && left.start.Head.Version != ledger.JournalVersion) {
		left.start = &start{} // of no millrace that this one understands
	}
	return nil
}

// readJournal puts the journal of a run together: as lines, in the order of its starts.
func (s *store) readJournal(ctx context.Context, p *place, u *unfinished) error {
	var text bytes.Buffer
	add := func(l *ledger.Line) error {
		line, err := ledger.EncodeLine(l)
		text.Write(line)
		return err
	}
	if err := add(&ledger.Line{Head: u.starts[0].start.Head}); err != nil {
		return err
	}
	u.staged = map[int]*leftover{}
	for _, left := range u.starts {
		if err := add(&ledger.Line{Start: &left.start.Start}); err != nil {
			return err
		}
		if err := s.addParts(ctx, p, left, u.staged, add); err != nil {
			return err
		}
		if left.stopped {
			if err := add(&ledger.Line{Stopped: "stopped"}); err != nil {
				return err
			}
		}
	}
	u.journal = ledger.ParseJournal(text.Bytes())
	return nil
}

// addParts adds the lines of one start: what it was working on, by its last beat, and what
// it finished.
func (s *store) addParts(ctx context.Context, p *place, left *leftover, staged map[int]*leftover, add func(*ledger.Line) error) error {
	var b beat
	text, err := s.beatText(ctx, p.staging(left.run)+beatName)
	if err != nil {
		return err
	}
	_ = json.Unmarshal(text, &b) // a beat that was cut tells nothing
	for _, part := range b.Parts {
		if err := add(&ledger.Line{Begun: &part}); err != nil {
			return err
		}
	}
	keys := slices.Concat(left.parts, left.digests)
	lines := make([]ledger.Line, len(keys))
	numbers := make([]int, len(keys))
	for i := range numbers {
		numbers[i] = i
	}
	err = each(ctx, numbers, func(ctx context.Context, i int) error {
		text, err := s.get(ctx, keys[i], maxSmallBytes)
		if err == nil && json.Unmarshal(text, &lines[i]) != nil {
			lines[i] = ledger.Line{} // not one of ours: the part is scored again
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range lines {
		l := &lines[i]
		switch {
		case l.Part != nil && left.whole(p, l.Part):
			if _, again := staged[l.Part.Part]; again {
				continue
			}
			staged[l.Part.Part] = left
			fallthrough
		case l.Digest != nil:
			if err := add(&ledger.Line{Part: l.Part, Digest: l.Digest}); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyOf is where a start staged a file of the output.
func (l *leftover) keyOf(p *place, o *ledger.Output) string {
	if strings.HasPrefix(o.Name, "piece-") {
		return p.staging(l.run) + piecesName + o.Name
	}
	return p.staging(l.run) + dataName + o.Name + stagedExt
}

// whole says whether the objects of a recorded part are there, with their sizes.
func (l *leftover) whole(p *place, r *ledger.PartRecord) bool {
	sized := func(key string, o *ledger.Output) bool {
		size, ok := l.sizes[key]
		return ok && size == o.Bytes
	}
	for i := range r.Outputs {
		if o := &r.Outputs[i]; !fs.ValidPath(o.Name) || !sized(l.keyOf(p, o), o) {
			return false
		}
	}
	return r.Part >= 0 && (r.Rejects == nil || fs.ValidPath(r.Rejects.Name) && sized(p.staging(l.run)+badRowsName+r.Rejects.Name, r.Rejects))
}

// Begin says what the run is, or that it is continued.
func (s *staging) Begin(frozen json.RawMessage) error {
	if s.opts.Job == nil {
		return nil
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	first := start{Start: ledger.Start{Run: s.opts.RunID, Time: now, PID: os.Getpid(), Host: ledger.HostName()}}
	s.mu.Lock()
	if n := len(s.mu.chain); n > 0 {
		first.Continues, first.Head = s.mu.chain[n-1], s.mu.head
	} else {
		first.Head = &ledger.Head{
			Version: ledger.JournalVersion, Run: s.opts.RunID, Started: now, Job: *s.opts.Job, Frozen: frozen,
			Base: s.mu.before.base(s.opts.IfExists), FirstFile: s.mu.first,
		}
	}
	s.mu.Unlock()
	text, err := json.Marshal(first)
	if err != nil {
		return err
	}
	said := make(chan error, 1) // the one outcome
	ctx := s.writes()
	go func() { said <- s.putClaimed(ctx, startName, text) }()
	s.mu.Lock()
	watched := s.mu.watched
	s.mu.said, s.mu.begun = said, true
	s.mu.Unlock()
	if !watched { // no part is recorded before it
		return nil
	}
	return s.failed(s.saidStart())
}

// saidStart waits until it is said what the run is.
func (s *staging) saidStart() error {
	return s.outcome(&s.mu.said)
}

// openPartsLocked are the parts that are being worked on.
func (s *staging) openPartsLocked() []int {
	return slices.Sorted(maps.Keys(s.mu.open))
}

// Enter notes that a part is being worked on: with the next beat, which is due now. Where an
// earlier start died without a word, it is waited for, so that a part that kills the process
// at once is known the next time.
func (s *staging) Enter(part int) error {
	s.mu.Lock()
	s.mu.open[part] = true
	watched, begun := s.mu.watched, s.mu.begun
	s.mu.Unlock()
	if !begun {
		return nil
	}
	if watched {
		return s.failed(s.beatOnce(s.writes()))
	}
	select {
	case s.entered <- struct{}{}:
	default: // it is due already
	}
	return nil
}

// RecordDigest notes the digest of an input. Nobody waits for it, nor minds when it fails.
func (s *staging) RecordDigest(d ledger.DigestRecord) error {
	s.mu.Lock()
	begun := s.mu.begun
	s.mu.Unlock()
	if !begun {
		return nil
	}
	text, err := json.Marshal(ledger.Line{Digest: &d})
	if err != nil {
		return err
	}
	ctx := s.writes()
	s.notes.Go(func() error {
		return s.store.put(ctx, fmt.Sprintf("%s%sdigest-%05d", s.place.staging(s.opts.RunID), journalName, d.File), text)
	})
	return nil
}
