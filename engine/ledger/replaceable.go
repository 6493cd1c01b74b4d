package ledger

import (
	"fmt"
	"os"
	"path/filepath"
)

// Replaceable is nil where a rename may put a file at path: nothing is there, or a
// file, and it is outside of outputs. A rename would take a device's place, such as that of /dev/null or /dev/stdout,
// for every program of the machine. Errors wrap ErrOutput.
func Replaceable(path string) error {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || isDevice(path)) { // where it fails, whoever makes the file says why
		return fmt.Errorf("%w: %q is no file that could be replaced, but a device, a pipe or a directory: name a file", ErrOutput, path)
	}
	return Outside(path)
}

// Outside is nil where a file at path would be in nobody's output. Readers of an output
// take every file in it for data, and verify complains of those that no run wrote. Errors
// wrap ErrOutput.
func Outside(path string) error {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil //nolint:nilerr // whoever makes the file says why
	}
	dir, name := filepath.Split(whole)
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	if isDir(filepath.Join(dir, sideName(name))) {
		return fmt.Errorf("%w: %q is an output itself, with its manifests beside it: name another file", ErrOutput, path)
	}
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if isDir(filepath.Join(dir, ownName)) {
			return fmt.Errorf("%w: %q lies in the output %q, which holds its runs' files alone: name a file beside it, such as %s%s", ErrOutput, path, dir, dir, filepath.Ext(name))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// isDevice says whether a file is named as devices are: /dev/stdout may be a file.
func isDevice(path string) bool {
	whole, err := filepath.Abs(path)
	return err != nil || filepath.Dir(whole) == "/dev"
}
