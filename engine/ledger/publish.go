package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Publish makes the output appear. It completes the manifest (version, run,
// outputs, rejects, and Finished if zero), checks all accounts, writes
// manifest.json and _SUCCESS, makes everything durable, and takes the one
// step. Before the step an error means that nothing changed at the output's
// place; after it only ErrNotDurable is possible. What could not be removed
// afterwards is left to Discard, which reports it. A Publish that failed is
// not tried again: Discard follows.
func (s *Staging) Publish(m *Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return fmt.Errorf("output %q: %w", s.output, ErrDiscarded)
	}
	s.mu.closed = true
	if err := s.accountLocked(m); err != nil {
		return fmt.Errorf("output %q: not published: %w", s.output, err)
	}
	if err := s.presentLocked(m); err != nil {
		return s.failedLocked(err)
	}
	at, err := s.look()
	if err != nil {
		return err
	}
	s.descendLocked(m, at)
	if err := s.carryLocked(at); err != nil {
		return s.failedLocked(err)
	}
	if err := s.sealLocked(m); err != nil {
		return s.failedLocked(err)
	}
	if err := s.mu.lock.Held(); err != nil {
		return s.failedLocked(err)
	}
	if err := s.stepLocked(); err != nil {
		return err
	}
	s.mu.published = true
	if err := s.syncNamesLocked(); err != nil {
		return fmt.Errorf("output %q: %w: %w", s.output, ErrNotDurable, err)
	}
	_ = s.tidyLocked() // Discard tries again and reports
	return nil
}

// syncNamesLocked makes the output's name durable, and those of the
// directories that were made for it.
func (s *Staging) syncNamesLocked() error {
	if s.mu.durable {
		return nil
	}
	names := []string{s.parent}
	for _, dir := range s.mu.made {
		names = append(names, filepath.Dir(dir))
	}
	if err := s.fs.SyncDirs(names...); err != nil {
		return err
	}
	s.mu.durable = true
	return nil
}

// descendLocked says in the manifest what it follows.
func (s *Staging) descendLocked(m *Manifest, at place) {
	m.Parent, m.Mode = nil, ModeFresh
	if s.opts.Job != nil {
		m.Job = s.opts.Job.Digest()
	}
	if live := s.mu.before.live; len(live) > 0 {
		m.Parent = &Parent{Run: live[0].Run, SHA256: s.mu.before.sum}
	}
	switch {
	case at != fullDir && at != file:
	case s.opts.IfExists == IfExistsAppend:
		m.Mode = ModeAppend
	default:
		m.Mode = ModeReplace
	}
}

// accountLocked fills in what was written and checks that all agrees.
func (s *Staging) accountLocked(m *Manifest) error {
	m.Version, m.Run = ManifestVersion, s.opts.RunID
	if m.Finished.IsZero() {
		m.Finished = time.Now().UTC().Truncate(time.Millisecond)
	}
	m.PartitionBy, m.Rejects = s.opts.PartitionBy, nil
	var err error
	if m.Outputs, m.PartFiles, err = s.outputsLocked(); err != nil {
		return err
	}
	if len(m.Outputs) == 0 {
		return fmt.Errorf("%w: there is no part", ErrAccounts)
	}
	if s.opts.Pieces {
		if s.mu.whole == nil || s.mu.whole.done == nil {
			return fmt.Errorf("%w: pieces are not joined", ErrAccounts)
		}
		m.Outputs = []Output{*s.mu.whole.done}
	}
	if r := s.mu.rejects; r != nil {
		if r.done == nil {
			return fmt.Errorf("%w: %s is not committed", ErrAccounts, r.name)
		}
		m.Rejects = r.done
	}
	return m.Check()
}

// presentLocked looks whether the staged files are there as they were committed, since
// hidden ones may have been tidied up by others meanwhile.
func (s *Staging) presentLocked(m *Manifest) error {
	for i := range m.Outputs {
		if o := &m.Outputs[i]; !s.sized(filepath.Join(s.data, o.Name), o) {
			return fmt.Errorf("%s was removed or changed while the run worked: run the same command again", o.Name)
		}
	}
	if r := m.Rejects; r != nil && !s.sized(filepath.Join(s.runDir(), rejectsName), r) {
		return fmt.Errorf("%s was removed or changed while the run worked: run the same command again", r.Name)
	}
	return nil
}

// sealLocked writes manifest and _SUCCESS and makes the staged tree durable.
func (s *Staging) sealLocked(m *Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	if err := s.writeFile(filepath.Join(s.runDir(), manifestName), data); err != nil {
		return err
	}
	// As sha256sum writes it, so that it can check it: an edited manifest shows.
	sum := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(data), manifestName)
	if err := s.writeFile(filepath.Join(s.runDir(), sealName), sum); err != nil {
		return err
	}
	if !s.opts.Single {
		if err := s.writeFile(filepath.Join(s.data, successName), nil); err != nil {
			return err
		}
	}
	return s.fs.SyncDirs(s.runDir(), filepath.Dir(s.runDir()), s.data)
}

func (s *Staging) writeFile(name string, data []byte) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// stepLocked looks again at what stands at the output's name, which may have
// changed since Stage, and puts the output there.
func (s *Staging) stepLocked() error {
	at, err := s.look()
	switch {
	case err != nil:
		return err
	case s.opts.Single:
		return s.stepFileLocked(at)
	case at == fullDir:
		return s.replaceDir()
	}
	err = s.fs.Rename(s.data, s.output)
	if errors.Is(err, fs.ErrExist) || isNotDir(err) {
		return s.exists("it appeared while this run was working", "")
	}
	return s.failedLocked(err)
}

