package ledger

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// apartName is the directory in a run's own in which other processes score parts of
// it, one at a time. Like all that the journal does not name, the next start removes
// it.
const apartName = "apart"

// Job is the digest of the run's job; empty where it has none.
func (s *Staging) Job() string {
	if s.opts.Job == nil {
		return ""
	}
	return s.opts.Job.Digest()
}

// Apart makes an empty directory for another process to stage a part in; see
// StageApart.
func (s *Staging) Apart() (dir string, err error) {
	dir = filepath.Join(s.dir, apartName)
	if err := s.fs.RemoveAll(dir); err != nil {
		return "", outputError(s.output, err)
	}
	return dir, outputError(s.output, s.fs.Mkdir(dir))
}

// StageApart stages parts of the run in a directory that Apart made there. It is never
// published: what Suspend leaves is for Adopt.
func StageApart(dir, runID, ext string, job *Job) (*Staging, error) {
	return Stage(StageOptions{Output: filepath.Join(dir, apartOutput), RunID: runID, Ext: ext, Job: job})
}

// apartOutput names the output that is never published.
const apartOutput = "out"

// Adopt takes over a part that another process staged in a directory of Apart and
// recorded, and records it here. What it returns has the part's name here.
func (s *Staging) Adopt(dir string, part int) (PartRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.mu.journal == nil {
		return PartRecord{}, fmt.Errorf("output %q: adopt part %d: %w", s.output, part, ErrDiscarded)
	}
	from := filepath.Join(dir, "."+apartOutput+".millrace-"+s.opts.RunID)
	j, err := readJournal(s.fs, from)
	if err != nil {
		return PartRecord{}, outputError(s.output, err)
	}
	i := slices.IndexFunc(j.Parts, func(p PartRecord) bool { return p.Part == part })
	if i < 0 {
		return PartRecord{}, outputError(s.output, fmt.Errorf("adopt part %d: %w", part, fs.ErrNotExist))
	}
	record := j.Parts[i]
	err = s.failedLocked(s.adoptLocked(from, &record))
	return record, err
}

// adoptLocked moves a part's files, which are durable, here, and records it.
func (s *Staging) adoptLocked(from string, record *PartRecord) error {
	name := s.partName(record.Part)
	if r := record.Rejects; r != nil {
		if err := s.fs.Rename(filepath.Join(from, r.Name), filepath.Join(s.dir, partRejectsName(record.Part))); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(filepath.Join(from, dataName, record.Output.Name), filepath.Join(s.partDir(), name)); err != nil {
		return err
	}
	record.Output.Name = name
	if err := s.fs.SyncDirs(s.dir, s.data); err != nil {
		return err
	}
	if !s.whole(*record) {
		return fmt.Errorf("part %d is not as it was recorded", record.Part)
	}
	out := record.Output
	s.mu.parts[record.Part] = &PartFile{staging: s, name: out.Name, done: &out}
	return s.mu.journal.append(&line{Part: record}, true)
}
