package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// several says that parts have any number of files each.
func (s *Staging) several() bool { return len(s.opts.PartitionBy) > 0 || s.opts.Numbered }

// PartFiles are the files of one part that has any number of them, in folders of the
// output or in itself:
//
//	Create  begin the next file of a folder; End: it is written
//	Commit  fsync, rename, fsync folders: for many files at once
//	Abort   remove them all; one of the two is always called
//
// So a folder of the output has the files of many parts, and each belongs to one. Few
// files are open at a time, however many the part has. One goroutine uses it at a time.
type PartFiles struct {
	staging *Staging
	index   int
	begun   map[string]int // files, by folder
	folders *folders
	open    []*PartFile // not yet renamed
	rows    []int64     // of those that are ended
	outputs []Output
	done    bool
}

// PartFiles begins the files of a part. Those of a part whose attempt was aborted can be
// made again, and those of one that has none.
func (s *Staging) PartFiles(index int) (*PartFiles, error) {
	if !s.several() || !s.hasPart(index) {
		return nil, fmt.Errorf("output %q has no part %d of several files", s.output, index)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.mu.parts[index]; old != nil {
		if outputs, done := old.writtenLocked(); !done || len(outputs) > 0 {
			return nil, fmt.Errorf("output %q: part %d is made twice", s.output, index)
		}
	}
	p := &PartFiles{staging: s, index: index, begun: map[string]int{}, folders: s.newFolders()}
	s.mu.parts[index] = p
	return p, nil
}

// Create makes the next file of a folder, which is relative to the output: "" is the
// output itself. The file before it must be ended.
func (p *PartFiles) Create(folder string) (*PartFile, error) {
	s := p.staging
	if len(p.open) > len(p.rows) {
		return nil, fmt.Errorf("output %q: part %d has a file that is not ended", s.output, p.index)
	}
	if folder != "" && (!filepath.IsLocal(folder) || filepath.Clean(folder) != folder || passedOver(folder)) {
		return nil, fmt.Errorf("output %q: %w: the folder %q would lie outside of it, or be passed over by readers", s.output, ErrOutput, folder)
	}
	if err := p.folders.make(folder); err != nil {
		return nil, outputError(s.output, err)
	}
	name := filepath.Join(folder, s.fileName(p.index, p.begun[folder]))
	s.mu.Lock()
	defer s.mu.Unlock()
	file, err := s.createLocked(filepath.Join(s.data, folder), filepath.Base(name), name)
	if err != nil {
		return nil, err
	}
	p.begun[folder]++
	p.open = append(p.open, file)
	return file, nil
}

// fileName is the name of the n-th file of a part in one folder. Numbered files have a
// number all of them, since names must rise in the order of the rows.
func (s *Staging) fileName(index, n int) string {
	if s.opts.Numbered {
		return fmt.Sprintf("%s-%05d%s", s.partStem(index), n, s.opts.Ext)
	}
	return s.partName(index)
}

// partStem is what the names of a part's files begin with.
func (s *Staging) partStem(index int) string { return fmt.Sprintf("part-%05d", s.mu.first+index) }

// ofPart says whether a name is one that a part's files can have.
func (s *Staging) ofPart(index int, name string) bool {
	rest, ok := strings.CutPrefix(filepath.Base(name), s.partStem(index))
	return ok && (rest == s.opts.Ext || s.opts.Numbered && strings.HasPrefix(rest, "-")) &&
		filepath.IsLocal(name) && filepath.Clean(name) == name && !passedOver(name)
}

// End says that the file that was created last has all its rows.
func (p *PartFiles) End(rows int64) error {
	file := p.open[len(p.open)-1]
	if err := file.Flush(); err != nil {
		return err
	}
	file.leaveBuffer() // many may wait
	p.rows = append(p.rows, rows)
	if len(p.open) == syncsAtATime {
		return outputError(p.staging.output, p.settle())
	}
	return nil
}

// settle makes the ended files durable and gives them their names, which are not.
func (p *PartFiles) settle() error {
	if err := p.staging.settle(p.open...); err != nil {
		return err
	}
	for i, file := range p.open {
		p.outputs = append(p.outputs, file.account(p.rows[i]))
	}
	p.open, p.rows = nil, nil
	return nil
}

// Commit makes all files durable under their names and returns their accounts, sorted by
// name. rows is how many rows the part has. On error the files are aborted.
func (p *PartFiles) Commit(rows int64) ([]Output, error) {
	if p.done || len(p.open) > len(p.rows) {
		return nil, fmt.Errorf("output %q: commit part %d: %w", p.staging.output, p.index, ErrDiscarded)
	}
	if err := p.commit(rows); err != nil {
		return nil, errors.Join(outputError(p.staging.output, err), p.Abort())
	}
	slices.SortFunc(p.outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	p.staging.mu.Lock()
	p.done, p.begun, p.folders = true, nil, nil
	p.staging.mu.Unlock()
	return p.outputs, nil
}

func (p *PartFiles) commit(rows int64) error {
	if err := p.settle(); err != nil {
		return err
	}
	var written int64
	for _, o := range p.outputs {
		written += o.Rows
	}
	if written != rows {
		return fmt.Errorf("%w: part %d has %d rows, and its files %d", ErrAccounts, p.index, rows, written)
	}
	return p.staging.fs.SyncDirs(append([]string{p.staging.data}, p.folders.paths()...)...)
}

// Abort removes the part's files, but not its folders, which other parts may be using.
// It does nothing after a Commit that succeeded, and may be called again.
func (p *PartFiles) Abort() error {
	s := p.staging
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.done {
		return nil
	}
	errs := []error{p.closeLocked()}
	if s.mu.staged && !s.mu.published {
		for _, file := range p.open {
			errs = append(errs, s.removeIfThere(file.path))
		}
		for _, o := range p.outputs {
			errs = append(errs, s.removeIfThere(filepath.Join(s.data, o.Name)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return outputError(s.output, err)
	}
	p.open, p.outputs = nil, nil
	if s.mu.parts[p.index] == stagedPart(p) {
		delete(s.mu.parts, p.index)
	}
	return nil
}

func (p *PartFiles) writtenLocked() (outputs []Output, done bool) { return p.outputs, p.done }

// closeLocked closes the files that are not committed.
func (p *PartFiles) closeLocked() error {
	errs := make([]error, 0, len(p.open))
	for _, file := range p.open {
		errs = append(errs, file.closeLocked())
	}
	return errors.Join(errs...)
}

func (s *Staging) removeIfThere(name string) error {
	err := s.fs.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Scratch makes a file that only this process reads again, at the path that it gives:
// it is never durable and never published, and whoever comes after a crash removes it.
// Like a part's file it ends by Abort, which removes it; Flush lets it be read before.
func (s *Staging) Scratch(name string) (file *PartFile, path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file, err = s.createLocked(s.dir, scratchPrefix+name, name); err != nil {
		return nil, "", err
	}
	file.sink.hash = nil
	s.mu.scratch[file] = true
	return file, file.path, nil
}

// scratchPrefix begins the names of scratch files.
const scratchPrefix = "scratch-"

// Flush writes what is buffered.
func (p *PartFile) Flush() error {
	if p.file == nil {
		return fmt.Errorf("output %q: flush %s: %w", p.staging.output, p.name, ErrDiscarded)
	}
	return outputError(p.staging.output, p.buf.Flush())
}

// Bytes is how many bytes the file has so far.
func (p *PartFile) Bytes() int64 { return p.sink.bytes + int64(p.buf.Buffered()) }

// outputsLocked are the files of all parts, in the order of the parts, and how many each
// part has where that is any number.
func (s *Staging) outputsLocked() (outputs []Output, files []int, err error) {
	for i := range len(s.mu.parts) {
		var written []Output
		done := false
		if part := s.mu.parts[i]; part != nil {
			written, done = part.writtenLocked()
		}
		if !done {
			return nil, nil, fmt.Errorf("%w: part %d is not committed", ErrAccounts, i)
		}
		outputs = append(outputs, written...)
		if s.several() {
			files = append(files, len(written))
		}
	}
	return outputs, files, nil
}

// DataPath is the directory in which the output is staged.
func (s *Staging) DataPath() string { return s.data }
