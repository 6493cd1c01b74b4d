package ledger

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// FS is what staging and publishing need of a file system; tests put one that
// fails underneath. Errors name operation and path, as those of package os do.
type FS interface {
	// Create makes a new file for writing; one that exists is an error.
	Create(name string) (File, error)
	// Append opens a file for writing at its end, after cutting it to size bytes.
	Append(name string, size int64) (File, error)
	// Open opens a file for reading.
	Open(name string) (io.ReadCloser, error)
	// Link gives a file another name. It fails with errors.ErrUnsupported where
	// the file system has no such thing.
	Link(from, to string) error
	// Mkdir makes one directory.
	Mkdir(name string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// RemoveAll removes a tree; one that does not exist is no error.
	RemoveAll(name string) error
	// Rename is rename(2): atomic; it replaces a file or an empty directory.
	Rename(from, to string) error
	// RenameNoReplace is Rename that fails with fs.ErrExist if to exists. It
	// fails with errors.ErrUnsupported where the file system has no such step.
	RenameNoReplace(from, to string) error
	// Exchange swaps two names atomically, or fails with
	// errors.ErrUnsupported.
	Exchange(a, b string) error
	// SyncFiles makes what was written to files durable, in any order.
	SyncFiles(files ...File) error
	// SyncDirs makes the names in directories durable, in any order.
	SyncDirs(names ...string) error
	// Lstat describes a name without following a link.
	Lstat(name string) (fs.FileInfo, error)
	// ReadDir lists a directory.
	ReadDir(name string) ([]fs.DirEntry, error)
	// MountPoint says whether a directory is one, as far as can be known.
	MountPoint(name string) bool
	// Lock takes the lock that name stands for and leaves note in it, or
	// fails with a *lockedError if it is taken.
	Lock(name string, note []byte) (Lock, error)
}

// File is a file being written.
type File interface {
	io.Writer
	// Sync makes what was written durable.
	Sync() error
	Close() error
}

// Lock is a lock that is held. It ends with the process at the latest.
type Lock interface {
	// Held returns an error if the lock is no longer ours.
	Held() error
	// Release gives the lock up and removes its file.
	Release() error
}

// osFS is the local file system.
type osFS struct{}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// osFile is a file of the local file system whose data is on its way to the disk
// while more is written, so that Sync need not wait for all of it.
type osFile struct {
	*os.File
	written, begun int64
}

// behindBytes is how much is written before the system is asked to begin.
const behindBytes = 1 << 20

func (f *osFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.written += int64(n)
	if behind := f.written - f.begun; behind >= behindBytes {
		// Advice: Sync is what counts, and says what went wrong.
		_ = unix.SyncFileRange(int(f.Fd()), f.begun, behind, unix.SYNC_FILE_RANGE_WRITE)
		f.begun = f.written
	}
	return n, err
}

func (osFS) Append(name string, size int64) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (osFS) Open(name string) (io.ReadCloser, error) {
	return os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

func (osFS) Link(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.ErrUnsupported} // link(2)
	}
	return err
}

// readFile reads a file of at most most bytes.
func readFile(fsys FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	err = errors.Join(err, f.Close())
	if err == nil && int64(len(data)) > most {
		err = &os.PathError{Op: "read", Path: name, Err: errors.New("the file is too large to be ours")}
	}
	return data, err
}

// copyFile makes a durable copy of a file.
func copyFile(fsys FS, from, to string) (err error) {
	in, err := fsys.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := fsys.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func (osFS) Mkdir(name string) error                    { return os.Mkdir(name, 0o777) }
func (osFS) Remove(name string) error                   { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                { return os.RemoveAll(name) }
func (osFS) Rename(from, to string) error               { return rename(from, to, 0) }
func (osFS) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (osFS) RenameNoReplace(from, to string) error {
	return rename(from, to, unix.RENAME_NOREPLACE)
}

func (osFS) Exchange(a, b string) error { return rename(a, b, unix.RENAME_EXCHANGE) }

// rename calls renameat2(2). os.Rename would refuse a directory as target
// before it asks the kernel, which replaces an empty one.
func rename(from, to string, flags uint) error {
	for {
		var err error
		if flags == 0 {
			err = unix.Rename(from, to)
		} else {
			err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case flags != 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)):
			// The kernel says EINVAL for flags that a file system lacks, and
			// ENOSYS before Linux 3.15: renameat2(2).
			err = errors.ErrUnsupported
		}
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
}

// SyncDirs syncs all at once: the file system writes its journal for several as
// soon as for one.
func (osFS) SyncDirs(names ...string) error { return syncEach(names, SyncDir) }

// SyncFiles syncs all at once, as SyncDirs does.
func (osFS) SyncFiles(files ...File) error { return syncEach(files, File.Sync) }

func syncEach[T any](all []T, sync func(T) error) error {
	errs := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(syncsAtATime)
	for i, one := range all {
		group.Go(func() error {
			errs[i] = sync(one)
			return nil
		})
	}
	_ = group.Wait() // the goroutines report through errs
	return errors.Join(errs...)
}

// syncsAtATime bounds the files and directories that are open to be synced.
const syncsAtATime = 64

// SyncDir makes the names in a directory durable.
func SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil // fsync(2): this file system does not sync directories
	}
	return errors.Join(err, d.Close())
}

func (osFS) MountPoint(name string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

func isNotEmpty(err error) bool { return errors.Is(err, unix.ENOTEMPTY) }

func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }
