package lines

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/millrace/millrace/io/format"
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

// textFile is the text of one file: the file itself, or what it decompresses to.
type textFile struct {
	path    string // or what the file stands in for, which may lie elsewhere each time
	standIn bool
	seen    fs.FileInfo // when it was opened first
	codec   codec
	size    int64    // of the text
	text    *extents // decompressed; nil where the file is plain

	mu     sync.Mutex
	file   *os.File // of a plain file; nil while nobody reads
	opened int
}

// open makes sure that the text can be read until close, of the file at a path.
func (f *textFile) open(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text == nil && f.file == nil {
		file, err := os.Open(path)
		if err != nil {
			return err // names the path
		}
		now, err := file.Stat()
		if err == nil {
			err = f.same(now)
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
		f.file = file
	}
	f.opened++
	return nil
}

// close ends one open.
func (f *textFile) close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened--
	if f.opened == 0 && f.file != nil {
		err = f.file.Close()
		f.file = nil
	}
	return err
}

// ReadAt reads text; a file that was cut off gives an error that wraps
// format.ErrChanged.
func (f *textFile) ReadAt(p []byte, off int64) (n int, err error) {
	if f.text != nil {
		return f.text.ReadAt(p, off)
	}
	n, err = f.file.ReadAt(p, off)
	if errors.Is(err, io.EOF) && off+int64(n) < f.size && n < len(p) {
		err = fmt.Errorf("%s: %w: it ends after %d of %d bytes", f.path, format.ErrChanged, off+int64(n), f.size)
	}
	return n, err
}

// read fills p with the text at off, which must be there.
func (f *textFile) read(p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
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
