package table

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is a directory that goes with its process: one that was killed leaves it, and the
// next that makes one removes those that nobody has locked.
type folder struct {
	path string
	lock *os.File // the directory, with a flock(2)
}

// folderPattern names them.
const folderPattern = "millrace-table-*"

func newFolder(in string) (*folder, error) {
	sweep(in)
	for {
		path, err := os.MkdirTemp(in, folderPattern)
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
			return &folder{path: path, lock: lock}, nil
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

// sweep removes what killed processes left. What cannot be removed is another user's.
func sweep(in string) {
	left, _ := filepath.Glob(filepath.Join(in, folderPattern)) // the pattern is right
	for _, path := range left {
		if lock, err := lockFolder(path); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

func (f *folder) remove() error { return errors.Join(os.RemoveAll(f.path), f.lock.Close()) }
