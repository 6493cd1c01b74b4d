package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// crashFS is a file system in memory whose power can fail. It keeps what is written
// apart from what is durable: a file's bytes become durable by Sync, a directory's
// names by SyncDirs. At a crash each write and each change of a name that is not
// durable is lost or kept by itself, in no order: harsher than any real one.
//
// With noSync and noRename it is the negative control: a protocol without fsync, and
// one that writes files under their final names.
type crashFS struct {
	noSync, noRename bool

	crashAt int // the operation that the power fails at, from 1; 0 is never
	ops     int
	dead    bool

	entries map[string]*inode
	durable map[string]*inode
	pending []change
	locks   map[string]bool
}

// inode is a file or a directory.
type inode struct {
	dir     bool
	data    []byte
	synced  []byte
	unsaved []write
}

type write struct {
	at   int
	data []byte
}

// change is one operation on names, atomic.
type change struct {
	names map[string]*inode // nil: the name goes
}

var errPower = errors.New("power failed")

func newCrashFS() *crashFS {
	root := &inode{dir: true}
	return &crashFS{
		entries: map[string]*inode{"/": root}, durable: map[string]*inode{"/": root}, locks: map[string]bool{},
	}
}

// op counts an operation; from the crash on all fail.
func (c *crashFS) op(name, path string) error {
	c.ops++
	if c.ops == c.crashAt {
		c.dead = true
	}
	if c.dead {
		return &fs.PathError{Op: name, Path: path, Err: errPower}
	}
	return nil
}

// apply makes a change of names, and keeps it as not durable.
func (c *crashFS) apply(names map[string]*inode) {
	c.pending = append(c.pending, change{names})
	set(c.entries, names)
}

func set(entries, names map[string]*inode) {
	for name, node := range names {
		if node == nil {
			delete(entries, name)
		} else {
			entries[name] = node
		}
	}
}

