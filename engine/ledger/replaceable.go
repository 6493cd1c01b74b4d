package ledger

import (
	"fmt"
	"os"
	"path/filepath"
)

// Replaceable is nil where a rename may put a file at path: nothing is there, or a
// file. A rename would take a device's place, such as that of /dev/null or /dev/stdout,
// for every program of the machine. Errors wrap ErrOutput.
func Replaceable(path string) error {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || isDevice(path)) { // where it fails, whoever makes the file says why
		return fmt.Errorf("%w: %q is no file that could be replaced, but a device, a pipe or a directory: name a file", ErrOutput, path)
	}
	return nil
}

// isDevice says whether a file is named as devices are: /dev/stdout may be a file.
func isDevice(path string) bool {
	whole, err := filepath.Abs(path)
	return err != nil || filepath.Dir(whole) == "/dev"
}
