package lines

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// Bounds of what is held of a span.
const (
	pieceBytes = 256 << 10 // of text at a time, unless a record is longer
	pieceRows  = 1024      // whose fields are known at a time: their text is still in cache
)

// Texts of a record batch that stay in a core's cache are made in less time than others: it has
// so many bytes of its rows, more where more columns share them.
const (
	cachedBytes  = 1 << 20
	cachedColumn = 64 << 10
)

// spanReader reads one span: text piece by piece, of it the fields of some rows, and of
// these column after column.
type spanReader struct {
	table   *table
	opts    *format.ReadOptions
	columns []int // asked for
	checked []string
	place   []int // of each among made; -1 for the column of problems
	asked   bool  // for problems
	wanted  []int // columns that are made
	made    []column
	schema  *arrow.Schema
	tokens  Tokenizer
	piece   piece
	yield   func(arrow.RecordBatch) error
	ctx     context.Context //nolint:containedctx // of the read under way, for callbacks of conversions

	span   block
	buffer []byte
	at     int64 // of the buffer's first byte behind its pad, in the text
	lines  int64 // ends of lines before that, in the span
	line   int64 // of the span's first byte; 0 while nobody has asked

	skipping bool  // the text goes on with a line that is no record
	failed   error // what kept a line from being numbered

	most     int   // rows of the chunk
	mostText int64 // bytes of its lines
	rows     int   // of the chunk, so far
	text     int   // bytes of its lines
	given    int64
	problems []rowProblem
}

// rowProblem is what is wrong with a row of the chunk.
type rowProblem struct {
	row int
	format.Problem
}

func (s *spanReader) read(ctx context.Context, span block) error {
	s.ctx, s.span, s.at = ctx, span, span.from
	// No more than the span has: of many small files each had a quarter of a MiB to collect.
	if need := pad + int(min(pieceBytes, span.to-span.from)) + 2*pad; len(s.buffer) < need {
		s.buffer = make([]byte, need)
	}
	s.begin()
	filled := pad
	for s.at < span.to {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := int(min(int64(len(s.buffer)-2*pad-filled), span.to-s.at-int64(filled-pad)))
		if err := s.table.text.read(ctx, s.buffer[filled:filled+n], s.at+int64(filled-pad)); err != nil {
			return err
		}
		filled += n
		last := s.at+int64(filled-pad) == span.to
		next, err := s.take(filled, last)
		if err != nil {
			return err
		}
		s.lines += int64(bytes.Count(s.buffer[pad:next], []byte{'\n'}))
		s.at += int64(next - pad)
		if s.skipping {
			if err := s.skipLine(ctx); err != nil {
				return err
			}
			filled = pad
			continue
		}
		filled = pad + copy(s.buffer[pad:], s.buffer[next:filled])
		if last && next == pad && filled > pad {
			return fmt.Errorf("%w: a record does not end where it did", format.ErrChanged)
		}
		if next == pad { // a record is longer than the buffer
			s.buffer = append(s.buffer, make([]byte, len(s.buffer))...)
		}
	}
	if err := s.table.text.leave(span.from, span.to); err != nil {
		return err
	}
	if err := s.table.text.intact(); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	if s.given != span.rows {
		return fmt.Errorf("%w: it had %d rows and has %d", format.ErrChanged, span.rows, s.given)
	}
	return nil
}

