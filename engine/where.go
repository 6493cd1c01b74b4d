package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// Rows that do not pass the filter never reach a batch:
//
//	plan      Prune judges each span by its statistics: none passes, all do, or some
//	          may; a span of which none does is never read
//	reader    a sieve takes the others' rows out of each record batch as it is read,
//	          and keeps the numbers of those that stay
//	lane      counts what was taken out, by span, for the ledger
//
// Since the rows are gone before batches are cut, batches hold rows that pass alone,
// and their edges are those of the plan and the data.

// where is a plan's filter.
type where struct {
	filter   *filter.Filter
	at       []int              // of the filter's columns in Plan.Columns
	verdicts [][]filter.Verdict // by file and span
	problems int                // of lines, in Plan.Columns; -1 where no file is one of lines
}

// addColumn puts a column among those that are read, unless it is there, and says
// where it is.
func (p *Plan) addColumn(name string) int {
	at := slices.Index(p.Columns, name)
	if at < 0 {
		at = len(p.Columns)
		p.Columns = append(p.Columns, name)
	}
	return at
}

// fitWhere parses the filter, has its columns read, and judges the spans.
func (p *Plan) fitWhere(schema *arrow.Schema) error {
	if p.Options.Where == "" {
		return nil
	}
	f, err := filter.Parse(p.Options.Where, schema)
	if err != nil {
		return fmt.Errorf("%w: --where: %w", ErrUsage, err)
	}
	w := &where{filter: f, problems: -1}
	for _, name := range f.Columns() {
		w.at = append(w.at, p.addColumn(name))
	}
	w.verdicts = make([][]filter.Verdict, len(p.Dataset.Files()))
	for file := range w.verdicts {
		w.verdicts[file] = make([]filter.Verdict, len(p.Dataset.Spans(file)))
		for span := range w.verdicts[file] {
			w.verdicts[file][span] = f.Prune(p.statistics(f, file, span))
		}
	}
	p.where = w
	return nil
}

// statistics are what is known of the filter's columns in one span.
func (p *Plan) statistics(f *filter.Filter, file, span int) func(column int) filter.Stats {
	names, rows := f.Columns(), p.Dataset.Spans(file)[span].Rows
	return func(column int) filter.Stats {
		s := p.Dataset.Statistics(file, span, names[column])
		return filter.Stats{Rows: rows, Nulls: s.Nulls, Min: s.Min, Max: s.Max}
	}
}

// verdict is what is known of a span; a plan without a filter passes all.
func (w *where) verdict(ref dataset.SpanRef) filter.Verdict {
	if w == nil {
		return filter.All
	}
	return w.verdicts[ref.File][ref.Span]
}

// passingRows are the rows that a span has at most after the filter.
func (w *where) passingRows(ref dataset.SpanRef) int64 {
	if w.verdict(ref) == filter.None {
		return 0
	}
	return ref.Rows
}

// batches are how many the run had: by the plan, or, where a filter decides, those that
// this start scored.
func (c *collector) batches() int64 {
	if c.plan.where == nil {
		return c.plan.Batches()
	}
	return c.progress.batches.Load()
}

// columnNames are the columns of the filter; none without one.
func (w *where) columnNames() []string {
	if w == nil {
		return nil
	}
	return w.filter.Columns()
}

// over is the same filter for record batches of these columns, the filter's among them.
func (w *where) over(names []string) *where {
	if w == nil {
		return nil
	}
	o := &where{filter: w.filter, verdicts: w.verdicts, problems: slices.Index(names, format.ProblemField.Name)}
	for _, name := range w.filter.Columns() {
		o.at = append(o.at, slices.Index(names, name))
	}
	return o
}

// sieve takes rows out of the record batches of one span; it belongs to one goroutine.
type sieve struct {
	where *where
	eval  *filter.Evaluator // nil where every row passes
	file  int
	row   int64 // in the file, of the next record batch
}

// newSieve is for a span that is about to be read.
func (w *where) newSieve(ref dataset.SpanRef) *sieve {
	s := &sieve{where: w, file: ref.File, row: ref.FirstRow}
	if w.verdict(ref) == filter.Some {
		s.eval = w.filter.NewEvaluator()
	}
	return s
}

// liveSieve is for a stream, of whose rows nothing is known before they come.
func (w *where) liveSieve() *sieve {
	s := &sieve{where: w}
	if w != nil {
		s.eval = w.filter.NewEvaluator()
	}
	return s
}

