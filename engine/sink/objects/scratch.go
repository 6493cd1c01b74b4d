package objects

import (
	"bufio"
	"errors"
	"os"
)

// bufferBytes gathers the small writes of format writers.
const bufferBytes = 256 << 10

// scratch is a file that only this process reads again.
type scratch struct {
	*bufio.Writer
	file *os.File // nil once removed
}

func newScratch(f *os.File) *scratch { return &scratch{bufio.NewWriterSize(f, bufferBytes), f} }

// Abort removes it.
func (s *scratch) Abort() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), os.Remove(s.file.Name()))
	s.file = nil
	return err
}
