package ledger

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
)

// loadingName is a file in a run's own directory while its model is loaded and tried: a
// start that died and left it there died of that. It is no line of the journal, which
// begins when that is known which depends on it.
const loadingName = "loading"

// loading is its content.
type loading struct {
	Job    string `json:"job"` // digest
	Deaths int    `json:"deaths"`
}

// LoadingNote is what a start leaves while a job's model is loaded: which job, and how many
// starts of it died so before, one after the other.
func LoadingNote(job *Job, deaths int) ([]byte, error) {
	return json.Marshal(loading{Job: job.Digest(), Deaths: deaths})
}

// DeathsByNote is how many starts of a job died while its model was loaded, whoever left
// the note included: 0 by another job's, and by one that was cut, which is of a start that
// died as it wrote it.
func DeathsByNote(note []byte, job *Job) int {
	var l loading
	if json.Unmarshal(note, &l) != nil || l.Job != job.Digest() || l.Deaths < 0 {
		return 0
	}
	return l.Deaths + 1
}

// maxLoadingBytes bounds what is read of one.
const maxLoadingBytes = 4096

// readLoading counts the starts of the job that died, one after the other, while the model
// was loaded.
func (s *Staging) readLoading(dead []string) error {
	if s.opts.Job == nil || s.opts.Restart {
		return nil
	}
	for _, run := range dead {
		text, err := readFile(s.fs, filepath.Join(s.dirOf(run), loadingName), maxLoadingBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.mu.loadDeaths = max(s.mu.loadDeaths, DeathsByNote(text, s.opts.Job))
	}
	return nil
}

// LoadDeaths is how many starts of the job, the last ones, died between Loading and
// Loaded.
func (s *Staging) LoadDeaths() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.loadDeaths
}

// Loading notes that the model is about to be loaded, so that, should it kill the
// process, the next start knows. Without a Job it does nothing.
func (s *Staging) Loading() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Job == nil {
		return nil
	}
	text, err := LoadingNote(s.opts.Job, s.mu.loadDeaths)
	if err != nil {
		return err
	}
	file, err := s.fs.Create(filepath.Join(s.dir, loadingName))
	if err != nil {
		return s.failedLocked(err)
	}
	_, err = file.Write(text) // not synced: who dies of a model takes no page with him
	return s.failedLocked(errors.Join(err, file.Close()))
}

// Loaded notes that it went well, or failed in order.
func (s *Staging) Loaded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Job == nil {
		return nil
	}
	return s.failedLocked(s.fs.Remove(filepath.Join(s.dir, loadingName)))
}
