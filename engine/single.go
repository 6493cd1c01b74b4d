package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// single makes a single file of parts. Each part is staged as a piece, so that it lasts
// when the run stops, and so that several can be written at a time; pieces are appended
// to the file in order, as soon as those before are.
type single struct {
	collector *collector

	mu   sync.Mutex
	done []bool // pieces that are committed
	next int    // the first piece that is not in the file
	rows int64
	file sink.File
	out  joiner // nil until the first piece
	err  error  // the first failure; what follows it would not be a file
	over bool   // aborted
}

// joiner appends pieces to a file.
type joiner interface {
	add(path string, piece int) (rows int64, err error)
	close() error
}

// singleFile says whether the output is a file made of pieces.
func (p *Plan) singleFile() bool {
	_, single := FormatOf(p.Options.Output)
	return single && len(p.Parts) > 1
}

// newPartWriter is the writer of a part's file. A piece of Arrow is a stream, since
// dictionaries are one for a file; one of text has no header and is not compressed, since
// these are one for a file too.
func (c *collector) newPartWriter(w io.Writer, schema *arrow.Schema) (format.Writer, error) {
	opts := c.writeOptions()
	switch name := c.plan.Options.Format; {
	case !c.plan.singleFile():
	case name.IsText():
		opts.Headless, opts.Compression = true, ""
	case name != format.Parquet:
		return arrowfile.NewStreamWriter(w, schema, format.WriteOptions{})
	}
	return writers[c.plan.Options.Format](w, schema, opts)
}

// newJoiner begins the file.
func (s *single) newJoiner() (joiner, error) {
	switch name := s.collector.plan.Options.Format; {
	case name == format.Parquet:
		j, err := parquetfile.NewJoiner(s.file)
		return &parquetJoiner{j}, err
	case name.IsText():
		return s.newTextJoiner()
	}
	return &arrowJoiner{single: s}, nil
}

// committed says that a piece is there, and appends what can be.
func (s *single) committed(piece int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[piece] = true
	if s.err == nil && !s.over {
		s.err = guarded(func() error { return s.advance() })
	}
	return s.err
}

func (s *single) advance() (err error) {
	for ; s.next < len(s.done) && s.done[s.next]; s.next++ {
		if s.out == nil {
			if s.file, err = s.collector.files().Whole(); err != nil {
				return err
			}
			if s.out, err = s.newJoiner(); err != nil {
				return err
			}
		}
		path, err := s.collector.files().PiecePath(s.next)
		if err != nil {
			return err
		}
		rows, err := s.out.add(path, s.next)
		if err != nil {
			return fmt.Errorf("join %s: %w: %w", path, ledger.ErrOutput, err)
		}
		s.rows += rows
	}
	return nil
}

// finish commits the file. All pieces must be there.
func (s *single) finish() (ledger.Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil { // all pieces may be of earlier starts
		s.err = guarded(func() error { return s.advance() })
	}
	switch {
	case s.err != nil:
		return ledger.Output{}, s.err
	case s.next != len(s.done):
		return ledger.Output{}, fmt.Errorf("%w: %d of %d pieces are in the file", ledger.ErrAccounts, s.next, len(s.done))
	}
	if err := s.out.close(); err != nil {
		return ledger.Output{}, fmt.Errorf("end %s: %w: %w", sink.Shown(s.collector.plan.Options.Output), ledger.ErrOutput, err)
	}
	out, err := s.file.Commit(s.rows)
	s.file = nil
	return out, err
}

// abort drops the file; the pieces stay.
func (s *single) abort() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.file == nil {
		return nil
	}
	if s.out != nil {
		_ = s.out.close() // gives memory back; what it writes goes to a file that is dropped
	}
	err := s.file.Abort()
	s.file, s.out = nil, nil
	return err
}

// parquetJoiner copies column chunks.
type parquetJoiner struct{ *parquetfile.Joiner }

func (j *parquetJoiner) add(path string, _ int) (rows int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return j.Add(f, info.Size())
}

func (j *parquetJoiner) close() error { return j.Close() }

// arrowJoiner writes the record batches of pieces, which are streams of Arrow.
type arrowJoiner struct {
	single *single
	writer format.Writer
}

func (j *arrowJoiner) add(path string, _ int) (rows int64, err error) {
	// Without a context: a piece is a moment's work, and a file that is half joined is of
	// no use.
	err = eachStaged(context.Background(), path, j.open, func(r arrow.RecordBatch) error {
		rows += r.NumRows()
		return j.writer.Write(r)
	})
	return rows, err
}

func (j *arrowJoiner) open(schema *arrow.Schema) (err error) {
	if j.writer == nil {
		c := j.single.collector
		j.writer, err = writers[c.plan.Options.Format](j.single.file, schema, c.writeOptions())
	}
	return err
}

func (j *arrowJoiner) close() error {
	if j.writer == nil {
		return errors.New("there is no piece")
	}
	return j.writer.Close()
}
