package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Seen is what the runs of an output have read, by their manifests: of all runs of its
// chain, those too whose files were replaced since, since a job that replaces its output
// every night goes on from there as one that appends does.
type Seen struct {
	// Newest is the SHA-256 of the newest run's manifest, for StageOptions.Follows; empty
	// where there is none.
	Newest string
	// Unfinished are the jobs of runs that stopped, or are going on, and have progress.
	Unfinished []Job

	byPath map[string][]*SeenInput
	bySize map[int64][]*SeenInput
}

// SeenInput is an input as a run read it.
type SeenInput struct {
	Input

	Run  string
	Live bool // the output has the run's files
}

// Add notes what a run read; runs come newest first.
func (s *Seen) Add(run string, live bool, inputs []Input) {
	if s.byPath == nil {
		s.byPath, s.bySize = map[string][]*SeenInput{}, map[int64][]*SeenInput{}
	}
	for _, in := range inputs {
		in.Spans = nil
		seen := &SeenInput{Input: in, Run: run, Live: live}
		s.byPath[in.Path] = append(s.byPath[in.Path], seen)
		s.bySize[in.Bytes] = append(s.bySize[in.Bytes], seen)
	}
}

// At are the inputs that runs read at a path, the newest run's first.
func (s *Seen) At(path string) []*SeenInput { return s.byPath[path] }

// Alike are the inputs at other paths that a file may have been before it was moved: they
// had its size and, as far as both are known, version and time of change. One of another
// name had that time to parts of a second: files of one archive have whole ones alike.
func (s *Seen) Alike(path string, bytes int64, modified time.Time, version string) []*SeenInput {
	var all []*SeenInput
	for _, in := range s.bySize[bytes] {
		same := in.ModTime.Equal(modified) && (modified.Nanosecond() != 0 || filepath.Base(in.Path) == filepath.Base(path))
		if version != "" && in.Version != "" {
			same = in.Version == version
		}
		if same && in.Path != path {
			all = append(all, in)
		}
	}
	return all
}

// ReadSeen reads what the runs of a local output have read. An output that is not there
// has seen nothing. A chain of manifests that has a problem is an error that wraps
// ErrUnsound: what it does not tell would be scored twice.
func ReadSeen(output string) (*Seen, error) {
	path, err := resolveOutput(output)
	if err != nil {
		return nil, err
	}
	s := &Seen{}
	unpublished, err := s.readUnfinished(path)
	if err != nil {
		return nil, err
	}
	h, err := locate(path)
	if errors.Is(err, ErrNoOutput) {
		return s, nil
	}
	if err == nil {
		err = h.readRuns()
	}
	if err != nil {
		return nil, err
	}
	// The manifest of a single file goes before the file, and counts with it.
	h.Runs = slices.DeleteFunc(h.Runs, func(r *Recorded) bool { return h.Single && slices.Contains(unpublished, r.Run) })
	if len(h.Runs) == 0 {
		return s, nil
	}
	h.link()
	return s, s.take(h)
}

// SeenBy is what the runs of a history have read; of a local output, ReadSeen is.
func SeenBy(h *History) (*Seen, error) {
	s := &Seen{}
	return s, s.take(h)
}

// take notes the runs of a history's chain.
func (s *Seen) take(h *History) error {
	for i, r := range h.Runs {
		if len(h.Problems) > 0 {
			p := h.Problems[0]
			return fmt.Errorf("%w: %q: what its runs have read cannot be told: %s; see millrace verify", ErrUnsound, h.Output, p)
		}
		if i == 0 {
			s.Newest = r.SHA256
		}
		data, err := h.read(h.file(r.Run, manifestName), maxManifestBytes)
		var m struct {
			Inputs []Input `json:"inputs"`
		}
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			return fmt.Errorf("%w: %q: manifest of run %s: %w", ErrUnsound, h.Output, r.Run, err)
		}
		s.Add(r.Run, r.Live, m.Inputs)
	}
	return nil
}

// readUnfinished reads the jobs of runs that have not published, and lists these.
func (s *Seen) readUnfinished(output string) (unpublished []string, err error) {
	at := &Staging{fs: osFS{}, output: output, parent: filepath.Dir(output), name: filepath.Base(output)}
	entries, err := at.fs.ReadDir(at.parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, outputError(output, err)
	}
	for _, e := range entries {
		run, ours := strings.CutPrefix(e.Name(), at.stagingPrefix())
		if !ours || !ValidRunID(run) {
			continue
		}
		published, err := at.hasPublishedAny(run)
		if err != nil {
			return nil, outputError(output, err)
		}
		if published {
			continue
		}
		unpublished = append(unpublished, run)
		j, err := at.progressOf(run)
		if err != nil {
			return nil, err
		}
		if j != nil {
			s.Unfinished = append(s.Unfinished, j.Head.Job)
		}
	}
	return unpublished, nil
}

// hasPublishedAny is hasPublished of an output of which nobody says whether it is one
// file.
func (s *Staging) hasPublishedAny(run string) (bool, error) {
	for _, single := range []bool{false, true} {
		s.opts.Single = single
		if published, err := s.hasPublished(run); err != nil || published {
			return published, err
		}
	}
	return false, nil
}