// replaceDir swaps the old output for the new.
func (s *Staging) replaceDir() error {
	err := s.fs.Exchange(s.data, s.output)
	if !errors.Is(err, errors.ErrUnsupported) {
		return s.failedLocked(err)
	}
	if err := s.fs.Rename(s.output, s.aside()); err != nil {
		return s.failedLocked(err)
	}
	if err := s.fs.Rename(s.data, s.output); err != nil {
		return outputError(s.output, errors.Join(err, s.fs.Rename(s.aside(), s.output)))
	}
	return nil
}

// stepFileLocked publishes a single file: its manifest, then the data.
func (s *Staging) stepFileLocked(at place) error {
	if err := s.moveRunDirLocked(); err != nil {
		return outputError(s.output, errors.Join(err, s.undoSideLocked()))
	}
	staged := filepath.Join(s.data, s.name)
	var err error
	if at == file {
		err = s.fs.Rename(staged, s.output)
	} else {
		err = s.fs.RenameNoReplace(staged, s.output)
		if errors.Is(err, errors.ErrUnsupported) {
			err = s.renameIfAbsent(staged)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		err = s.exists("it appeared while this run was working", "")
	default:
		err = outputError(s.output, err)
	}
	return errors.Join(err, s.undoSideLocked())
}

// renameIfAbsent looks and then renames: two steps, between which only the
// lock keeps other runs away.
func (s *Staging) renameIfAbsent(staged string) error {
	_, err := s.fs.Lstat(s.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.fs.Rename(staged, s.output)
	case err == nil:
		return fs.ErrExist
	}
	return err
}

// moveRunDirLocked moves this run's own files beside the output, durably.
func (s *Staging) moveRunDirLocked() error {
	side := s.sideDir()
	err := s.fs.Mkdir(side)
	switch {
	case err == nil:
		s.mu.side = side
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	s.mu.moved = true // also if the rename's outcome is not known
	if err := s.fs.Rename(s.runDir(), filepath.Join(side, s.opts.RunID)); err != nil {
		return err
	}
	if err := s.fs.SyncDirs(side); err != nil {
		return err
	}
	return s.fs.SyncDirs(s.parent)
}

// undoSideLocked takes back moveRunDirLocked. It keeps what it could not
// remove on record, for Discard to try again.
func (s *Staging) undoSideLocked() error {
	if s.mu.moved {
		if err := s.fs.RemoveAll(filepath.Join(s.sideDir(), s.opts.RunID)); err != nil {
			return err
		}
		if ok, err := s.stands(s.sideDir()); err != nil {
			return err
		} else if ok { // for good, before the run's directory goes: see dropManifest
			if err := s.fs.SyncDirs(s.sideDir()); err != nil {
				return err
			}
		}
		s.mu.moved = false
	}
	if s.mu.side != "" {
		if err := s.fs.Remove(s.mu.side); err != nil && !isNotEmpty(err) {
			return err
		}
		s.mu.side = ""
	}
	return nil
}

// KeepRejects takes the place of Publish for a run that rejected too much: it
// moves the rejects beside the output, to _NAME.millrace/RUN/rejects.parquet, and returns that path. It
// returns "" if there are none. Discard is still to follow.
func (s *Staging) KeepRejects() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return "", fmt.Errorf("output %q: keep rejects: %w", s.output, ErrDiscarded)
	}
	s.mu.closed = true
	if s.mu.rejects == nil || s.mu.rejects.done == nil {
		return "", nil
	}
	if err := s.moveRunDirLocked(); err != nil {
		return "", outputError(s.output, errors.Join(err, s.undoSideLocked()))
	}
	s.mu.moved, s.mu.side, s.mu.made = false, "", nil // kept: not ours to undo
	return filepath.Join(s.sideDir(), s.opts.RunID, rejectsName), nil
}

// Discard removes everything staged, or after Publish what the old output
// left behind, and gives the lock up. No part may be written meanwhile. It is
// idempotent; after an error it can be called again to try the rest.
func (s *Staging) Discard() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	errs := append(s.closeFilesLocked(), s.closeJournalLocked())
	if s.mu.published {
		errs = append(errs, s.tidyLocked())
	} else {
		errs = append(errs, s.unstageLocked())
	}
	if s.mu.lock != nil {
		errs = append(errs, s.mu.lock.Release())
		s.mu.lock = nil
	}
	if !s.mu.published {
		errs = append(errs, s.removeParentsLocked())
	}
	return outputError(s.output, errors.Join(errs...))
}

func (s *Staging) unstageLocked() error {
	err := s.undoSideLocked()
	if !s.mu.staged {
		return err
	}
	rerr := s.fs.RemoveAll(s.dir)
	s.mu.staged = rerr != nil
	return errors.Join(err, rerr)
}

// removeParentsLocked removes the directories that Stage made, unless
// somebody uses them meanwhile.
func (s *Staging) removeParentsLocked() error {
	for n := len(s.mu.made); n > 0; n = len(s.mu.made) {
		err := s.fs.Remove(s.mu.made[n-1])
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			s.mu.made = s.mu.made[:n-1]
		case isNotEmpty(err):
			s.mu.made = nil
		default:
			return err
		}
	}
	return nil
}

// tidyLocked removes the run's directory after the step, and with it the old
// output. That stays until the new one's name is durable.
func (s *Staging) tidyLocked() error {
	if !s.mu.staged {
		return nil
	}
	if err := s.syncNamesLocked(); err != nil {
		return err
	}
	err := errors.Join(s.closeJournalLocked(), s.fs.RemoveAll(s.dir))
	s.mu.staged = err != nil
	return err
}
