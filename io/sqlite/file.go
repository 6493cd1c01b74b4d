package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	sqlite3 "github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
)

// File is a database file that is open for reading: nothing of it is changed, and no file is
// left beside it.
//
// A file that has a write-ahead log (-wal) makes that hard. Even who reads needs the log and its
// index (-shm), and SQLite makes them where they are not. The last to close the file removes
// them, but only if it may write. So what is there decides:
//
//	no log in the file's header   mode=ro; nothing is made
//	the log has something in it   mode=ro; what is there stays, as it may be a writer's
//	file and folder are writable  mode=rw, and PRAGMA query_only; what is made goes again
//	log and index are there       mode=ro
//	else                          immutable=1, without log or locks
//
// Who writes to a file has both open, so in the last case nobody did when the file was opened;
// Unchanged tells whether somebody has since.
type File struct {
	*sqlite3.SQLiteConn

	path  string
	still os.FileInfo // of a file that is taken for immutable; else nil
}

// OpenFile opens a file that is there.
func OpenFile(path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path}
	mode, err := f.mode()
	if err != nil {
		return nil, err
	}
	mode.Set("_query_only", "1")
	f.SQLiteConn, err = connect(path, mode)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// mode is how the file is opened.
func (f *File) mode() (url.Values, error) {
	wal, err := hasLog(f.path)
	if err != nil {
		return nil, err
	}
	log, logErr := os.Stat(f.path + "-wal")
	_, indexErr := os.Stat(f.path + "-shm")
	switch {
	case !wal, logErr == nil && log.Size() > 0:
		return url.Values{"mode": {"ro"}}, nil
	case writable(f.path) && writable(filepath.Dir(f.path)):
		return url.Values{"mode": {"rw"}}, nil
	case logErr == nil && indexErr == nil:
		return url.Values{"mode": {"ro"}}, nil
	}
	if f.still, err = os.Stat(f.path); err != nil {
		return nil, err
	}
	return url.Values{"mode": {"ro"}, "immutable": {"1"}}, nil
}

// hasLog says whether a file has a write-ahead log, by its header's versions for writing and for
// reading (sqlite.org/fileformat2.html, 1.3).
func hasLog(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	header := make([]byte, 20)
	_, err = io.ReadFull(file, header)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // SQLite says what it is
		err = nil
	}
	return bytes.Equal(header[18:], []byte{2, 2}), errors.Join(err, file.Close())
}

// writable says whether this process may write a file, or in a folder.
func writable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}

// Unchanged returns an error that wraps format.ErrChanged if the file was taken for one that
// nobody writes to, and somebody did: what was read may be of two moments.
func (f *File) Unchanged() error {
	if f.still == nil {
		return nil
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	log, err := os.Stat(f.path + "-wal")
	if written := err == nil && log.Size() > 0; written || !os.SameFile(now, f.still) || now.Size() != f.still.Size() || !now.ModTime().Equal(f.still.ModTime()) {
		return fmt.Errorf("%w: another process wrote to %s, whose folder this one may not write to, and so cannot ask it to wait: run the same command again", format.ErrChanged, f.path)
	}
	return nil
}
