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
	if err != nil {
		return nil // whoever makes the file says why it cannot
	}
	whole, err := filepath.Abs(path)
	if err == nil && info.Mode().IsRegular() && filepath.Dir(whole) != "/dev" {
		return nil
	}
	return fmt.Errorf("%w: %q is no file that could be replaced, but a device, a pipe or a directory: name a file", ErrOutput, path)
}