// close gives up what the sieve has seen; it is idempotent.
func (s *sieve) close() {
	if s.eval != nil {
		s.eval.Close()
	}
}

// sift gives the rows of the span's next record batch that pass, which the caller
// releases; their record is nil where none does. It borrows the record batch.
func (s *sieve) sift(record arrow.RecordBatch) (chunk, error) {
	origin := batcher.Origin{File: s.file, Row: s.row}
	s.row += record.NumRows()
	if s.eval != nil {
		columns := make([]arrow.Array, len(s.where.at))
		for i, at := range s.where.at {
			columns[i] = record.Column(at)
		}
		passed, _ := s.eval.Eval(columns, int(record.NumRows()))
		if s.where.problems >= 0 {
			keepProblems(passed, record.Column(s.where.problems).(*array.String))
		}
		if int64(passed.Count()) < record.NumRows() {
			return taken(record, passed, origin)
		}
	}
	record.Retain()
	return chunk{record: record, origin: origin}, nil
}

// taken are the selected rows of a record batch.
func taken(record arrow.RecordBatch, rows filter.Selection, origin batcher.Origin) (chunk, error) {
	n := rows.Count()
	if n == 0 {
		return chunk{}, nil
	}
	few, err := rows.Take(record)
	if err != nil {
		return chunk{}, fmt.Errorf("%w: --where: rows cannot be taken out: %w", ErrUsage, err)
	}
	numbers := make([]int64, 0, n)
	for row := range rows.Rows {
		numbers = append(numbers, origin.Row+int64(row))
	}
	origin.Row = numbers[0]
	return chunk{record: few, origin: origin, numbers: numbers}, nil
}

// readPassing reads columns of a span, and gives its rows that pass the filter as chunks,
// which yield borrows. What the filter needs besides follows the columns asked for, and
// then the problems of lines.
func (p *Plan) readPassing(ctx context.Context, span dataset.SpanRef, columns []string, yield func(c *chunk) error) error {
	if p.where.passingRows(span) == 0 {
		return nil
	}
	names := slices.Clone(columns)
	for _, name := range p.where.columnNames() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if p.lines != nil && !slices.Contains(names, format.ProblemField.Name) {
		names = append(names, format.ProblemField.Name)
	}
	sieve := p.where.over(names).newSieve(span)
	defer sieve.close()
	return p.Dataset.ReadSpan(ctx, span, names, func(r arrow.RecordBatch) error {
		c, err := sieve.sift(r)
		if err != nil || c.record == nil {
			return err
		}
		defer c.record.Release()
		return yield(&c)
	})
}

// chunk is rows that were read and pass the filter, and where they lie. It owns a
// reference to its record.
type chunk struct {
	record  arrow.RecordBatch
	origin  batcher.Origin // of its first row
	numbers []int64        // in the file, where rows were taken out
}

// segment is all rows of the chunk; it aliases the record.
func (c *chunk) segment() batcher.Segment {
	s := batcher.Whole(c.record, c.origin)
	s.Numbers = c.numbers
	return s
}

func (c *chunk) rows() int64 { return c.record.NumRows() }

func releaseChunks(chunks []chunk) {
	for _, c := range chunks {
		c.record.Release()
	}
}

func rowsOf(chunks []chunk) (n int64) {
	for i := range chunks {
		n += chunks[i].rows()
	}
	return n
}

// joinChunks makes one chunk of several of one span, so that what a filter leaves over
// does not reach batches in crumbs. It takes them over; where they cannot be joined
// they stay as they are.
func joinChunks(chunks []chunk) []chunk {
	if len(chunks) < 2 {
		return chunks
	}
	records := make([]arrow.RecordBatch, len(chunks))
	for i := range chunks {
		records[i] = chunks[i].record
	}
	record, err := joinRecords(records)
	if err != nil {
		return chunks
	}
	whole := chunk{origin: chunks[0].origin, record: record, numbers: make([]int64, 0, record.NumRows())}
	for _, c := range chunks {
		if c.numbers != nil {
			whole.numbers = append(whole.numbers, c.numbers...)
			continue
		}
		for row := range c.record.NumRows() {
			whole.numbers = append(whole.numbers, c.origin.Row+row)
		}
	}
	releaseChunks(chunks)
	return []chunk{whole}
}

// errFiltered says in words why there is no trial: the filter leaves too little of what
// it may read.
var errFiltered = errors.New("too few of the first rows pass the filter to measure on")
