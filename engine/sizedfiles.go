package engine

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/format"
)

// sizedFiles writes the rows of one folder of a part to one file after the other. A file
// ends where its next row group would take it beyond the target size, by what the last
// one took: a function of the rows alone.
type sizedFiles struct {
	files   sink.PartFiles
	folder  string
	open    func(io.Writer) (format.Writer, error)
	target  int64 // bytes; 0: one file
	perStep int   // rows after which the size is looked at: a row group
	file    sink.CountedFile
	writer  format.Writer
	rows    int64 // in the file
	before  int64 // bytes of the file before the row group at hand
	failed  error // of the writer's Write
}

// write appends a record's rows, which it borrows.
func (s *sizedFiles) write(record arrow.RecordBatch) error {
	for at := int64(0); at < record.NumRows(); {
		if err := s.begin(); err != nil {
			return err
		}
		n := record.NumRows() - at
		if s.target > 0 {
			n = min(n, int64(s.perStep)-s.rows%int64(s.perStep))
		}
		piece := record.NewSlice(at, at+n)
		s.failed = s.writer.Write(piece)
		piece.Release()
		if s.failed != nil {
			return s.failed
		}
		s.rows += n
		at += n
		if s.target > 0 && s.rows%int64(s.perStep) == 0 && s.full() {
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin opens the next file, unless one is open.
func (s *sizedFiles) begin() (err error) {
	if s.writer != nil {
		return nil
	}
	if s.file, err = s.files.Create(s.folder); err != nil {
		return err
	}
	s.rows, s.before = 0, 0
	s.writer, err = s.open(s.file)
	return err
}

// full says that another row group like the last would be too much.
func (s *sizedFiles) full() bool {
	size := s.file.Bytes()
	last := size - s.before
	s.before = size
	return size+last > s.target
}

// close ends the file at hand.
func (s *sizedFiles) close() error {
	if s.writer == nil {
		return nil
	}
	err := s.writer.Close()
	s.writer = nil
	if err != nil {
		return fmt.Errorf("write %s: %w", s.folder, err)
	}
	return s.files.End(s.rows)
}

// drop gives the writer's memory back; what it writes goes to a file that is dropped.
func (s *sizedFiles) drop() error {
	if s.writer == nil {
		return nil
	}
	err := dropWriter(s.writer, s.failed)
	s.writer = nil
	return err
}

// dropWriter gives the memory back of a writer whose file is dropped. Why a Write failed, if one
// did, Close only says again.
func dropWriter(w format.Writer, failed error) error {
	if err := w.Close(); failed == nil {
		return err
	}
	return nil
}

// stepsPerFile is how many row groups a file of the target size has at least, so that
// its size is known to that part.
const stepsPerFile = 8

// leastStepRows are the rows of a row group at least: smaller ones cost readers more
// than a file that is a little too large.
const leastStepRows = 1 << 12

// stepRows are the rows of the row groups of files of a target size, of rowBytes each.
func stepRows(target, rowBytes int64) int {
	if target == 0 {
		return rowGroupRows
	}
	return int(min(max(target/stepsPerFile/max(rowBytes, 1), leastStepRows), rowGroupRows))
}

// sizedPart is a part whose files have a target size and stand in the output itself.
type sizedPart struct{ *sizedFiles }

func (p sizedPart) commit(rows int64) ([]ledger.Output, error) {
	var err error
	if p.file == nil {
		err = p.begin() // a part without rows has a file too
	}
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, errors.Join(err, p.abort())
	}
	return p.files.Commit(rows)
}

func (p sizedPart) abort() error { return errors.Join(p.drop(), p.files.Abort()) }
