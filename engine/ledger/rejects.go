package ledger

import (
	"fmt"
	"path/filepath"
)

// PartRejects makes the file of one part's rejected rows. It lies in the run's own
// directory, beside what is to be published, so that it lasts as the part does: until
// the rejects of all parts, merged into the file of Rejects, are published. Like a part, it ends by Commit or Abort, and can
// be made again after an Abort.
func (s *Staging) PartRejects(index int) (*PartFile, error) {
	if !s.hasPart(index) {
		return nil, fmt.Errorf("output %q has no part %d", s.output, index)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.unmerged[index] != nil {
		return nil, fmt.Errorf("output %q: rejects of part %d are made twice", s.output, index)
	}
	name := partRejectsName(index)
	p, err := s.createLocked(s.dir, name, name)
	if err == nil {
		s.mu.unmerged[index] = p
	}
	return p, err
}

// PartRejectsPath is where the rejects of a part lie once they are committed.
func (s *Staging) PartRejectsPath(index int) string {
	return filepath.Join(s.dir, partRejectsName(index))
}

func partRejectsName(index int) string { return fmt.Sprintf("rejects-%05d.arrow", index) }
