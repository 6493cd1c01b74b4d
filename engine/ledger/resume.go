package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cleanDeadRuns finishes what runs that died while they published had begun, and
// lists the others that left something, oldest first. The lock is ours, so none
// of them lives.
func (s *Staging) cleanDeadRuns() (dead []string, err error) {
	entries, err := s.fs.ReadDir(s.parent)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		run, ours := strings.CutPrefix(entry.Name(), s.stagingPrefix())
		if !ours || !ValidRunID(run) {
			continue
		}
		dir := s.dirOf(run)
		aside := filepath.Join(dir, asideName)
		moved, err := s.stands(aside)
		if err == nil && moved && s.vacant() { // it died between the two renames that replace an output
			err = s.fs.Rename(aside, s.output)
		}
		if err != nil {
			return nil, err
		}
		published, err := s.hasPublished(run)
		if err != nil {
			return nil, err
		}
		if !published {
			dead = append(dead, run)
			continue
		}
		// The old output, which may be in there, stays until the new one's name is durable.
		if err := s.fs.SyncDirs(s.parent); err != nil {
			return nil, err
		}
		if err := s.fs.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	slices.Sort(dead)
	return dead, nil
}

// hasPublished says whether a dead run took its one step.
func (s *Staging) hasPublished(run string) (bool, error) {
	if !s.opts.Single {
		return s.stands(filepath.Join(s.output, ownName, run, manifestName))
	}
	moved, err := s.stands(filepath.Join(s.sideDir(), run, manifestName))
	if err != nil || !moved {
		return false, err
	}
	staged, err := s.stands(filepath.Join(s.dirOf(run), dataName, s.name))
	return !staged, err
}

// stands says whether there is something at a name.
func (s *Staging) stands(name string) (bool, error) {
	_, err := s.fs.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return false, nil
	}
	return err == nil, err
}

// takeOver continues the run of an equal job, if one of the dead did something, and
// removes the others.
func (s *Staging) takeOver(dead []string) (took bool, err error) {
	var run string
	for _, d := range dead {
		j, err := s.progressOf(d)
		if err != nil {
			return false, err
		}
		if j == nil || s.opts.Job == nil || s.opts.Restart {
			if err := s.drop(d); err != nil {
				return false, outputError(s.output, err)
			}
			continue
		}
		if changed := j.ChangedSince(s.opts.Job, s.base()); len(changed) > 0 {
			return false, &OtherJobError{Output: s.output, Run: d, Parts: len(j.Parts), Differences: changed}
		}
		lesser := run // only one can be continued
		if s.mu.taken != nil && len(s.mu.taken.Parts) > len(j.Parts) {
			lesser = d
		} else {
			run, s.mu.taken = d, j
		}
		if lesser != "" {
			if err := s.drop(lesser); err != nil {
				return false, outputError(s.output, err)
			}
		}
	}
	if s.mu.taken == nil {
		return false, nil
	}
	return true, outputError(s.output, s.take(run))
}

// progressOf reads what a dead run did; nil where that is nothing.
func (s *Staging) progressOf(run string) (*Journal, error) {
	j, err := readJournal(s.fs, s.dirOf(run))
	if err != nil {
		return nil, outputError(s.output, err)
	}
	if j.Head == nil || len(j.Parts) == 0 && len(j.Deaths) == 0 {
		return nil, nil
	}
	return j, nil
}

// ChangedSince lists what makes a job another than the journal's, which has a head. base
// is the digest of the manifest that the job would append to now; see Head.
func (j *Journal) ChangedSince(job *Job, base string) []Difference {
	changed := job.Differences(j.Head.Job)
	if base != j.Head.Base {
		changed = append(changed, Difference{Fact: Fact{Name: "the output to append to", Value: fmt.Sprintf("%.12s", base)}, Was: fmt.Sprintf("%.12s", j.Head.Base)})
	}
	return changed
}

// drop removes a dead run's files.
func (s *Staging) drop(run string) error {
	if err := s.dropManifest(run); err != nil {
		return err
	}
	return s.fs.RemoveAll(s.dirOf(run))
}

// dropManifest removes the manifest that a dead run moved beside a single file, and did
// not publish. It is gone for good before the run's directory is, which tells that it
// was not published.
func (s *Staging) dropManifest(run string) error {
	if !s.opts.Single {
		return nil
	}
	if moved, err := s.stands(filepath.Join(s.sideDir(), run)); err != nil || !moved {
		return err
	}
	if err := s.fs.RemoveAll(filepath.Join(s.sideDir(), run)); err != nil {
		return err
	}
	if err := s.fs.SyncDirs(s.sideDir()); err != nil {
		return err
	}
	if err := s.fs.Remove(s.sideDir()); err != nil && !isNotEmpty(err) {
		return err
	}
	return nil
}

