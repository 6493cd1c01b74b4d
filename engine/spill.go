package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// spill is a scratch file with rows sorted by folder: a stream of Arrow in which no
// record has rows of two. Written by spillRecord, then read by rowsOf, folders in order.
type spill struct {
	file    sink.ScratchFile
	path    string
	writer  format.Writer
	reader  format.Reader
	records int
	folders []spilledFolder
}

// spilledFolder are the records of one folder.
type spilledFolder struct {
	name       string
	first, end int
}

// spilledRows is the most rows of one record: what is read again at a time.
const spilledRows = 1 << 14

// maxSpills bounds the scratch files of a part, all of which are open when they are
// read: a part of 8 GiB.
const maxSpills = 512

// spillRecord writes sorted rows to a scratch file of their own.
func (s *spread) spillRecord(sorted *sortedRows) error {
	if len(s.spill) == maxSpills {
		return fmt.Errorf("%w: --partition-by: part %d has more than %d MiB of output, and they are of several folders: choose smaller parts (--part-rows), or write row groups or record batches of fewer rows to the input",
			ErrUsage, s.number, maxSpills*spillBytes>>20)
	}
	file, path, err := s.collector.files().Scratch(fmt.Sprintf("%05d-%03d", s.number, len(s.spill)))
	if err != nil {
		return err
	}
	out := &spill{file: file, path: path}
	s.spill = append(s.spill, out)
	if out.writer, err = arrowfile.NewStreamWriter(file, s.schema, format.WriteOptions{}); err != nil {
		return err
	}
	for _, f := range sorted.folders {
		if err := out.write(sorted.record, f); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return out.end()
}

func (s *spill) write(record arrow.RecordBatch, f folderRows) error {
	folder := spilledFolder{name: f.name, first: s.records}
	for at := f.first; at < f.first+f.rows; {
		n := min(f.first+f.rows-at, spilledRows)
		piece := record.NewSlice(at, at+n)
		err := s.writer.Write(piece)
		piece.Release()
		if err != nil {
			return err
		}
		s.records++
		at += n
	}
	folder.end = s.records
	s.folders = append(s.folders, folder)
	return nil
}

// end ends the writing.
func (s *spill) end() error {
	if s.writer == nil {
		return nil
	}
	err := s.writer.Close()
	s.writer = nil
	if err != nil {
		return err
	}
	return s.file.Flush()
}

// rowsOf gives the rows of a folder, which write borrows.
func (s *spill) rowsOf(ctx context.Context, name string, write func(arrow.RecordBatch) error) error {
	at, ok := slices.BinarySearchFunc(s.folders, name, func(f spilledFolder, name string) int { return strings.Compare(f.name, name) })
	if !ok {
		return nil
	}
	if s.reader == nil {
		reader, err := arrowfile.Open(s.path, format.ReadOptions{})
		if err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
		}
		s.reader = reader
		if n := len(reader.Spans()); n != s.records {
			return fmt.Errorf("%w: %s has %d records, and %d were written", ledger.ErrOutput, s.path, n, s.records)
		}
	}
	columns := everyIndex(s.reader.Schema().NumFields())
	for span := s.folders[at].first; span < s.folders[at].end; span++ {
		if err := s.reader.ReadSpan(ctx, span, columns, write); err != nil {
			return err
		}
	}
	return nil
}

// drop removes the file.
func (s *spill) drop() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close()) // gives memory back
	}
	s.reader, s.writer = nil, nil
	return errors.Join(append(errs, s.file.Abort())...)
}
