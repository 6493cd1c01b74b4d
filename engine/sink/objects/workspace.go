package objects

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/millrace/millrace/engine/sink"
)

// workspace is a directory on this machine for what only this process reads again. It is
// made when it is needed.
type workspace struct {
	run string

	mu  sync.Mutex
	dir string
}

// path gives the directory.
func (w *workspace) path() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dir != "" {
		return w.dir, nil
	}
	dir, err := os.MkdirTemp("", "millrace-"+w.run+"-")
	if err == nil {
		w.dir = dir
	}
	return dir, err
}

// fresh makes an empty directory in it, in place of one that is there.
func (w *workspace) fresh(name string) (string, error) {
	dir, err := w.path()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700)
}

// create makes a file in it.
func (w *workspace) create(name string) (*os.File, error) {
	dir, err := w.path()
	if err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (w *workspace) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dir == "" {
		return nil
	}
	err := os.RemoveAll(w.dir)
	w.dir = ""
	return err
}

// dropLeft removes what a run that died on this machine left.
func dropLeft(run string) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "millrace-"+run+"-*")) // the pattern is well formed
	for _, dir := range left {
		_ = os.RemoveAll(dir) // somebody else's, then
	}
}

// ScratchDir makes an empty directory on this machine.
func (s *staging) ScratchDir() (string, error) {
	dir, err := s.work.fresh("scratch")
	return dir, outputError(s.place, err)
}

// Apart makes an empty directory for another process to stage a part in.
func (s *staging) Apart() (string, error) {
	dir, err := s.work.fresh("apart")
	return dir, outputError(s.place, err)
}

// Scratch makes a file on this machine.
func (s *staging) Scratch(name string) (sink.ScratchFile, string, error) {
	f, err := s.work.create("scratch-" + name)
	if err != nil {
		return nil, "", outputError(s.place, err)
	}
	return newScratch(f), f.Name(), nil
}