// take makes columns of the records of the buffer, up to filled, and says where they
// end.
func (s *spanReader) take(filled int, last bool) (next int, err error) {
	s.piece.valid = validUTF8(s.buffer[pad:filled], !last)
	for at := pad; ; {
		most := min(pieceRows, s.most-s.rows)
		next, s.skipping = s.tokens.Next(s.piece.Fields, s.buffer[:filled], at, most, last)
		for _, b := range s.piece.Bad {
			s.badRecord(b)
		}
		for i, c := range s.made {
			c.convert(&s.piece, i)
		}
		s.rows += s.piece.Rows
		s.text += next - at
		if s.rows >= s.most || int64(s.text) >= s.mostText {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
		if next == at || s.skipping {
			return next, nil
		}
		at = next
	}
}

// skipLine goes on behind the end of a line that is no record.
func (s *spanReader) skipLine(ctx context.Context) error {
	s.skipping = false
	for s.at < s.span.to {
		text := s.buffer[pad : pad+min(int64(pieceBytes), s.span.to-s.at)]
		if err := s.table.text.read(ctx, text, s.at); err != nil {
			return err
		}
		if lf := bytes.IndexByte(text, '\n'); lf >= 0 {
			s.at += int64(lf) + 1
			s.lines++
			return nil
		}
		s.at += int64(len(text))
	}
	return nil
}

func (s *spanReader) begin() {
	s.most = int(max(min(int64(s.opts.ChunkRows), s.span.rows-s.given), 1)) // blank lines may follow the last
	s.mostText = min(s.opts.ChunkBytes, int64(cachedBytes+cachedColumn*len(s.made)))
	for _, c := range s.made {
		c.begin(s.most)
	}
	s.rows, s.text, s.problems = 0, 0, nil
}

// reset prepares for another span, whatever became of the last.
func (s *spanReader) reset(yield func(arrow.RecordBatch) error) {
	for _, c := range s.made {
		c.drop()
	}
	s.yield, s.lines, s.line, s.skipping, s.failed, s.given = yield, 0, 0, false, nil, 0
}

// flush gives the rows of the chunk.
func (s *spanReader) flush() error {
	if s.failed != nil || s.rows == 0 {
		return s.failed
	}
	if len(s.problems) > 0 { // they may be of what is left of the file
		if err := s.table.text.intact(); err != nil {
			return err
		}
	}
	if len(s.problems) > 0 && !s.asked {
		p := s.problems[0]
		return fmt.Errorf("%w: line %d: %s", format.ErrDamaged, p.Line, p.words())
	}
	s.given += int64(s.rows)
	finished := make([]arrow.Array, len(s.made))
	for i, c := range s.made {
		finished[i] = c.finish()
		defer finished[i].Release()
	}
	arrays := make([]arrow.Array, len(s.columns))
	for i, at := range s.place {
		if at >= 0 {
			arrays[i] = finished[at]
			continue
		}
		arrays[i] = s.problemArray()
		defer arrays[i].Release()
	}
	batch := array.NewRecordBatch(s.schema, arrays, int64(s.rows))
	defer batch.Release()
	err := s.yield(batch)
	s.begin()
	return err
}

// problemArray is the column of problems of the chunk's rows.
func (s *spanReader) problemArray() arrow.Array {
	b := array.NewStringBuilder(s.opts.Allocator)
	defer b.Release()
	slices.SortStableFunc(s.problems, func(a, b rowProblem) int { return cmp.Compare(a.row, b.row) })
	row := 0
	for _, p := range s.problems {
		if p.row < row {
			continue // the row's first is enough
		}
		b.AppendNulls(p.row - row)
		b.Append(p.String())
		row = p.row + 1
	}
	b.AppendNulls(s.rows - row)
	return b.NewArray()
}

// badRecord notes that a row of the piece is none.
func (s *spanReader) badRecord(b BadRecord) {
	s.problem(b.Row, format.Problem{Reason: "the line " + b.Reason, Advice: "correct the line"})
}

// badValue notes that a row of the piece has a value that does not fit.
func (s *spanReader) badValue(row, field int, value []byte, why string) {
	column := s.wanted[field]
	p := format.Problem{Column: s.table.names[column], Advice: s.table.advice(column, value)}
	if why == "" {
		why = "is no " + TypeName(s.table.schema.Field(column).Type)
	}
	p.Reason = strings.ToValidUTF8(shortText(value)+" "+why, "\uFFFD")
	s.problem(row, p)
}

func (s *spanReader) problem(row int, p format.Problem) {
	from, to := int(s.piece.Starts[row]), int(s.piece.Starts[row+1])
	p.Line = s.lineOf(from)
	text := bytes.TrimRight(s.piece.Text[from:to], "\r\n")
	p.Text = strings.ToValidUTF8(string(text[:min(len(text), format.MostProblemText)]), "\uFFFD")
	s.problems = append(s.problems, rowProblem{s.rows + row, p})
}

// words are a problem for an error.
func (p *rowProblem) words() string {
	if p.Column != "" {
		return fmt.Sprintf("column %q: %s; %s", p.Column, p.Reason, p.Advice)
	}
	return p.Reason + "; " + p.Advice
}

// lineOf is the number of the line that begins at an offset of the buffer.
func (s *spanReader) lineOf(at int) int64 {
	if s.line == 0 {
		var err error
		if s.line, err = s.table.index.lineOf(s.ctx, s.span.from); err != nil {
			s.failed = errors.Join(s.failed, err)
		}
	}
	return s.line + s.lines + int64(bytes.Count(s.buffer[pad:at], []byte{'\n'}))
}
