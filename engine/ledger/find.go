package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of a search for outputs.
const (
	maxFindDepth   = 32
	maxFindEntries = 1 << 20
)

// Found is what a search for outputs found.
type Found struct {
	Histories []*History // by path
	// Unread are folders that could not be looked into, and why.
	Unread []Problem
}

// FindHistories reads the history of the output at a path or, where that is a
// folder and no output itself, of every output below it. Links are not followed,
// nor names that begin with a dot, which is how outputs are called that are being
// written. More than a million entries, and folders deeper than 32, are an error:
// name a folder closer to the outputs. Its error wraps ErrNoOutput when there is
// none.
func FindHistories(ctx context.Context, path string) (*Found, error) {
	h, err := ReadHistory(path)
	if err == nil {
		return &Found{Histories: []*History{h}}, nil
	}
	if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() || isDir(filepath.Join(path, ownName)) {
		return nil, err
	}
	f := &finder{root: path}
	if err := f.search(ctx); err != nil {
		return nil, err
	}
	if len(f.Histories) == 0 && len(f.Unread) == 0 {
		return nil, fmt.Errorf("%w: no output is in %q or below it", ErrNoOutput, path)
	}
	slices.SortFunc(f.Histories, func(a, b *History) int { return strings.Compare(a.Output, b.Output) })
	return &f.Found, nil
}

type finder struct {
	Found
	root    string
	entries int
}

func (f *finder) search(ctx context.Context) error {
	root, err := filepath.EvalSymlinks(f.root) // the one link that the user names
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrNoOutput, f.root, err)
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // it went meanwhile
				f.Unread = append(f.Unread, Problem{File: path, What: "cannot be looked into: " + cause(err), Do: "list it as a user who may read it"})
			}
			return nil
		}
		if f.entries++; f.entries > maxFindEntries {
			return fmt.Errorf("%w: %q has more than %d files and folders below it: name one closer to the outputs", ErrNoOutput, f.root, maxFindEntries)
		}
		if !d.IsDir() {
			return nil
		}
		return f.visit(root, path, d.Name())
	})
}

// visit looks at one folder.
func (f *finder) visit(root, path, name string) error {
	if path != root && strings.HasPrefix(name, ".") {
		return fs.SkipDir
	}
	if file, ok := strings.CutSuffix(name, ".millrace"); ok && strings.HasPrefix(file, "_") {
		f.add(filepath.Join(filepath.Dir(path), file[1:]))
		return fs.SkipDir
	}
	if isDir(filepath.Join(path, ownName)) {
		f.add(path)
		return fs.SkipDir
	}
	if rel, err := filepath.Rel(root, path); err == nil && strings.Count(rel, string(filepath.Separator)) >= maxFindDepth {
		return fmt.Errorf("%w: %q has folders more than %d deep below it: name one closer to the outputs", ErrNoOutput, f.root, maxFindDepth)
	}
	return nil
}

// add reads a history. A folder like that of one, in which there is no manifest,
// is left by a run that published nothing.
func (f *finder) add(output string) {
	if h, err := ReadHistory(output); err == nil {
		f.Histories = append(f.Histories, h)
	} else if !errors.Is(err, ErrNoOutput) {
		f.Unread = append(f.Unread, Problem{File: output, What: cause(err), Do: "list it as a user who may read it"})
	}
}
