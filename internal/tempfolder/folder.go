// Package tempfolder makes directories that go with their process: one that was killed
// leaves its own, and the next that makes one removes those that nobody has locked.
package tempfolder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Folder is a directory for this process alone.
type Folder struct {
	path string
	lock *os.File // the directory, with a flock(2)
}

// New makes a directory in another one, by a pattern of os.MkdirTemp that is of nothing
// else; what killed processes of this user left by the same goes.
func New(in, pattern string) (*Folder, error) {
	sweep(in, pattern)
	for {
		path, err := os.MkdirTemp(in, pattern)
		if err != nil {
			return nil, err
		}
		lock, err := lockFolder(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EWOULDBLOCK) { // somebody sweeps it
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(path))
		}
		if _, err := os.Lstat(path); err == nil {
			return &Folder{path: path, lock: lock}, nil
		}
		_ = lock.Close() // of what is gone
	}
}

func lockFolder(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// sweep removes what killed processes of this user left.
func sweep(in, pattern string) {
	left, _ := filepath.Glob(filepath.Join(in, pattern)) // the pattern is right
	for _, path := range left {
		lock, err := lockFolder(path)
		if err != nil {
			continue
		}
		if mine(lock) {
			_ = os.RemoveAll(path) // what is left of it, the next one removes
		}
		_ = lock.Close() // it was only locked
	}
}

// mine says whether a directory is this user's: root could remove those of others.
func mine(dir *os.File) bool {
	var is unix.Stat_t
	return unix.Fstat(int(dir.Fd()), &is) == nil && is.Uid == uint32(os.Geteuid())
}

// Path is the directory's.
func (f *Folder) Path() string { return f.path }

// Remove removes it, with all that is in it.
func (f *Folder) Remove() error { return errors.Join(os.RemoveAll(f.path), f.lock.Close()) }
