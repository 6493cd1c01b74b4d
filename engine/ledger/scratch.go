package ledger

import "path/filepath"

// scratchDirName is the directory in a run's own for files that it need not keep. Like all
// that the journal does not name, the next start removes it.
const scratchDirName = "scratch"

// ScratchDir makes an empty directory beside what is staged, on the same file system, which
// the caller removes when it is done.
func (s *Staging) ScratchDir() (dir string, err error) { return s.freshDir(scratchDirName) }

// freshDir makes an empty directory in the run's own, in place of one that is there.
func (s *Staging) freshDir(name string) (dir string, err error) {
	dir = filepath.Join(s.dir, name)
	if err := s.fs.RemoveAll(dir); err != nil {
		return "", outputError(s.output, err)
	}
	return dir, outputError(s.output, s.fs.Mkdir(dir))
}
