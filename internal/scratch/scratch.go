// Package scratch gives files without a name for what does not fit into memory.
// Nothing is left of them when the process ends, however it ends.
package scratch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrWrite says that a scratch file cannot be made or written: no room, or no such folder.
var ErrWrite = errors.New("temporary files cannot be written")

// Dir is where scratch files go: asked, TMPDIR, or /var/tmp, which unlike /tmp is
// hardly ever memory; the first of them that can be written to.
func Dir(asked string) string {
	for _, dir := range []string{asked, os.Getenv("TMPDIR"), "/var/tmp"} {
		if info, err := os.Stat(dir); dir != "" && err == nil && info.IsDir() && unix.Access(dir, unix.W_OK) == nil {
			return dir
		}
	}
	return os.TempDir()
}

// Create makes a file in dir and takes its name away; what is what it is for, a word
// that a listing of the folder may show for a moment.
func Create(dir, what string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "millrace-"+what+"-*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w; TMPDIR names another folder", ErrWrite, err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return file, nil
}

// Full says whether a write failed for want of room.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// NoRoom words the error of a file in dir that cannot grow: what did not fit, and what else
// than more room would help.
func NoRoom(dir, what, instead string, err error) error {
	return fmt.Errorf("%w: no room in %s for %s: %w; give the folder more room, name another by TMPDIR, or %s", ErrWrite, dir, what, err, instead)
}

// Free is how many bytes the file's filesystem has left for this user; ok is false
// where it does not say.
func Free(file *os.File) (bytes int64, ok bool) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * fs.Bsize, true
}