// take makes a dead run's directory this run's, and removes what its journal does
// not name.
func (s *Staging) take(run string) error {
	if err := s.dropManifest(run); err != nil {
		return err
	}
	if err := s.fs.Rename(s.dirOf(run), s.dir); err != nil {
		return err
	}
	if err := s.fs.SyncDirs(s.parent); err != nil {
		return err
	}
	j := s.mu.taken
	s.mu.first = j.Head.FirstFile
	j.Parts = slices.DeleteFunc(j.Parts, func(p PartRecord) bool { return !s.whole(p) })
	keep := map[string]bool{filepath.Join(s.dir, journalName): true, s.data: true}
	for _, p := range j.Parts {
		for _, o := range p.Outputs {
			keep[filepath.Join(s.partDir(), o.Name)] = true
		}
		if p.Rejects != nil {
			keep[filepath.Join(s.dir, p.Rejects.Name)] = true
		}
		s.haveLocked(p)
	}
	for _, dir := range []string{s.dir, s.data} {
		if err := s.removeOthers(dir, keep); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(s.runDir()), s.runDir()} {
		if err := s.fs.Mkdir(dir); err != nil {
			return err
		}
	}
	return nil
}

// haveLocked puts a part down as committed.
func (s *Staging) haveLocked(p PartRecord) {
	s.mu.parts[p.Part] = &PartFiles{staging: s, index: p.Part, outputs: p.Outputs, done: true}
}

// whole says whether the files of a recorded part are there, with their sizes. They
// were durable before the record was, so one that is not was touched since, and
// its part is scored again.
func (s *Staging) whole(p PartRecord) bool {
	if !s.several() && (len(p.Outputs) != 1 || p.Outputs[0].Name != s.partName(p.Part)) {
		return false
	}
	for i := range p.Outputs {
		if o := &p.Outputs[i]; s.several() && !s.ofPart(p.Part, o.Name) || !s.sized(filepath.Join(s.partDir(), o.Name), o) {
			return false
		}
	}
	if r := p.Rejects; r != nil && (r.Name != partRejectsName(p.Part) || !s.sized(filepath.Join(s.dir, r.Name), r)) {
		return false
	}
	return true
}

// sized says whether a file is there with the size that it was written with.
func (s *Staging) sized(name string, o *Output) bool {
	info, err := s.fs.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == o.Bytes
}

// removeOthers removes all of a directory that is not kept: neither by its name nor,
// for a folder of the output, for what is in it.
func (s *Staging) removeOthers(dir string, keep map[string]bool) error {
	folders := map[string]bool{}
	for name := range keep {
		for above := filepath.Dir(name); strings.HasPrefix(above, s.data+string(filepath.Separator)) && !folders[above]; above = filepath.Dir(above) {
			folders[above] = true
		}
	}
	return s.removeBut(dir, keep, folders)
}

