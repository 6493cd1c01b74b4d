package ledger

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"sync"
)

// partBufferBytes is the size of the writes that reach the file system.
const partBufferBytes = 256 << 10

// stagedPart is what is staged of a part of the output: one file, or any number of them.
type stagedPart interface {
	// writtenLocked gives its files; done is false before they are committed.
	writtenLocked() (outputs []Output, done bool)
	// closeLocked closes what is not committed.
	closeLocked() error
}

// PartFile is one file being written into the staging directory. It is an
// io.Writer and, on purpose, no io.Closer: format writers close what they can,
// and a part ends by Commit or Abort alone. One goroutine uses it at a time.
type PartFile struct {
	staging *Staging
	name    string // of the Output
	path    string // where it is now
	final   string // where Commit puts it
	piece   bool   // of a file that is joined of pieces

	file   File // nil once committed or aborted
	onDisk bool
	buf    *bufio.Writer
	sink   *digestWriter
	done   *Output // set by Commit
}

// digestWriter writes to a file and digests what the file took.
type digestWriter struct {
	file  File
	hash  hash.Hash // CRC-32C of a piece, SHA-256 of what is published; nil for what is not kept
	bytes int64
}

func (w *digestWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if n > 0 {
		if w.hash != nil {
			w.hash.Write(p[:n])
		}
		w.bytes += int64(n)
	}
	return n, err
}

// Part makes the file of one part. The file of a part whose attempt was
// aborted can be made again. A single file has only part 0.
func (s *Staging) Part(index int) (*PartFile, error) {
	if !s.hasPart(index) {
		return nil, fmt.Errorf("output %q has no part %d", s.output, index)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.partName(index)
	if old := s.mu.parts[index]; old != nil {
		return nil, fmt.Errorf("output %q: part %d is made twice", s.output, index)
	}
	p, err := s.createLocked(s.partDir(), name, name)
	if err == nil {
		s.mu.parts[index] = p
		if s.opts.Pieces {
			p.piece, p.sink.hash = true, crc32.New(castagnoli)
		}
	}
	return p, err
}

// hasPart says whether the output can have a part of that index.
func (s *Staging) hasPart(index int) bool {
	return index >= 0 && (index == 0 || !s.opts.Single || s.opts.Pieces)
}

// partDir is where the files of parts are staged: pieces are not published.
func (s *Staging) partDir() string {
	if s.opts.Pieces {
		return s.dir
	}
	return s.data
}

// PiecePath is where a piece lies once it is committed. It is an error if its bytes are not
// those that were written: what pieces become is digested anew, so that nobody could tell
// later. Such a piece is removed, and the next start makes it again.
func (s *Staging) PiecePath(index int) (string, error) {
	path := filepath.Join(s.dir, s.partName(index))
	s.mu.Lock()
	var written []Output
	if part := s.mu.parts[index]; part != nil {
		written, _ = part.writtenLocked()
	}
	s.mu.Unlock()
	if len(written) != 1 {
		return "", fmt.Errorf("output %q: piece %d is not committed", s.output, index)
	}
	sum, err := checksumOf(s.fs, path)
	if err != nil {
		return "", outputError(s.output, err)
	}
	if want := written[0].CRC32C; sum != want {
		err := fmt.Errorf("%s was changed since it was written: its CRC-32C is %s and was %s; disk and memory are to be looked at; it is removed, and the same command makes it again", path, sum, want)
		return "", outputError(s.output, errors.Join(err, s.fs.Remove(path)))
	}
	return path, nil
}

// checksumOf is the CRC-32C of a file.
func checksumOf(fsys FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, f); err != nil {
		return "", errors.Join(err, f.Close())
	}
	return hex.EncodeToString(sum.Sum(nil)), f.Close()
}

