package lines

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// reader implements format.Reader over a table of its Set. The column of problems has
// the index after the schema's last.
type reader struct {
	table  *table
	opts   format.ReadOptions
	kept   *recycle.Buffers // of columns
	closed sync.Once

	mu struct {
		sync.Mutex

		free []*spanReader
	}
}

// keptBytes are kept at most of columns whose batches are gone, for the next ones.
const keptBytes = 16 << 20

// newReader reads a table that is open.
func newReader(t *table, opts format.ReadOptions) *reader {
	return &reader{table: t, opts: opts, kept: recycle.OfReaders(opts.Allocator, keptBytes)}
}

// Format implements format.Reader.
func (r *reader) Format() format.Name { return r.table.syntax.Format() }

// Schema implements format.Reader. Before types are settled it has none.
func (r *reader) Schema() *arrow.Schema {
	if r.table.schema == nil {
		return arrow.NewSchema(nil, nil)
	}
	return r.table.schema
}

// Spans implements format.Reader.
func (r *reader) Spans() []format.Span {
	spans := make([]format.Span, len(r.table.index.spans))
	for i, s := range r.table.index.spans {
		spans[i] = format.Span{Rows: s.rows, Bytes: s.to - s.from}
	}
	return spans
}

// NullCount implements format.Reader: text does not say.
func (*reader) NullCount(int) (nulls int64, ok bool) { return 0, false }

// Statistics implements format.Reader: text has none.
func (*reader) Statistics(_, _ int) format.Statistics { return format.Unknown() }

// Changed implements format.Reader.
func (r *reader) Changed() error { return r.table.text.changed() }

// Close implements format.Reader. It is idempotent.
func (r *reader) Close() error {
	r.closed.Do(func() {
		r.table.text.close()
		r.kept.Leave()
	})
	return nil
}

// ReadSpan implements format.Reader. A row with a problem is an error that wraps
// format.ErrDamaged, unless the column of problems is asked for, which has it then.
func (r *reader) ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	if span < 0 || span >= len(r.table.index.spans) {
		return fmt.Errorf("%s has no span %d", r.table.text.path, span)
	}
	var given error
	err := guarded(func() error {
		s := r.take(columns)
		defer r.give(s)
		s.yield = func(b arrow.RecordBatch) error {
			given = yield(b)
			return given
		}
		return s.read(ctx, r.table.index.spans[span])
	})
	if err == nil || given != nil {
		return given
	}
	return fmt.Errorf("read %s: span %d: %w", r.table.text.path, span, err)
}

// take gives what reads one span, one that was used before if there is one.
func (r *reader) take(columns []int) *spanReader {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.mu.free {
		if slices.Equal(s.columns, columns) && slices.Equal(s.checked, r.table.set.checked) {
			r.mu.free = slices.Delete(r.mu.free, i, i+1)
			return s
		}
	}
	return r.newSpanReader(columns)
}

// mostFree is how many that are not used are kept: as many as read different columns at
// different times.
const mostFree = 16

func (r *reader) give(s *spanReader) {
	s.reset(nil)
	if len(s.buffer) > 2*pieceBytes {
		s.buffer = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.free) < mostFree {
		r.mu.free = append(r.mu.free, s)
	}
}

// newSpanReader makes what reads one span.
func (r *reader) newSpanReader(columns []int) *spanReader {
	t := r.table
	s := &spanReader{table: t, opts: &r.opts, columns: slices.Clone(columns), checked: t.set.checked}
	var wanted []int                    // in the order in which their problems are looked for
	at := make([]int, len(t.names))     // of a column among them
	known := make([]bool, len(t.names)) // that a column is one of them
	want := func(column int) {
		if !known[column] {
			known[column], wanted = true, append(wanted, column)
		}
	}
	for _, c := range columns {
		if c < len(t.names) {
			want(c)
		} else {
			s.asked = true
		}
	}
	if s.asked {
		for _, name := range t.set.checked {
			if c := t.schema.FieldIndices(name); len(c) > 0 {
				want(c[0])
			}
		}
		slices.Sort(wanted) // the first problem of a row does not depend on what is read
	}
	s.wanted = wanted
	for i, c := range wanted {
		at[c] = i
	}
	fields := make([]arrow.Field, len(columns))
	s.place = make([]int, len(columns))
	for i, c := range columns {
		if fields[i], s.place[i] = format.ProblemField, -1; c < len(t.names) {
			fields[i], s.place[i] = t.schema.Field(c), at[c]
		}
	}
	s.schema = arrow.NewSchema(fields, nil)
	for _, c := range wanted {
		s.made = append(s.made, newColumn(recycle.Allocator{Buffers: r.kept}, t.schema.Field(c).Type, t.forms))
	}
	s.tokens = t.syntax.Tokenizer(t.names, wanted, t.set.opts.MaxLineBytes)
	s.piece = piece{Fields: &Fields{}, tokens: s.tokens, nulls: t.set.nulls, bad: s.badValue, scratch: make([]byte, 0, 256)}
	return s
}