func (s *Staging) removeBut(dir string, keep, folders map[string]bool) error {
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case keep[name]:
		case folders[name] && e.IsDir():
			err = s.removeBut(name, keep, folders)
		default:
			err = s.fs.RemoveAll(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Taken is the journal of the run that this one continues, with the parts that need
// not be done again; nil when it is a fresh one.
func (s *Staging) Taken() *Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.taken
}

// Starts counts the processes that worked on the run, this one among them.
func (s *Staging) Starts() int {
	if t := s.Taken(); t != nil {
		return len(t.Starts) + 1
	}
	return 1
}

// Begin writes the journal's head, or that a run is continued. frozen is what those
// who continue the run find in Journal.Head. Without a Job it does nothing.
func (s *Staging) Begin(frozen json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Job == nil {
		return nil
	}
	if s.mu.closed {
		return fmt.Errorf("output %q: %w", s.output, ErrDiscarded)
	}
	return outputError(s.output, s.beginLocked(frozen))
}

func (s *Staging) beginLocked(frozen json.RawMessage) error {
	name := filepath.Join(s.dir, journalName)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var file File
	var err error
	if s.mu.taken != nil {
		file, err = s.fs.Append(name, s.mu.taken.size)
	} else {
		file, err = s.fs.Create(name)
	}
	if err != nil {
		return err
	}
	s.mu.journal = &journal{file: file}
	if s.mu.taken == nil {
		head := &Head{
			Version: JournalVersion, Run: s.opts.RunID, Started: now, Job: *s.opts.Job, Frozen: frozen,
			Base: s.base(), FirstFile: s.mu.first,
		}
		if err := s.mu.journal.append(&Line{Head: head}, false); err != nil {
			return err
		}
	}
	if err := s.mu.journal.append(&Line{Start: &Start{Run: s.opts.RunID, Time: now, PID: os.Getpid(), Host: HostName()}}, true); err != nil {
		return err
	}
	return s.fs.SyncDirs(s.dir, s.data, s.parent)
}

// Enter notes in the journal that a part is being worked on, so that, should it
// kill the process, the next start knows.
func (s *Staging) Enter(part int) error { return s.note(&Line{Begun: &part}, false) }

// Record puts a committed part into the journal, durably. From then on no start of
// an equal job scores it again.
func (s *Staging) Record(p PartRecord) error { return s.note(&Line{Part: &p}, true) }

// RecordDigest notes the digest of an input in the journal, so that the next start
// need not take it again.
func (s *Staging) RecordDigest(d DigestRecord) error { return s.note(&Line{Digest: &d}, false) }

// note appends a line to the journal, if the run has one.
func (s *Staging) note(l *Line, durable bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.journal == nil {
		return nil
	}
	return s.failedLocked(s.mu.journal.append(l, durable))
}

// failedLocked words an error of the file system. When another run took the output
// over while this one was stalled, that is what there is to say.
func (s *Staging) failedLocked(err error) error {
	if err == nil || s.mu.lock == nil {
		return outputError(s.output, err)
	}
	if isLost(s.mu.lock.Held()) {
		return fmt.Errorf("output %q: %w, which took it over while this one was stalled: %w", s.output, ErrHeld, err)
	}
	return outputError(s.output, err)
}

// TakenOver returns an error that wraps ErrHeld when this run lost the output to
// another, which took it for dead while it was stalled.
func (s *Staging) TakenOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lock == nil || !isLost(s.mu.lock.Held()) {
		return nil
	}
	return fmt.Errorf("output %q: %w, which took it over while this one was stalled; this one publishes nothing", s.output, ErrHeld)
}

// Suspend keeps what is finished for the next start of the same job, and gives the
// lock up. why is noted in the journal. Where nothing is finished it discards, unless
// earlier starts died: the next should know in which part. It returns how many parts
// it kept.
func (s *Staging) Suspend(why string) (parts int, err error) {
	s.mu.Lock()
	begun := s.mu.journal != nil || s.mu.taken != nil
	deaths := false
	if begun && !s.mu.published && s.mu.lock != nil && s.mu.lock.Held() == nil {
		deaths = s.mu.journal != nil && s.mu.taken != nil && len(s.mu.taken.Deaths) > 0
		for _, p := range s.mu.parts {
			if _, done := p.writtenLocked(); done {
				parts++
			}
		}
	}
	if parts == 0 && !deaths {
		s.mu.Unlock()
		return 0, s.Discard()
	}
	defer s.mu.Unlock()
	errs := s.closeFilesLocked()
	errs = append(errs, s.undoSideLocked())
	if s.mu.journal != nil {
		errs = append(errs, s.mu.journal.append(&Line{Stopped: why}, true), s.closeJournalLocked())
	}
	s.mu.closed, s.mu.staged, s.mu.made = true, false, nil // kept: not ours to remove
	errs = append(errs, s.mu.lock.Release())
	s.mu.lock = nil
	return parts, outputError(s.output, errors.Join(errs...))
}

func (s *Staging) closeJournalLocked() error {
	if s.mu.journal == nil {
		return nil
	}
	err := s.mu.journal.file.Close()
	s.mu.journal = nil
	return err
}

// closeFilesLocked closes the files that are not committed.
func (s *Staging) closeFilesLocked() []error {
	var errs []error
	for _, p := range s.mu.parts {
		errs = append(errs, p.closeLocked())
	}
	for _, p := range s.mu.unmerged {
		errs = append(errs, p.closeLocked())
	}
	for p := range s.mu.scratch {
		errs = append(errs, p.closeLocked())
	}
	for _, p := range []*PartFile{s.mu.rejects, s.mu.whole} {
		if p != nil {
			errs = append(errs, p.closeLocked())
		}
	}
	return errs
}
