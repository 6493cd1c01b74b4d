package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// history is what stands at the output's name, by its manifests. Of runs before the
// live ones only the links of the chain are read: a start must not take longer the more
// of them there are.
type history struct {
	dir  string      // that has a directory for each run
	runs []string    // oldest first
	live []*Manifest // of the runs whose files make up the output, newest first
	sum  string      // SHA-256 of the newest manifest's file
}

// readHistory reads the manifests of what stands at the output's name. One that
// cannot be read is no part of it: verify says more. Nor is one of a dead run, that
// did not get to publish what it describes.
func (s *Staging) readHistory(dead []string) (*history, error) {
	h := &history{dir: filepath.Join(s.output, ownName)}
	if s.opts.Single {
		h.dir = s.sideDir()
	}
	entries, err := s.fs.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	named := map[string]bool{} // as somebody's parent
	var ends []chainEnd
	for _, e := range entries {
		if !ValidRunID(e.Name()) || slices.Contains(dead, e.Name()) {
			continue
		}
		data, err := h.read(s.fs, e.Name())
		if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
			continue // rejects that were kept
		}
		if err != nil {
			return nil, err
		}
		var link struct {
			Version  string    `json:"version"`
			Run      string    `json:"run"`
			Finished time.Time `json:"finished"`
			Parent   *Parent   `json:"parent"`
		}
		if json.Unmarshal(data, &link) != nil || link.Version != ManifestVersion || link.Run != e.Name() {
			continue
		}
		h.runs = append(h.runs, link.Run)
		ends = append(ends, chainEnd{link.Run, link.Finished})
		if link.Parent != nil {
			named[link.Parent.Run] = true
		}
	}
	slices.Sort(h.runs)
	ends = slices.DeleteFunc(ends, func(e chainEnd) bool { return named[e.run] })
	return h, h.readLive(s.fs, newestFirst(ends))
}

func (h *history) read(fsys FS, run string) ([]byte, error) {
	return readFile(fsys, filepath.Join(h.dir, run, manifestName), maxManifestBytes)
}

// whole reads a manifest with all its lists, and the digest of its file; nil where it
// cannot be understood.
func (h *history) whole(fsys FS, run string) (m *Manifest, sum string, err error) {
	data, err := h.read(fsys, run)
	if err != nil {
		return nil, "", err
	}
	if m, err = ParseManifest(data); err != nil {
		return nil, "", nil //nolint:nilerr // verify says more
	}
	digest := sha256.Sum256(data)
	return m, hex.EncodeToString(digest[:]), nil
}

// readLive reads the newest manifest, the first of heads that can be understood, and, as
// long as they are appends, those before.
func (h *history) readLive(fsys FS, heads []string) error {
	for _, run := range heads {
		m, sum, err := h.whole(fsys, run)
		if err != nil {
			return err
		}
		if m != nil {
			h.live, h.sum = []*Manifest{m}, sum
			break
		}
	}
	for len(h.live) > 0 {
		last := h.live[len(h.live)-1]
		if last.Mode != ModeAppend || last.Parent == nil || !slices.Contains(h.runs, last.Parent.Run) {
			return nil
		}
		if slices.ContainsFunc(h.live, func(m *Manifest) bool { return m.Run == last.Parent.Run }) {
			return nil // a circle, which cannot have happened
		}
		m, _, err := h.whole(fsys, last.Parent.Run)
		if err != nil || m == nil {
			return err
		}
		h.live = append(h.live, m)
	}
	return nil
}

// publishedAlready returns a *PublishedError when an equal job made what stands at
// the output's name, and its files are there. Who replaces wants nothing else there: to
// be one of several runs that were appended does not count.
func (s *Staging) publishedAlready() error {
	live := s.mu.before.live
	if s.opts.Job == nil || s.opts.Restart || s.opts.IfExists == IfExistsReplace && len(live) > 1 {
		return nil
	}
	job := s.opts.Job.Digest()
	for _, m := range live {
		if m.Job == job && s.complete(m) {
			// Its start may have died, or failed, before the name was durable.
			if err := s.fs.SyncDirs(s.parent); err != nil {
				return fmt.Errorf("output %q: %w: %w", s.output, ErrNotDurable, err)
			}
			return &PublishedError{Output: s.output, Manifest: m}
		}
	}
	return nil
}

// complete says whether a manifest's files are there, with their sizes.
func (s *Staging) complete(m *Manifest) bool {
	for _, o := range m.Outputs {
		name := filepath.Join(s.output, o.Name)
		if s.opts.Single {
			name = s.output
		}
		if !filepath.IsLocal(o.Name) || !s.sized(name, &o) {
			return false
		}
	}
	return len(m.Outputs) > 0
}

// base is what an append builds on: the digest of the newest manifest.
func (s *Staging) base() string {
	if s.opts.IfExists == IfExistsAppend {
		return s.mu.before.sum
	}
	return ""
}

// firstFile is the number of the run's first output file: one more than the
// largest of those that are kept.
func (s *Staging) firstFile() int {
	first := 0
	if s.opts.IfExists != IfExistsAppend {
		return first
	}
	for _, m := range s.mu.before.live {
		for _, o := range m.Outputs {
			var n int
			if _, err := fmt.Sscanf(filepath.Base(o.Name), "part-%d", &n); err == nil && n >= first {
				first = n + 1
			}
		}
	}
	return first
}

// carryLocked links what stays of the output that is there into the new one: its
// history, and the files of an output that is appended to.
func (s *Staging) carryLocked(at place) error {
	if s.opts.Single || at != fullDir {
		return nil
	}
	if s.opts.IfExists == IfExistsAppend {
		if err := s.carryFilesLocked(); err != nil {
			return err
		}
	}
	carried := make([]string, 0, len(s.mu.before.runs)) // synced at once: each by itself is a commit of its own
	for _, run := range s.mu.before.runs {
		from, to := filepath.Join(s.mu.before.dir, run), filepath.Join(filepath.Dir(s.runDir()), run)
		if err := s.fs.Mkdir(to); err != nil {
			return err
		}
		entries, err := s.fs.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				if err := s.link(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
					return err
				}
			}
		}
		carried = append(carried, to)
	}
	return s.fs.SyncDirs(carried...)
}

// carryFilesLocked links the files of the output into the new one, in folders of the
// same names.
func (s *Staging) carryFilesLocked() error {
	folders := s.newFolders() // this run has files in some of them too
	for _, m := range s.mu.before.live {
		for _, o := range m.Outputs {
			if !filepath.IsLocal(o.Name) || filepath.Clean(o.Name) != o.Name || len(m.PartitionBy) == 0 && filepath.Base(o.Name) != o.Name {
				return fmt.Errorf("%w: %s of run %s lies outside of it", ErrManifest, o.Name, m.Run)
			}
			if err := folders.make(filepath.Dir(o.Name)); err != nil {
				return err
			}
			err := s.link(filepath.Join(s.output, o.Name), filepath.Join(s.data, o.Name))
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%q, which run %s wrote, is missing: restore it from a copy, or score all again with --if-exists replace (millrace verify says what else is missing): %w", o.Name, m.Run, err)
			}
			if err != nil {
				return err
			}
		}
	}
	return s.fs.SyncDirs(folders.paths()...)
}

// link gives a file of the old output a name in the new, or copies it where the
// file system has no links.
func (s *Staging) link(from, to string) error {
	err := s.fs.Link(from, to)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return copyFile(s.fs, from, to)
}
