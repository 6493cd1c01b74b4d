package ledger

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// faultFS counts operations and makes some fail. It calls watch before each
// from failAt on; what comes before has been watched when those failed.
type faultFS struct {
	osFS

	failAt  int  // number of the first operation that fails, from 1; 0 is none
	dead    bool // all operations from then on fail, not only that one
	noFlags bool // the file system lacks renameat2's flags
	watch   func()

	ops      int
	injected string // what failed first
	open     int    // files and locks not closed
}

// fault counts an operation and says whether it is to fail.
func (f *faultFS) fault(op, name string) error {
	f.ops++
	if f.watch != nil && f.ops >= f.failAt {
		f.watch()
	}
	if f.failAt == 0 || f.ops < f.failAt || (f.ops > f.failAt && !f.dead) {
		return nil
	}
	if f.injected == "" {
		f.injected = op + " " + name
	}
	return &fs.PathError{Op: op, Path: name, Err: unix.EIO}
}

// do runs an operation unless it is to fail.
func (f *faultFS) do(op, name string, run func() error) error {
	if err := f.fault(op, name); err != nil {
		return err
	}
	return run()
}

func (f *faultFS) Create(name string) (File, error) {
	if err := f.fault("create", name); err != nil {
		return nil, err
	}
	file, err := f.osFS.Create(name)
	if err != nil {
		return nil, err
	}
	f.open++
	return &faultFile{File: file, fs: f, name: name}, nil
}

func (f *faultFS) Append(name string, size int64) (File, error) {
	if err := f.fault("append", name); err != nil {
		return nil, err
	}
	file, err := f.osFS.Append(name, size)
	if err != nil {
		return nil, err
	}
	f.open++
	return &faultFile{File: file, fs: f, name: name}, nil
}

func (f *faultFS) Open(name string) (io.ReadCloser, error) {
	if err := f.fault("open", name); err != nil {
		return nil, err
	}
	return f.osFS.Open(name)
}

func (f *faultFS) Link(from, to string) error {
	return f.do("link", from, func() error {
		if f.noFlags {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.ErrUnsupported}
		}
		return f.osFS.Link(from, to)
	})
}

func (f *faultFS) Mkdir(name string) error {
	return f.do("mkdir", name, func() error { return f.osFS.Mkdir(name) })
}

func (f *faultFS) Remove(name string) error {
	return f.do("remove", name, func() error { return f.osFS.Remove(name) })
}

func (f *faultFS) RemoveAll(name string) error {
	return f.do("removeall", name, func() error { return f.osFS.RemoveAll(name) })
}

func (f *faultFS) Rename(from, to string) error {
	return f.do("rename", from, func() error { return f.osFS.Rename(from, to) })
}

func (f *faultFS) RenameNoReplace(from, to string) error {
	return f.do("rename-noreplace", from, func() error {
		if f.noFlags {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: errors.ErrUnsupported}
		}
		return f.osFS.RenameNoReplace(from, to)
	})
}

func (f *faultFS) Exchange(a, b string) error {
	return f.do("exchange", a, func() error {
		if f.noFlags {
			return &os.LinkError{Op: "rename", Old: a, New: b, Err: errors.ErrUnsupported}
		}
		return f.osFS.Exchange(a, b)
	})
}

func (f *faultFS) SyncFiles(files ...File) error {
	for _, file := range files {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (f *faultFS) SyncDirs(names ...string) error {
	for _, name := range names {
		if err := f.do("syncdir", name, noSync); err != nil {
			return err
		}
	}
	return nil
}

func (f *faultFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.fault("lstat", name); err != nil {
		return nil, err
	}
	return f.osFS.Lstat(name)
}

func (f *faultFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.fault("readdir", name); err != nil {
		return nil, err
	}
	return f.osFS.ReadDir(name)
}

func (f *faultFS) Lock(name string, note []byte) (Lock, error) {
	if err := f.fault("lock", name); err != nil {
		return nil, err
	}
	lock, err := f.osFS.Lock(name, note)
	if err != nil {
		return nil, err
	}
	f.open++
	return &faultLock{fileLock: lock.(*fileLock), fs: f}, nil
}

// faultLock fails as its file system does.
type faultLock struct {
	*fileLock

	fs *faultFS
}

func (l *faultLock) Held() error {
	return l.fs.do("held", l.path, l.fileLock.Held)
}

// Release closes the file even when it fails, as the end of a process does;
// the lock's file stays then.
func (l *faultLock) Release() error {
	l.fs.open--
	if err := l.fs.fault("release", l.path); err != nil {
		return errors.Join(err, l.file.Close())
	}
	return l.fileLock.Release()
}

// faultFile fails as its file system does: writes get half done and then meet
// a full disk.
type faultFile struct {
	File

	fs   *faultFS
	name string
}

func (f *faultFile) Write(p []byte) (int, error) {
	if f.fs.fault("write", f.name) == nil {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(err, &fs.PathError{Op: "write", Path: f.name, Err: unix.ENOSPC})
}

func (f *faultFile) Sync() error { return f.fs.do("sync", f.name, noSync) }

// noSync spares the disk: power does not fail in these tests.
func noSync() error { return nil }

func (f *faultFile) Close() error {
	f.fs.open--
	return errors.Join(f.fs.fault("close", f.name), f.File.Close())
}