// Whole makes the file that pieces are joined to, which is published. Like a part, it
// ends by Commit or Abort.
func (s *Staging) Whole() (*PartFile, error) {
	if !s.opts.Pieces {
		return nil, fmt.Errorf("output %q is not made of pieces", s.output)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.whole != nil {
		return nil, fmt.Errorf("output %q is made twice", s.output)
	}
	p, err := s.createLocked(s.data, s.name, s.name)
	if err == nil {
		s.mu.whole = p
	}
	return p, err
}

// partName is the file name of a part.
func (s *Staging) partName(index int) string {
	switch {
	case s.opts.Pieces:
		return fmt.Sprintf("piece-%05d", index)
	case s.opts.Single:
		return s.name
	}
	return s.partStem(index) + s.opts.Ext
}

// Rejects makes the file for rejected rows, rejects.parquet, which is
// published with the output. Like a part, it ends by Commit or Abort.
func (s *Staging) Rejects() (*PartFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.rejects != nil {
		return nil, fmt.Errorf("output %q: %s is made twice", s.output, rejectsName)
	}
	label := filepath.Join(ownName, s.opts.RunID, rejectsName)
	if s.opts.Single {
		label = filepath.Join(filepath.Base(s.sideDir()), s.opts.RunID, rejectsName)
	}
	p, err := s.createLocked(s.runDir(), rejectsName, label)
	if err == nil {
		s.mu.rejects = p
	}
	return p, err
}

func (s *Staging) createLocked(dir, name, label string) (*PartFile, error) {
	if s.mu.closed {
		return nil, fmt.Errorf("output %q: %w", s.output, ErrDiscarded)
	}
	p := &PartFile{staging: s, name: label, final: filepath.Join(dir, name), path: filepath.Join(dir, "."+name+".tmp")}
	f, err := s.fs.Create(p.path)
	if err != nil {
		return nil, outputError(s.output, err)
	}
	p.file, p.onDisk = f, true
	p.sink = &digestWriter{file: f, hash: sha256.New()}
	p.takeBuffer()
	return p, nil
}

// writers are those of files that have all their bytes, for the next ones: an output may have
// thousands of small files.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, partBufferBytes) }}

// takeBuffer is called once there is a sink.
func (p *PartFile) takeBuffer() {
	p.buf = writers.Get().(*bufio.Writer)
	p.buf.Reset(p.sink)
}

// leaveBuffer gives up the buffer of a file that has all its bytes.
func (p *PartFile) leaveBuffer() {
	p.buf.Reset(nil)
	writers.Put(p.buf)
	p.buf = nil
}

// Write appends to the file. After an error every later call fails with it.
func (p *PartFile) Write(b []byte) (int, error) {
	if p.file == nil {
		return 0, fmt.Errorf("output %q: write to %s: %w", p.staging.output, p.name, ErrDiscarded)
	}
	n, err := p.buf.Write(b)
	return n, outputError(p.staging.output, err)
}

// Commit makes the file durable under its final name in the staging directory
// and returns its account. rows is how many rows were written. On error the
// file is aborted.
func (p *PartFile) Commit(rows int64) (Output, error) {
	if p.file == nil {
		return Output{}, fmt.Errorf("output %q: commit %s: %w", p.staging.output, p.name, ErrDiscarded)
	}
	if err := p.commit(); err != nil {
		return Output{}, errors.Join(outputError(p.staging.output, err), p.Abort())
	}
	out := p.account(rows)
	p.staging.mu.Lock()
	p.done = &out
	p.staging.mu.Unlock()
	p.leaveBuffer()
	p.sink = nil // the staging keeps every part until it is published
	return out, nil
}

// account describes the file, which has all its bytes.
func (p *PartFile) account(rows int64) Output {
	out := Output{Name: p.name, Bytes: p.sink.bytes, Rows: rows}
	if p.sink.hash != nil {
		sum := hex.EncodeToString(p.sink.hash.Sum(nil))
		if p.piece {
			out.CRC32C = sum
		} else {
			out.SHA256 = sum
		}
	}
	return out
}

func (p *PartFile) commit() error {
	if err := p.buf.Flush(); err != nil {
		return err
	}
	if err := p.staging.settle(p); err != nil {
		return err
	}
	return p.staging.fs.SyncDirs(filepath.Dir(p.final))
}

// settle makes the bytes of files durable, which are flushed and which nobody else has,
// and gives them their names, which are not.
func (s *Staging) settle(parts ...*PartFile) error {
	files := make([]File, len(parts))
	for i, p := range parts {
		files[i] = p.file
	}
	if err := s.fs.SyncFiles(files...); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.closeLocked(); err != nil {
			return err
		}
		if err := s.fs.Rename(p.path, p.final); err != nil {
			return err
		}
		p.path = p.final
	}
	return nil
}

// Abort closes and removes the file. It does nothing after a Commit that
// succeeded, and may be called again.
func (p *PartFile) Abort() error {
	p.staging.mu.Lock()
	defer p.staging.mu.Unlock()
	if p.done != nil {
		return nil
	}
	err := p.closeLocked()
	if p.onDisk && p.staging.mu.staged && !p.staging.mu.published {
		if rerr := p.staging.fs.Remove(p.path); rerr != nil {
			return outputError(p.staging.output, errors.Join(err, rerr))
		}
	}
	p.onDisk = false
	p.staging.forgetLocked(p)
	return outputError(p.staging.output, err)
}

func (p *PartFile) writtenLocked() (outputs []Output, done bool) {
	if p.done == nil {
		return nil, false
	}
	return []Output{*p.done}, true
}

func (p *PartFile) closeLocked() error {
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	return err
}

// forgetLocked takes an aborted file out, so that it can be made again.
func (s *Staging) forgetLocked(p *PartFile) {
	if s.mu.rejects == p {
		s.mu.rejects = nil
	}
	if s.mu.whole == p {
		s.mu.whole = nil
	}
	delete(s.mu.scratch, p)
	maps.DeleteFunc(s.mu.parts, func(_ int, q stagedPart) bool { return q == stagedPart(p) })
	maps.DeleteFunc(s.mu.unmerged, func(_ int, q *PartFile) bool { return q == p })
}
