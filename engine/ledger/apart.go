package ledger

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
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
func (s *Staging) Apart() (dir string, err error) { return s.freshDir(apartName) }

// StageApart stages parts of the run in a directory that Apart made there. It is never
// published: what Suspend leaves is for Adopt.
func StageApart(dir string, opts StageOptions) (*Staging, error) {
	opts.Output = filepath.Join(dir, apartOutput)
	return Stage(opts)
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
	from, record, err := findApart(s.fs, dir, s.opts.RunID, part)
	if err != nil {
		return PartRecord{}, outputError(s.output, err)
	}
	err = s.failedLocked(s.adoptLocked(from, &record))
	return record, err
}

// FindApart finds a part that another process staged in a directory that was made for it.
// The files that the record names lie in from, those of rejects, and in the folder data
// there, those of the output.
func FindApart(dir, run string, part int) (from string, record PartRecord, err error) {
	return findApart(osFS{}, dir, run, part)
}

func findApart(fsys FS, dir, run string, part int) (from string, record PartRecord, err error) {
	from = filepath.Join(dir, "."+apartOutput+".millrace-"+run)
	j, err := readJournal(fsys, from)
	if err != nil {
		return "", PartRecord{}, err
	}
	i := slices.IndexFunc(j.Parts, func(p PartRecord) bool { return p.Part == part })
	if i < 0 {
		return "", PartRecord{}, fmt.Errorf("adopt part %d: %w", part, fs.ErrNotExist)
	}
	return from, j.Parts[i], nil
}

// adoptLocked moves a part's files, which are durable, here, and records it.
func (s *Staging) adoptLocked(from string, record *PartRecord) error {
	if r := record.Rejects; r != nil {
		if err := s.fs.Rename(filepath.Join(from, r.Name), filepath.Join(s.dir, partRejectsName(record.Part))); err != nil {
			return err
		}
	}
	dirs, err := s.adoptFilesLocked(filepath.Join(from, dataName), record)
	if err != nil {
		return err
	}
	if err := s.fs.SyncDirs(append(dirs, s.dir)...); err != nil {
		return err
	}
	if !s.whole(*record) {
		return fmt.Errorf("part %d is not as it was recorded", record.Part)
	}
	s.haveLocked(*record)
	return s.mu.journal.append(&Line{Part: record}, true)
}

// adoptFilesLocked moves the output files of a part here, where its first file may have
// another number, and lists the directories that have them now.
func (s *Staging) adoptFilesLocked(from string, record *PartRecord) (dirs []string, err error) {
	folders := s.newFolders()
	there := fmt.Sprintf("part-%05d", record.Part) // apart, the first part has the number 0
	for i := range record.Outputs {
		o := &record.Outputs[i]
		name := s.partName(record.Part)
		if s.several() {
			if !filepath.IsLocal(o.Name) {
				return nil, fmt.Errorf("part %d has a file %q", record.Part, o.Name)
			}
			folder, base := filepath.Dir(o.Name), filepath.Base(o.Name)
			if err := folders.make(folder); err != nil {
				return nil, err
			}
			name = filepath.Join(folder, s.partStem(record.Part)+strings.TrimPrefix(base, there))
		}
		if err := s.fs.Rename(filepath.Join(from, o.Name), filepath.Join(s.partDir(), name)); err != nil {
			return nil, err
		}
		o.Name = name
	}
	return append([]string{s.data}, folders.paths()...), nil
}
