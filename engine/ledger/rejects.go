package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// PartRejects makes the file of one part's rejected rows. It lies in the run's own
// directory until the rejects of all parts are merged into the file of Rejects, so
// that they last as the part does. Like a part, it ends by Commit or Abort, and can
// be made again after an Abort.
func (s *Staging) PartRejects(index int) (*PartFile, error) {
	if index < 0 || (s.opts.Single && index > 0) {
		return nil, fmt.Errorf("output %q has no part %d", s.output, index)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.unmerged[index] != nil {
		return nil, fmt.Errorf("output %q: rejects of part %d are made twice", s.output, index)
	}
	name := partRejectsName(index)
	p, err := s.createLocked(s.runDir(), name, name)
	if err == nil {
		s.mu.unmerged[index] = p
	}
	return p, err
}

// PartRejectsPath is where the rejects of a part lie once they are committed.
func (s *Staging) PartRejectsPath(index int) string {
	return filepath.Join(s.runDir(), partRejectsName(index))
}

func partRejectsName(index int) string { return fmt.Sprintf("rejects-%05d.arrow", index) }

// RemovePartRejects removes the rejects of parts, once the file of Rejects is
// committed and has them all: whoever finds that file needs no others. One that is
// not there is no error.
func (s *Staging) RemovePartRejects(parts ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, index := range parts {
		if err := s.fs.Remove(s.PartRejectsPath(index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return outputError(s.output, err)
		}
		delete(s.mu.unmerged, index)
	}
	return nil
}
