package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Holder says who holds an output.
type Holder struct {
	Run   string    `json:"run"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// NewHolder is this process as the holder of an output, for a run.
func NewHolder(run string) Holder {
	return Holder{Run: run, PID: os.Getpid(), Host: HostName(), Since: time.Now().UTC().Truncate(time.Second)}
}

// HostName is this host's, for messages and journals.
func HostName() string {
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "unknown host"
}

// takeLock locks an output for a run.
func takeLock(fsys FS, path, output, run string) (Lock, error) {
	note, err := json.Marshal(NewHolder(run))
	if err != nil {
		return nil, fmt.Errorf("describe holder of the lock: %w", err)
	}
	lock, err := fsys.Lock(path, append(note, '\n'))
	if locked, ok := errors.AsType[*lockedError](err); ok {
		return nil, heldError(output, locked.note)
	}
	return lock, outputError(output, err)
}

// Held returns a *HeldError if a run holds an output now. It takes nothing: the
// answer may be another a moment later.
func Held(output string) error {
	path, err := resolveOutput(output)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(lockPath(path), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // nobody holds it, as far as can be seen
	}
	defer f.Close()
	if !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return nil
	}
	return heldError(output, readNote(f))
}

// lockPath is the lock's file of an output.
func lockPath(output string) string {
	return filepath.Join(filepath.Dir(output), "."+filepath.Base(output)+".millrace.lock")
}

// heldError reads a holder's note. One that cannot be read leaves it unnamed.
func heldError(output string, note []byte) *HeldError {
	held := &HeldError{Output: output}
	_ = json.Unmarshal(note, &held.Holder)
	return held
}

// lockedError says that a lock is taken, and what its holder wrote.
type lockedError struct{ note []byte }

func (*lockedError) Error() string { return "lock is taken" }

// fileLock is a flock(2) on a file that is there only while the lock is held.
// The kernel drops the lock with the process, so a dead holder blocks nobody.
type fileLock struct {
	path string
	file *os.File // nil once released
}

// maxNoteBytes bounds what is read of somebody else's note.
const maxNoteBytes = 4096

// A lock that is taken is tried a few times, for who asks Held has it for a moment.
const (
	lockTries = 5
	lockPause = 4 * time.Millisecond
)

// Lock takes the lock. Since Release unlinks the file, a lock may be won on a
// file that is no longer the one at the path: then it is tried again.
func (osFS) Lock(name string, note []byte) (Lock, error) {
	for tries := 1; ; {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o666)
		if err != nil {
			return nil, err
		}
		l := &fileLock{path: name, file: f}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK) && tries < lockTries:
			_ = f.Close() // nothing was written
			tries++
			time.Sleep(lockPause)
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			err := &lockedError{note: readNote(f)}
			return nil, errors.Join(err, f.Close())
		case errors.Is(err, unix.EINTR):
			_ = f.Close() // nothing was written
			continue
		case err != nil:
			return nil, errors.Join(&os.PathError{Op: "flock", Path: name, Err: err}, f.Close())
		}
		if err := l.Held(); isLost(err) {
			_ = f.Close() // nothing was written
			continue
		} else if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if err := writeNote(f, note); err != nil {
			return nil, errors.Join(err, l.Release())
		}
		return l, nil
	}
}

func writeNote(f *os.File, note []byte) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(note, 0)
	return err
}

// readNote reads the holder's note, which may be a moment late.
func readNote(f *os.File) []byte {
	for range 10 {
		note, err := io.ReadAll(io.NewSectionReader(f, 0, maxNoteBytes))
		if err == nil && json.Valid(note) {
			return note
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func (l *fileLock) Held() error {
	if l.file == nil {
		return &os.PathError{Op: "lock", Path: l.path, Err: os.ErrClosed}
	}
	mine, err := l.file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(mine, now) {
		return &os.PathError{Op: "lock", Path: l.path, Err: errTaken}
	}
	return nil
}

// errTaken says that another file is at a lock's name.
var errTaken = errors.New("it was taken over by another run")

// isLost says whether an error of Held's tells that a lock is somebody else's, or nobody's,
// and not that a file system does not say.
func isLost(err error) bool { return errors.Is(err, errTaken) || errors.Is(err, fs.ErrNotExist) }

// Release unlinks the file while the lock is still held: whoever wins the
// lock on the unlinked file notices, and takes the new one.
func (l *fileLock) Release() error {
	if l.file == nil {
		return nil
	}
	var err error
	if l.Held() == nil {
		err = os.Remove(l.path)
	}
	err = errors.Join(err, l.file.Close())
	l.file = nil
	return err
}

// TakeLock locks an output that is a file for a run, as Stage does, for who stages in the
// file itself. Its error wraps ErrHeld or ErrOutput.
func TakeLock(output, run string) (Lock, error) {
	path, err := resolveOutput(output)
	if err != nil {
		return nil, err
	}
	return takeLock(osFS{}, lockPath(path), output, run)
}
