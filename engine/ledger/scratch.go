package ledger

import "path/filepath"

// scratchName is the directory in a run's own for what it need not keep. Like all that
// the journal does not name, the next start removes it.
const scratchName = "scratch"

// Scratch makes an empty directory beside what is staged, on the same file system, which
// the caller removes when it is done.
func (s *Staging) Scratch() (dir string, err error) {
	dir = filepath.Join(s.dir, scratchName)
	if err := s.fs.RemoveAll(dir); err != nil {
		return "", outputError(s.output, err)
	}
	return dir, outputError(s.output, s.fs.Mkdir(dir))
}
