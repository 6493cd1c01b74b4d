package lines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped"
)

// Extension is the extension that says what a file's text is, in lower case: of
// x.csv.gz it is .csv.
func Extension(path string) string {
	name := strings.ToLower(filepath.Base(path))
	ext := filepath.Ext(name)
	if codec := codecOf(ext); codec != plain {
		ext = filepath.Ext(strings.TrimSuffix(name, ext))
	}
	return ext
}

// textFile is the text of one file: the file itself, what it decompresses to, or what a
// source has.
type textFile struct {
	path    string // or what the file stands in for, which may lie elsewhere each time
	standIn bool
	seen    fs.FileInfo // when it was opened first
	codec   codec
	size    int64              // of the text
	text    *extents           // decompressed; nil where the file is plain
	source  format.AheadSource // of what lies elsewhere and is plain; else nil

	mu     sync.Mutex
	file   *mapped.File // of a plain file; nil while nobody reads
	opened int
}

// open makes sure that the text can be read until close, of the file at a path.
func (f *textFile) open(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lies() && f.file == nil {
		file, err := mapped.Open(path)
		if err != nil {
			return err // names the path
		}
		now, err := os.Stat(path)
		if err == nil {
			err = f.same(now)
		}
		if err == nil && file.Size() != f.size {
			err = fmt.Errorf("%s: %w: %d bytes, had %d", f.path, format.ErrChanged, file.Size(), f.size)
		}
		if err != nil {
			file.Release()
			return err
		}
		_ = file.Advise(0, f.size, mapped.Dense) // advice
		f.file = file
	}
	f.opened++
	return nil
}

// lies says that the text lies in a file, which is mapped.
func (f *textFile) lies() bool { return f.text == nil && f.source == nil }

// close ends one open.
func (f *textFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened--
	if f.opened == 0 && f.file != nil {
		f.file.Release()
		f.file = nil
	}
}

// read fills p with the text at off, which must be there. Of a file that was cut off it
// gives an error that wraps format.ErrChanged.
//
// A plain file is copied out of a mapping, which takes less than read(2) into a buffer
// that stays in cache.
func (f *textFile) read(ctx context.Context, p []byte, off int64) error {
	if f.lies() {
		copy(p, f.file.Bytes()[off:])
		return f.file.Err()
	}
	if f.source != nil {
		return readSource(ctx, f.source, p, off)
	}
	n, err := f.text.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// view is text where it lies; nil where it does not lie in memory.
func (f *textFile) view(from, to int64) []byte {
	if !f.lies() {
		return nil
	}
	return f.file.Bytes()[from:to]
}

// leave has the process give back the pages of text that was read. The block in which it
// ends stays for whoever reads on; where another one still reads in the first, its pages
// come back by themselves. It fails where the file was cut off meanwhile.
func (f *textFile) leave(from, to int64) error {
	if !f.lies() {
		return nil
	}
	f.file.DropUnused(from&^(mapped.BlockBytes-1), to)
	return f.file.Err()
}

// intact is an error where the file is not what it was when it was mapped. A file that was
// cut off reads as zeros up to the end of its last page, and no fault tells of it.
func (f *textFile) intact() error {
	if !f.lies() {
		return nil
	}
	return f.file.Changed()
}

// changed compares the file at the path with the one that was opened first.
func (f *textFile) changed() error {
	if f.standIn {
		return nil // whoever lends it knows
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", f.path, format.ErrChanged, err)
	}
	return f.same(now)
}

func (f *textFile) same(now fs.FileInfo) error {
	switch {
	case f.standIn && now.Size() == f.seen.Size():
	case !os.SameFile(now, f.seen):
		return fmt.Errorf("%s: %w: replaced by another file", f.path, format.ErrChanged)
	case now.Size() != f.seen.Size():
		return fmt.Errorf("%s: %w: %d bytes, had %d", f.path, format.ErrChanged, now.Size(), f.seen.Size())
	case !now.ModTime().Equal(f.seen.ModTime()):
		return fmt.Errorf("%s: %w: modified %s, was %s", f.path, format.ErrChanged, now.ModTime(), f.seen.ModTime())
	}
	return nil
}
