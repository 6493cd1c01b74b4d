package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/tempfolder"
)

// patience bounds what is done after a run was stopped.
const patience = 30 * time.Second

// staging is an output in a table that nobody sees yet.
type staging struct {
	db     Database
	opts   sink.Options
	ctx    context.Context //nolint:containedctx // of the run: what is staged ends with it
	output string          // without secrets
	run    string          // under which it publishes: its first start's
	newest *Run            // published before; nil where none is
	there  Standing
	taken  *ledger.Journal // nil for a fresh run

	mu       sync.Mutex
	parts    map[int]Part // ended, and not recorded
	recorded map[int]ledger.PartRecord
	rejects  map[int]*file      // committed
	merged   *file              // of all; nil where there are none
	dir      *tempfolder.Folder // of files on this machine; nil before there are some
	begun    bool
	over     bool // published, or its rejects are kept
	closed   bool
}

// Stage takes the table of a database, which it owns from now on, for a run.
func Stage(ctx context.Context, db Database, opts sink.Options) (_ sink.Records, err error) {
	s := &staging{
		db: db, opts: opts, ctx: ctx, output: sink.Shown(opts.Output), run: opts.RunID,
		parts: map[int]Part{}, recorded: map[int]ledger.PartRecord{}, rejects: map[int]*file{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	holder := ledger.NewHolder(opts.RunID)
	if err := db.Hold(ctx, holder); err != nil {
		return nil, err
	}
	runs, err := db.Runs(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.refuse(runs); err != nil {
		return nil, err
	}
	if err := db.Claim(ctx, holder); err != nil {
		return nil, err
	}
	if err := s.unchanged(runs); err != nil {
		return nil, err
	}
	return s, s.takeOver(runs)
}

// refuse returns an error where the run is not to begin. Nothing is written yet.
func (s *staging) refuse(runs []Run) (err error) {
	if s.there, err = s.db.Standing(s.ctx); err != nil {
		return err
	}
	if err := s.follows(runs); err != nil {
		return err
	}
	if err := s.publishedAlready(runs); err != nil {
		return err
	}
	if s.there.Rows && s.opts.IfExists == ledger.IfExistsError {
		return fmt.Errorf("%w: %s has rows; --if-exists append adds to them, replace takes their place when the new ones are whole, upsert replaces those of the same ids", ledger.ErrExists, s.output)
	}
	return s.db.Fit(s.ctx, Columns{Fields: s.opts.Fields, All: s.opts.AllFields})
}

// publishedAlready returns a *ledger.PublishedError when an equal job's rows are there. Who
// replaces wants nothing else there, and of runs that upsert only the newest is sure to be
// whole.
func (s *staging) publishedAlready(runs []Run) error {
	var live []Run
	for i, r := range runs {
		if r.State == Published {
			s.newest = &runs[i]
		}
		if r.State == Published && r.Live {
			live = append(live, r)
		}
	}
	if s.opts.Job == nil || s.opts.Restart || !s.there.There || s.opts.IfExists == ledger.IfExistsReplace && len(live) > 1 {
		return nil
	}
	job := s.opts.Job.Digest()
	for _, r := range slices.Backward(live) {
		if r.Job == job {
			got, err := s.db.Count(s.ctx, r.ID)
			if err != nil {
				return err
			}
			if got == r.Written {
				return s.already(r.ID)
			}
		}
		if s.opts.IfExists == ledger.IfExistsUpsert {
			break
		}
	}
	return nil
}

func (s *staging) already(run string) error {
	data, err := s.db.Manifest(s.ctx, run)
	if err != nil {
		return err
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		return fmt.Errorf("output %s: run %s: %w", s.output, run, err)
	}
	return &ledger.PublishedError{Output: s.output, Manifest: m}
}

// takeOver continues the run of an equal job that did most, and drops the others.
func (s *staging) takeOver(runs []Run) error {
	for _, r := range runs {
		if r.State != Staged {
			continue
		}
		j, err := s.progressOf(r)
		if err != nil {
			return err
		}
		drop := r.ID
		if j != nil && s.opts.Job != nil && !s.opts.Restart {
			if changed := j.ChangedSince(s.opts.Job, ""); len(changed) > 0 {
				return &ledger.OtherJobError{Output: s.output, Run: r.ID, Parts: len(j.Parts), Differences: changed}
			}
			if s.taken == nil || len(s.taken.Parts) <= len(j.Parts) {
				drop = ""
				if s.taken != nil {
					drop = s.run
				}
				s.taken, s.run = j, r.ID
			}
		}
		if drop != "" {
			if err := s.db.Drop(s.ctx, drop); err != nil {
				return err
			}
		}
	}
	if s.taken != nil {
		for _, p := range s.taken.Parts {
			s.recorded[p.Part] = p
		}
	}
	return nil
}

// progressOf reads what a run did before it stopped; nil where that is nothing, or its rows
// are not those that its journal says: whoever touched them, they are scored again.
func (s *staging) progressOf(r Run) (*ledger.Journal, error) {
	data, err := s.db.Journal(s.ctx, r.ID)
	if err != nil {
		return nil, err
	}
	j := ledger.ParseJournal(data)
	if j.Head == nil || j.Head.Run != r.ID || len(j.Parts) == 0 && len(j.Deaths) == 0 {
		return nil, nil
	}
	if len(j.Parts) == 0 {
		return j, nil
	}
	var want int64
	for _, p := range j.Parts {
		want += p.Rows.Written()
	}
	got, err := s.db.Staged(s.ctx, r.ID)
	if err != nil || got != want {
		return nil, err
	}
	return j, nil
}

func (s *staging) RunID() string { return s.run }

func (s *staging) Taken() *ledger.Journal { return s.taken }

func (s *staging) Starts() int {
	if s.taken != nil {
		return len(s.taken.Starts) + 1
	}
	return 1
}

// CheckColumns finds nothing: Fit has, by the fields, and NewPart asks it again.
func (s *staging) CheckColumns([]ledger.Column) error { return nil }

// Loading, Loaded and LoadDeaths keep no account: a journal begins when the model is loaded.
func (s *staging) Loading() error  { return nil }
func (s *staging) Loaded() error   { return nil }
func (s *staging) LoadDeaths() int { return 0 }

func (s *staging) Begin(frozen json.RawMessage) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	start := &ledger.Line{Start: &ledger.Start{Run: s.opts.RunID, Time: now, PID: os.Getpid(), Host: ledger.HostName()}}
	text, err := ledger.EncodeLine(start)
	if err != nil {
		return err
	}
	if s.taken != nil {
		err = s.db.Append(s.ctx, s.run, text, true)
	} else {
		job := s.opts.Job
		if job == nil {
			job = &ledger.Job{}
		}
		head, herr := ledger.EncodeLine(&ledger.Line{Head: &ledger.Head{Version: ledger.JournalVersion, Run: s.run, Started: now, Job: *job, Frozen: frozen}})
		if herr != nil {
			return herr
		}
		err = s.db.Begin(s.ctx, s.run, job.Digest(), append(head, text...))
	}
	if err == nil {
		s.mu.Lock()
		s.begun = true
		s.mu.Unlock()
	}
	return err
}

func (s *staging) Enter(part int) error {
	return s.note(s.ctx, &ledger.Line{Begun: &part}, false)
}

func (s *staging) RecordDigest(d ledger.DigestRecord) error {
	return s.note(s.ctx, &ledger.Line{Digest: &d}, false)
}

func (s *staging) note(ctx context.Context, line *ledger.Line, durable bool) error {
	text, err := ledger.EncodeLine(line)
	if err != nil {
		return err
	}
	return s.db.Append(ctx, s.run, text, durable)
}

func (s *staging) NewPart(part int, schema *arrow.Schema) (sink.Part, error) {
	s.mu.Lock()
	_, twice := s.recorded[part]
	s.mu.Unlock()
	if twice {
		return nil, fmt.Errorf("output %s: part %d is made twice", s.output, part)
	}
	p, err := s.db.NewPart(s.ctx, s.run, part, schema)
	if err != nil {
		return nil, err
	}
	return &stagedPart{staging: s, number: part, Part: p}, nil
}

// stagedPart is a part whose transaction waits for its record once it is committed.
type stagedPart struct {
	Part

	staging *staging
	number  int
}

func (p *stagedPart) Commit(rows int64) ([]ledger.Output, error) {
	out, err := p.End()
	if err == nil && out.Rows != rows {
		err = fmt.Errorf("%w: part %d has %d rows, and %d were written", ledger.ErrAccounts, p.number, rows, out.Rows)
	}
	if err != nil {
		return nil, errors.Join(err, p.Abort())
	}
	out.Name = fmt.Sprintf("part-%05d", p.number)
	p.staging.mu.Lock()
	defer p.staging.mu.Unlock()
	p.staging.parts[p.number] = p.Part
	return []ledger.Output{out}, nil
}

func (s *staging) Record(record ledger.PartRecord) error {
	s.mu.Lock()
	p, rejects := s.parts[record.Part], s.rejects[record.Part]
	delete(s.parts, record.Part)
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("output %s: %w: part %d is recorded and was not written", s.output, ledger.ErrAccounts, record.Part)
	}
	if err := s.commit(p, &record, rejects); err != nil {
		return errors.Join(err, p.Abort())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded[record.Part] = record
	return nil
}

// commit commits a part with its line and its rejects, which are nil where it has none.
func (s *staging) commit(p Part, record *ledger.PartRecord, rejects *file) (err error) {
	line, err := ledger.EncodeLine(&ledger.Line{Part: record})
	if err != nil {
		return err
	}
	if rejects == nil {
		return p.Commit(line, strings.NewReader(""))
	}
	in, err := os.Open(rejects.path)
	if err != nil {
		return s.localError(err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return p.Commit(line, in)
}

func (s *staging) TakenOver() error {
	ctx, done := s.after()
	defer done()
	if err := s.db.Held(ctx); errors.Is(err, ledger.ErrHeld) {
		return err
	}
	return nil // as far as can be known
}

// after is a context for what is done when the run's own may have ended.
func (s *staging) after() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(s.ctx), patience)
}

func (s *staging) Suspend(why string) (int, error) {
	s.mu.Lock()
	parts, deaths := len(s.recorded), s.taken != nil && len(s.taken.Deaths) > 0
	keep := (parts > 0 || s.begun && deaths) && !s.over && !s.closed
	s.mu.Unlock()
	if !keep {
		return 0, s.Discard()
	}
	err := s.dropOpen()
	ctx, done := s.after()
	defer done()
	if s.begun {
		err = errors.Join(err, s.note(ctx, &ledger.Line{Stopped: why}, true))
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return parts, errors.Join(err, s.db.Close(), s.removeFiles())
}

func (s *staging) Discard() error {
	s.mu.Lock()
	closed, drop := s.closed, !s.over && (s.begun || s.taken != nil)
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	err := s.dropOpen()
	if drop {
		ctx, done := s.after()
		defer done()
		if derr := s.db.Drop(ctx, s.run); !errors.Is(derr, ledger.ErrHeld) { // then it is the other run's
			err = errors.Join(err, derr)
		}
	}
	return errors.Join(err, s.db.Close(), s.removeFiles())
}

// dropOpen aborts the parts that were written and not recorded.
func (s *staging) dropOpen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, 0, len(s.parts))
	for _, p := range s.parts {
		errs = append(errs, p.Abort())
	}
	clear(s.parts)
	return errors.Join(errs...)
}

func (s *staging) ScratchDir() (string, error) {
	dir, err := s.folder()
	if err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp(dir, "scratch-")
	return dir, s.localError(err)
}

// folder is the run's own on this machine, of files that nobody needs any more once it ends.
func (s *staging) folder() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != nil {
		return s.dir.Path(), nil
	}
	dir, err := tempfolder.New(os.TempDir(), "millrace-table-*")
	if err != nil {
		return "", s.localError(err)
	}
	s.dir = dir
	return dir.Path(), nil
}

func (s *staging) localError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("output %s: %w: %w", s.output, ledger.ErrOutput, err)
}

func (s *staging) removeFiles() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil {
		return nil
	}
	dir := s.dir
	s.dir = nil
	return s.localError(dir.Remove())
}

func (s *staging) path(name string) (string, error) {
	dir, err := s.folder()
	return filepath.Join(dir, name), err
}
