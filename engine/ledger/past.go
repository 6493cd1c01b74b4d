package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// history is the manifests of an output, oldest run first.
type history struct {
	dir  string // that has a directory for each run
	runs []pastRun
}

// pastRun is one run of a history.
type pastRun struct {
	id       string
	sum      string // SHA-256 of the manifest's file
	manifest *Manifest
}

// head is the newest run: the last that nobody names as parent; nil where there is
// none.
func (h *history) head() *pastRun {
	if h == nil {
		return nil
	}
	parents := map[string]bool{}
	for _, r := range h.runs {
		if p := r.manifest.Parent; p != nil {
			parents[p.Run] = true
		}
	}
	for i := len(h.runs) - 1; i >= 0; i-- {
		if !parents[h.runs[i].id] {
			return &h.runs[i]
		}
	}
	return nil
}

// live are the runs whose files make up the output: the head and, as long as they
// are appends, those before.
func (h *history) live() []*pastRun {
	byID := map[string]*pastRun{}
	if h != nil {
		for i := range h.runs {
			byID[h.runs[i].id] = &h.runs[i]
		}
	}
	var live []*pastRun
	for r := h.head(); r != nil; {
		live = append(live, r)
		delete(byID, r.id) // a loop ends
		if r.manifest.Mode != ModeAppend || r.manifest.Parent == nil {
			break
		}
		r = byID[r.manifest.Parent.Run]
	}
	return live
}

// readHistory reads the manifests of what stands at the output's name. One that
// cannot be read is no part of it: verify says more. Nor is one of a dead run, that
// did not get to publish what it describes.
func (s *Staging) readHistory(dead []string) (*history, error) {
	h := &history{dir: filepath.Join(s.output, "_millrace")}
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
	for _, e := range entries {
		if !ValidRunID(e.Name()) || slices.Contains(dead, e.Name()) {
			continue
		}
		data, err := readFile(s.fs, filepath.Join(h.dir, e.Name(), manifestName), maxManifestBytes)
		if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
			continue // rejects that were kept
		}
		if err != nil {
			return nil, err
		}
		m, err := ParseManifest(data)
		if err != nil || m.Run != e.Name() {
			continue
		}
		sum := sha256.Sum256(data)
		h.runs = append(h.runs, pastRun{id: m.Run, sum: hex.EncodeToString(sum[:]), manifest: m})
	}
	slices.SortFunc(h.runs, func(a, b pastRun) int { return strings.Compare(a.id, b.id) })
	return h, nil
}

// publishedAlready returns a *PublishedError when an equal job made what stands at
// the output's name, and its files are there.
func (s *Staging) publishedAlready() error {
	if s.opts.Job == nil || s.opts.Restart {
		return nil
	}
	job := s.opts.Job.Digest()
	for _, r := range s.mu.before.live() {
		if r.manifest.Job == job && s.complete(r.manifest) {
			return &PublishedError{Output: s.output, Manifest: r.manifest}
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
		info, err := s.fs.Lstat(name)
		if err != nil || !filepath.IsLocal(o.Name) || !info.Mode().IsRegular() || info.Size() != o.Bytes {
			return false
		}
	}
	return len(m.Outputs) > 0
}

// base is what an append builds on: the digest of the head's manifest.
func (s *Staging) base() string {
	if h := s.mu.before.head(); h != nil && s.opts.IfExists == IfExistsAppend {
		return h.sum
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
	for _, r := range s.mu.before.live() {
		for _, o := range r.manifest.Outputs {
			var n int
			if _, err := fmt.Sscanf(o.Name, "part-%d.", &n); err == nil && n >= first {
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
		for _, r := range s.mu.before.live() {
			for _, o := range r.manifest.Outputs {
				if !filepath.IsLocal(o.Name) || filepath.Base(o.Name) != o.Name {
					return fmt.Errorf("%w: %s of run %s lies outside of it", ErrManifest, o.Name, r.id)
				}
				if err := s.link(filepath.Join(s.output, o.Name), filepath.Join(s.data, o.Name)); err != nil {
					return err
				}
			}
		}
	}
	for _, r := range s.mu.before.runs {
		from, to := filepath.Join(s.mu.before.dir, r.id), filepath.Join(filepath.Dir(s.runDir()), r.id)
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
		if err := s.fs.SyncDirs(to); err != nil {
			return err
		}
	}
	return nil
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
