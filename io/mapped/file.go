package mapped

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
)

// ErrNotRegular says that a path names a directory, FIFO, device or socket,
// which cannot be mapped.
var ErrNotRegular = errors.New("not a regular file")

// noSlot is the slot of a file without a mapping: an empty one.
const noSlot = -1

// File is a regular file mapped read-only, counted by references.
type File struct {
	path string
	data []byte // the whole mapping; nil for an empty file
	slot int    // in the fault handler's table, or noSlot
	id   identity

	refs atomic.Int64
	// views counts the views that Buffer made of each block of the file.
	views []atomic.Int32
	// late is set before the slot is given up, so that Err stays true after
	// the last Release.
	late atomic.Bool

	// handle guards the descriptor and the slot against the last Release,
	// for Changed and Err, which callers may ask without a reference.
	handle struct {
		sync.RWMutex

		fd   int
		open bool
	}
}

// identity is what tells a file from another one and from its later self.
type identity struct {
	dev, ino uint64
	size     int64
	mtime    unix.Timespec
}

func identityOf(st *unix.Stat_t) identity {
	return identity{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim} //nolint:unconvert,nolintlint // Dev is a uint32 on some platforms
}

// Open maps the file at path. The caller owns one reference. Errors are
// *fs.PathError, or wrap ErrNotRegular or ErrTooManyMappings and name the
// file. An empty file opens and has no bytes.
func Open(path string) (*File, error) {
	// O_NONBLOCK: a FIFO must be refused, not waited for.
	fd, err := openRetrying(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f, err := openFD(path, fd)
	if err != nil {
		return nil, errors.Join(err, closeFD(path, fd))
	}
	return f, nil
}

// FromFile maps a file that is open, as it is now, by a descriptor of its own.
func FromFile(file *os.File) (*File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "duplicate", Path: file.Name(), Err: err}
	}
	f, err := openFD(file.Name(), fd)
	if err != nil {
		return nil, errors.Join(err, closeFD(file.Name(), fd))
	}
	return f, nil
}

func openRetrying(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func closeFD(path string, fd int) error {
	if err := unix.Close(fd); err != nil {
		return &fs.PathError{Op: "close", Path: path, Err: err}
	}
	return nil
}

// openFD maps an open descriptor, which it takes over when it succeeds.
func openFD(path string, fd int) (*File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("map %q: %w but %s", path, ErrNotRegular, kind(st.Mode))
	}
	if st.Size > math.MaxInt-int64(os.Getpagesize()) {
		return nil, &fs.PathError{Op: "map", Path: path, Err: unix.EFBIG}
	}
	f := &File{path: path, slot: noSlot, id: identityOf(&st)}
	f.handle.fd, f.handle.open = fd, true
	f.refs.Store(1)
	if st.Size > 0 {
		data, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return nil, &fs.PathError{Op: "map", Path: path, Err: err}
		}
		f.data = data
		f.views = make([]atomic.Int32, (len(data)+BlockBytes-1)/BlockBytes)
	}
	slot, err := register(f)
	if err != nil {
		err = fmt.Errorf("map %q: %w", path, err)
		if f.data != nil {
			err = errors.Join(err, unix.Munmap(f.data))
		}
		return nil, err
	}
	f.slot = slot
	return f, nil
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	default:
		return "a device"
	}
}

// Path is the path the file was opened with.
func (f *File) Path() string { return f.path }

// Size is the file's size in bytes when it was opened.
func (f *File) Size() int64 { return f.id.size }

// Bytes aliases the whole mapping; valid while the caller holds a reference.
// Writing to it faults.
func (f *File) Bytes() []byte { return f.data }

// Retain adds a reference. The caller must hold one already.
func (f *File) Retain() {
	if f.refs.Add(1) <= 1 {
		f.refs.Add(-1)
		misuse("mapped: Retain of a released file: " + f.path)
	}
}

// Release drops a reference; the last one unmaps the file. A Release too many
// does nothing, or panics under the build tag invariants.
func (f *File) Release() {
	for {
		n := f.refs.Load()
		if n <= 0 {
			misuse("mapped: Release of a released file: " + f.path)
			return
		}
		if !f.refs.CompareAndSwap(n, n-1) {
			continue
		}
		if n == 1 {
			f.unmap()
		}
		return
	}
}

// unmap gives up slot, mapping and descriptor. It keeps f.data, so that a
// reader without a reference, a bug, faults at once instead of racing.
func (f *File) unmap() {
	f.forget()
	f.handle.Lock()
	defer f.handle.Unlock()
	if f.slot != noSlot && faulted(f.slot) {
		f.late.Store(true)
	}
	unregister(f, f.slot)
	f.slot = noSlot
	if f.data != nil {
		// Fails only for arguments that Mmap did not return.
		if err := unix.Munmap(f.data); err != nil {
			misuse("mapped: munmap " + f.path + ": " + err.Error())
		}
	}
	f.handle.open = false
	// Nothing was written through the descriptor, so its close loses nothing.
	_ = unix.Close(f.handle.fd)
}

// Err returns an error that wraps format.ErrChanged and names the file when a
// read of the mapping has faulted: what was read since is zeros. It costs one
// call into C.
func (f *File) Err() error {
	f.handle.RLock()
	defer f.handle.RUnlock()
	return f.errLocked()
}

func (f *File) errLocked() error {
	if f.late.Load() || f.slot != noSlot && faulted(f.slot) {
		return fmt.Errorf("%q: %w: a read of its mapping faulted (truncated, or the disk failed)", f.path, format.ErrChanged)
	}
	return nil
}

// Changed returns an error that wraps format.ErrChanged and names the file
// when it is no longer the one that was opened: by size or modification time,
// by another file or none standing at its path, or because a read of the
// mapping faulted. After the last Release only the last is known.
func (f *File) Changed() error {
	f.handle.RLock()
	defer f.handle.RUnlock()
	if err := f.errLocked(); err != nil || !f.handle.open {
		return err
	}
	var now unix.Stat_t
	if err := unix.Fstat(f.handle.fd, &now); err != nil {
		return &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	switch id := identityOf(&now); {
	case id.size != f.id.size:
		return fmt.Errorf("%q: %w: it had %d bytes, now %d", f.path, format.ErrChanged, f.id.size, id.size)
	case id != f.id:
		return fmt.Errorf("%q: %w: it was modified", f.path, format.ErrChanged)
	}
	if err := unix.Stat(f.path, &now); err != nil {
		return fmt.Errorf("%q: %w: its path no longer leads to it: %w", f.path, format.ErrChanged, err)
	}
	if id := identityOf(&now); id != f.id {
		return fmt.Errorf("%q: %w: another file stands in its place", f.path, format.ErrChanged)
	}
	return nil
}
