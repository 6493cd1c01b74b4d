package ledger

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Tree is the files of an output, wherever it lies. Names are relative to a folder, which
// is "."; fs.FS says how they look.
type Tree interface {
	// ReadDir lists a folder, and Open reads a file.
	fs.ReadDirFS
	// Stat describes a name without following a link.
	Stat(name string) (fs.FileInfo, error)
	// Path is what a name is called elsewhere: a path, or a URI.
	Path(name string) string
}

// folderTree is a folder on this machine.
type folderTree struct{ folder string }

// Open does not follow links out of the folder.
func (t folderTree) Open(name string) (fs.File, error) { return os.OpenInRoot(t.folder, name) }

func (t folderTree) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(t.Path(name)) }

func (t folderTree) Stat(name string) (fs.FileInfo, error) { return os.Lstat(t.Path(name)) }

func (t folderTree) Path(name string) string {
	return filepath.Join(t.folder, filepath.FromSlash(name))
}