// crash lets the power fail: of what is not durable, each thing is lost with
// probability lose.
func (c *crashFS) crash(lose float64, random *rand.Rand) {
	for _, p := range c.pending {
		if random.Float64() >= lose {
			set(c.durable, p.names)
		}
	}
	// A name whose directory is lost is lost.
	for name := range c.durable {
		for dir := filepath.Dir(name); dir != "/"; dir = filepath.Dir(dir) {
			if c.durable[dir] == nil {
				delete(c.durable, name)
			}
		}
	}
	for _, node := range c.durable {
		for _, w := range node.unsaved {
			if random.Float64() >= lose {
				if need := w.at + len(w.data); need > len(node.synced) {
					node.synced = append(node.synced, make([]byte, need-len(node.synced))...) // a hole has zeros
				}
				copy(node.synced[w.at:], w.data)
			}
		}
		node.unsaved = nil
		node.data = bytes.Clone(node.synced)
	}
	c.entries = map[string]*inode{}
	set(c.entries, c.durable)
	c.pending, c.locks = nil, map[string]bool{}
	c.dead, c.crashAt, c.ops = false, 0, 0
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// place maps a temporary name to the final one in the negative control.
func (c *crashFS) place(name string) string {
	base := filepath.Base(name)
	if c.noRename && strings.HasSuffix(base, ".tmp") {
		return filepath.Join(filepath.Dir(name), strings.TrimSuffix(strings.TrimPrefix(base, "."), ".tmp"))
	}
	return name
}

func (c *crashFS) Create(name string) (File, error) {
	name = c.place(name)
	if err := c.op("create", name); err != nil {
		return nil, err
	}
	if c.entries[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if c.entries[filepath.Dir(name)] == nil {
		return nil, notExist("create", name)
	}
	node := &inode{}
	c.apply(map[string]*inode{name: node})
	return &crashFile{fs: c, node: node, name: name}, nil
}

func (c *crashFS) Append(name string, size int64) (File, error) {
	if err := c.op("append", name); err != nil {
		return nil, err
	}
	node := c.entries[name]
	if node == nil {
		return nil, notExist("append", name)
	}
	node.data = node.data[:size]
	node.synced = node.synced[:min(len(node.synced), int(size))] // taken to be durable at once
	return &crashFile{fs: c, node: node, name: name}, nil
}

func (c *crashFS) Open(name string) (io.ReadCloser, error) {
	if err := c.op("open", name); err != nil {
		return nil, err
	}
	if c.entries[name] == nil {
		return nil, notExist("open", name)
	}
	return io.NopCloser(bytes.NewReader(c.entries[name].data)), nil
}

func (c *crashFS) Link(from, to string) error {
	if err := c.op("link", from); err != nil {
		return err
	}
	if c.entries[from] == nil {
		return notExist("link", from)
	}
	c.apply(map[string]*inode{to: c.entries[from]})
	return nil
}

func (c *crashFS) Mkdir(name string) error {
	if err := c.op("mkdir", name); err != nil {
		return err
	}
	if c.entries[name] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	c.apply(map[string]*inode{name: {dir: true}})
	return nil
}

// below lists a name and all names below it.
func (c *crashFS) below(name string) []string {
	var names []string
	for n := range c.entries {
		if n == name || strings.HasPrefix(n, name+"/") {
			names = append(names, n)
		}
	}
	return names
}

func (c *crashFS) Remove(name string) error {
	if err := c.op("remove", name); err != nil {
		return err
	}
	switch names := c.below(name); {
	case len(names) == 0:
		return notExist("remove", name)
	case len(names) > 1:
		return &fs.PathError{Op: "remove", Path: name, Err: unix.ENOTEMPTY}
	}
	c.apply(map[string]*inode{name: nil})
	return nil
}

// RemoveAll removes one name after the other, so that a crash leaves some.
func (c *crashFS) RemoveAll(name string) error {
	if err := c.op("removeall", name); err != nil {
		return err
	}
	names := c.below(name)
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for _, n := range names {
		c.apply(map[string]*inode{n: nil})
	}
	return nil
}

// moved is what a rename makes of the names below.
func (c *crashFS) moved(from, to string) map[string]*inode {
	names := map[string]*inode{}
	for _, n := range c.below(from) {
		names[n] = nil
	}
	for _, n := range c.below(from) {
		names[to+strings.TrimPrefix(n, from)] = c.entries[n]
	}
	return names
}

func (c *crashFS) Rename(from, to string) error {
	if c.noRename && c.place(from) != from {
		return nil
	}
	if err := c.op("rename", from); err != nil {
		return err
	}
	switch node := c.entries[from]; {
	case node == nil:
		return notExist("rename", from)
	case node.dir && len(c.below(to)) > 1:
		return &fs.PathError{Op: "rename", Path: to, Err: unix.ENOTEMPTY}
	}
	c.apply(c.moved(from, to))
	return nil
}

func (c *crashFS) RenameNoReplace(from, to string) error {
	if c.entries[to] != nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return c.Rename(from, to)
}

func (c *crashFS) Exchange(a, b string) error {
	if err := c.op("exchange", a); err != nil {
		return err
	}
	if c.entries[a] == nil || c.entries[b] == nil {
		return notExist("exchange", a)
	}
	names := c.moved(a, b)
	for n, node := range c.moved(b, a) {
		if node != nil || names[n] == nil {
			names[n] = node
		}
	}
	c.apply(names)
	return nil
}

// SyncFiles syncs one after the other, so that a crash leaves some.
func (c *crashFS) SyncFiles(files ...File) error {
	for _, file := range files {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// SyncDirs makes the changes of names in the directories durable. A change that
// moved a tree is one of the directory that the tree's name is in.
func (c *crashFS) SyncDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := c.op("syncdir", dir); err != nil {
			return err
		}
		if c.entries[dir] == nil {
			return notExist("syncdir", dir)
		}
	}
	if c.noSync {
		return nil
	}
	c.pending = slices.DeleteFunc(c.pending, func(p change) bool {
		for name := range p.names {
			if slices.Contains(dirs, filepath.Dir(name)) {
				set(c.durable, p.names)
				return true
			}
		}
		return false
	})
	return nil
}

func (c *crashFS) Lstat(name string) (fs.FileInfo, error) {
	if err := c.op("lstat", name); err != nil {
		return nil, err
	}
	if c.entries[name] == nil {
		return nil, notExist("lstat", name)
	}
	return crashInfo{name: filepath.Base(name), node: c.entries[name]}, nil
}

func (c *crashFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := c.op("readdir", name); err != nil {
		return nil, err
	}
	if c.entries[name] == nil {
		return nil, notExist("readdir", name)
	}
	var entries []fs.DirEntry
	for n, node := range c.entries {
		if n != "/" && filepath.Dir(n) == name {
			entries = append(entries, fs.FileInfoToDirEntry(crashInfo{name: filepath.Base(n), node: node}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (c *crashFS) MountPoint(string) bool { return false }

func (c *crashFS) Lock(name string, _ []byte) (Lock, error) {
	if err := c.op("lock", name); err != nil {
		return nil, err
	}
	if c.locks[name] {
		return nil, &lockedError{}
	}
	c.locks[name] = true
	return &crashLock{fs: c, name: name}, nil
}

type crashLock struct {
	fs   *crashFS
	name string
}

func (l *crashLock) Held() error { return l.fs.op("held", l.name) }

func (l *crashLock) Release() error {
	delete(l.fs.locks, l.name)
	return nil
}

type crashFile struct {
	fs   *crashFS
	node *inode
	name string
}

func (f *crashFile) Write(p []byte) (int, error) {
	if err := f.fs.op("write", f.name); err != nil {
		return 0, err
	}
	f.node.unsaved = append(f.node.unsaved, write{at: len(f.node.data), data: bytes.Clone(p)})
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *crashFile) Sync() error {
	if err := f.fs.op("sync", f.name); err != nil {
		return err
	}
	if !f.fs.noSync {
		f.node.synced, f.node.unsaved = bytes.Clone(f.node.data), nil
	}
	return nil
}

func (f *crashFile) Close() error { return nil }

type crashInfo struct {
	name string
	node *inode
}

func (i crashInfo) Name() string       { return i.name }
func (i crashInfo) Size() int64        { return int64(len(i.node.data)) }
func (i crashInfo) ModTime() time.Time { return time.Time{} }
func (i crashInfo) IsDir() bool        { return i.node.dir }
func (i crashInfo) Sys() any           { return nil }
func (i crashInfo) Mode() fs.FileMode {
	if i.node.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}

// list is for messages.
func (c *crashFS) list() string {
	var b strings.Builder
	names := make([]string, 0, len(c.entries))
	for n := range c.entries {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "%s %d\n", n, len(c.entries[n].data))
	}
	return b.String()
}
