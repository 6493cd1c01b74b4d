package ledger

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// folders are those of the staged output into which somebody puts files.
type folders struct {
	staging *Staging
	there   map[string]bool // by path
}

func (s *Staging) newFolders() *folders { return &folders{staging: s, there: map[string]bool{}} }

// make makes a folder, which is relative to the output, and those above it, unless they
// are there: others make the same.
func (f *folders) make(folder string) error {
	dir := filepath.Join(f.staging.data, folder)
	if dir == f.staging.data || f.there[dir] {
		return nil
	}
	if err := f.make(filepath.Dir(folder)); err != nil {
		return err
	}
	if err := f.staging.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f.there[dir] = true
	return nil
}

// paths are those of all folders.
func (f *folders) paths() []string { return slices.Sorted(maps.Keys(f.there)) }
