package objects

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// Part makes the file of a part, or a piece of a single one.
func (s *staging) Part(part int) (sink.File, error) {
	if s.opts.Pieces {
		name := fmt.Sprintf("piece-%05d", part)
		return s.teed(s.place.staging(s.opts.RunID)+piecesName+name, name, func(f stagedFile) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.mu.pieces[part] = f.key
			s.mu.parts[part] = &partState{files: []stagedFile{f}}
		})
	}
	name := s.partName(part)
	return orNil(s.newUpload(s.stagedKey(name), name, pieceBytes, func(f stagedFile) { s.putPart(part, []stagedFile{f}) }))
}

// putPart notes the files of a part.
func (s *staging) putPart(part int, files []stagedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.parts[part] = &partState{files: files}
}

// orNil keeps a nil pointer from becoming an interface that is not nil.
func orNil(u *upload, err error) (sink.File, error) {
	if err != nil {
		return nil, err
	}
	return u, nil
}

// teed is an upload that leaves a copy on this machine.
func (s *staging) teed(key, name string, taken func(stagedFile)) (sink.File, error) {
	u, err := s.newUpload(key, name, pieceBytes, taken)
	if err != nil {
		return nil, err
	}
	if err := u.tee(); err != nil {
		return nil, err
	}
	return u, nil
}

// stagedKey is where a file of the output is staged, by its name.
func (s *staging) stagedKey(name string) string {
	return s.place.staging(s.opts.RunID) + dataName + name + stagedExt
}

// partStem is what the names of a part's files begin with.
func (s *staging) partStem(part int) string { return fmt.Sprintf("part-%05d", s.mu.first+part) }

// partName is the name of a part's only file.
func (s *staging) partName(part int) string {
	if s.opts.Single {
		return s.place.name
	}
	return s.partStem(part) + s.opts.Ext
}

// PiecePath is where a piece can be read. The one before is not asked for again.
func (s *staging) PiecePath(part int) (string, error) {
	s.mu.Lock()
	key, before := s.mu.pieces[part], s.mu.pieces[part-1]
	s.mu.Unlock()
	s.dropLocal(before)
	return s.localPath(key)
}

// Whole makes the file that pieces are joined to.
func (s *staging) Whole() (sink.File, error) {
	name := s.place.name
	return orNil(s.newUpload(s.stagedKey(name), name, largePiece, func(f stagedFile) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.whole = &f
	}))
}

// PartRejects makes the file of a part's rejected rows.
func (s *staging) PartRejects(part int) (sink.File, error) {
	name := fmt.Sprintf("rejects-%05d.arrow", part)
	return s.teed(s.place.staging(s.opts.RunID)+badRowsName+name, name, func(f stagedFile) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.badRows[part] = f.key
	})
}

// PartRejectsPath is where it can be read.
func (s *staging) PartRejectsPath(part int) (string, error) {
	s.mu.Lock()
	key := s.mu.badRows[part]
	s.mu.Unlock()
	return s.localPath(key)
}

// Rejects makes the file of all rejected rows.
func (s *staging) Rejects() (sink.File, error) {
	label := s.place.label(s.place.run(s.opts.RunID) + rejectsName)
	return orNil(s.newUpload(s.place.staging(s.opts.RunID)+rejectsName+stagedExt, label, pieceBytes, func(f stagedFile) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.rejects = &f
	}))
}

// partFiles are the files of a part that has any number of them. Each is uploaded while the
// next one is written.
type partFiles struct {
	s     *staging
	part  int
	begun map[string]int // files, by folder
	now   *upload
	ended errgroup.Group

	files []*stagedFile // set when they are there; by file
	made  []*upload
}

// PartFiles begins the files of a part.
func (s *staging) PartFiles(part int) (sink.PartFiles, error) {
	p := &partFiles{s: s, part: part, begun: map[string]int{}}
	p.ended.SetLimit(atATime)
	return p, nil
}

// Create makes the next file of a folder.
func (p *partFiles) Create(folder string) (sink.CountedFile, error) {
	s := p.s
	if folder != "" && (!filepath.IsLocal(folder) || path.Clean(folder) != folder || passedOver(folder) || strings.Contains(folder, escapeMark)) {
		return nil, fmt.Errorf("output %q: %w: the folder %q would lie outside of it, be passed over by readers, or be written otherwise", s.place.shown, ledger.ErrOutput, folder)
	}
	name := s.partName(p.part)
	if s.opts.Numbered {
		name = fmt.Sprintf("%s-%05d%s", s.partStem(p.part), p.begun[folder], s.opts.Ext)
	}
	name = path.Join(folder, name)
	file := &stagedFile{}
	u, err := s.newUpload(s.stagedKey(name), name, pieceBytes, func(f stagedFile) { *file = f })
	if err != nil {
		return nil, err
	}
	p.begun[folder]++
	p.now, p.files, p.made = u, append(p.files, file), append(p.made, u)
	return u, nil
}

// passedOver says that readers of a folder pass over a name.
func passedOver(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}

// End says that the file that was created last has all its rows.
func (p *partFiles) End(rows int64) error {
	u := p.now
	if u == nil {
		return fmt.Errorf("output %q: part %d has no file to end", p.s.place.shown, p.part)
	}
	p.now = nil
	p.ended.Go(func() error {
		if _, err := u.Commit(rows); err != nil {
			return err
		}
		return p.s.failed(u.there()) // so that few are under way at a time
	})
	return nil
}

// Commit waits for all files.
func (p *partFiles) Commit(rows int64) ([]ledger.Output, error) {
	if err := p.ended.Wait(); err != nil {
		return nil, errors.Join(err, p.Abort())
	}
	files := make([]stagedFile, len(p.files))
	outputs := make([]ledger.Output, len(p.files))
	var written int64
	for i, f := range p.files {
		files[i] = *f
		written += f.Rows
	}
	if written != rows {
		return nil, errors.Join(fmt.Errorf("%w: part %d has %d rows, and its files %d", ledger.ErrAccounts, p.part, rows, written), p.Abort())
	}
	slices.SortFunc(files, func(a, b stagedFile) int { return strings.Compare(a.Name, b.Name) })
	for i, f := range files {
		outputs[i] = f.Output
	}
	p.s.putPart(p.part, files)
	p.made = nil
	return outputs, nil
}

// Abort drops all files. Those that are there go with the run's staging, or are written
// over when the part is tried again.
func (p *partFiles) Abort() error {
	_ = p.ended.Wait() // said already, or of no interest
	errs := make([]error, 0, len(p.made))
	for _, u := range p.made {
		errs = append(errs, u.Abort())
	}
	p.made, p.files, p.now = nil, nil, nil
	return errors.Join(errs...)
}
