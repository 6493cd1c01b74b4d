// Package datasettest has a store for tests.
package datasettest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// Folder is a store whose objects are the files of a folder: SCHEME://NAME.
type Folder struct {
	Dir      string
	Format   format.Name       // of all facts
	Versions map[string]string // by URI; they change under an open object
	// Lent counts local files that were not given up, and Opened objects that were not closed.
	Lent, Opened atomic.Int64
}

func (s *Folder) path(uri string) string {
	_, name, _ := strings.Cut(uri, "://")
	return filepath.Join(s.Dir, name)
}

// List implements dataset.Store by filepath.Glob.
func (s *Folder) List(_ context.Context, input string) (dataset.Listing, error) {
	found, err := filepath.Glob(s.path(input))
	var l dataset.Listing
	for _, path := range found {
		l.Files = append(l.Files, dataset.Scheme(input)+"://"+strings.TrimPrefix(path, s.Dir+"/"))
	}
	return l, err
}

// Open implements dataset.Store.
func (s *Folder) Open(_ context.Context, uri string) (dataset.Object, error) {
	info, err := os.Stat(s.path(uri))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", uri, os.ErrNotExist)
	}
	s.Opened.Add(1)
	return &object{store: s, uri: uri, facts: dataset.Facts{Format: s.Format, Size: info.Size(), ModTime: info.ModTime(), Version: s.Versions[uri]}}, nil
}

type object struct {
	store *Folder
	uri   string
	facts dataset.Facts
}

func (o *object) Facts() dataset.Facts { return o.facts }

func (o *object) Local(context.Context) (path string, done func() error, err error) {
	o.store.Lent.Add(1)
	return o.store.path(o.uri), func() error { o.store.Lent.Add(-1); return nil }, nil
}

func (o *object) Changed() error {
	if now := o.store.Versions[o.uri]; now != o.facts.Version {
		return fmt.Errorf("%s: %w: its version is %q", o.uri, format.ErrChanged, now)
	}
	return nil
}

func (o *object) Close() error {
	o.store.Opened.Add(-1)
	return nil
}
