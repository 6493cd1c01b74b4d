package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// A line that is no row of its file, or has a value that its column's type cannot hold,
// is a bad row, before anything else is asked of it:
//
//	reader   gives it with nulls, and says what is wrong in the column of problems
//	sieve    lets it pass, since nobody can say what the filter would have
//	unique   passes over it: it has no key
//	worker   rejects it at the stage "read", or fails the run
//
// What is a problem depends on the columns that the run needs, and not on those that a
// pass over the rows happens to read.

// stageRead rejects rows whose lines cannot be read as rows.
const stageRead = "read"

// lineFields follow the reasons in the table of rejects where files of lines are read:
// where a line stands in its file, from 1, and the beginning of its text; null for rows
// that are rejected at a later stage.
var lineFields = []arrow.Field{
	{Name: "line", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "line_text", Type: arrow.BinaryTypes.String, Nullable: true},
}

// inputFormat is the format that all inputs are said to have; empty for none.
func (o *Options) inputFormat() (format.Name, error) {
	name, err := dataset.LinesFormat(o.InputFormat)
	if err != nil {
		return "", fmt.Errorf("--%w", err)
	}
	return name, nil
}

// usage marks an error about what was said of files of lines.
func usage(err error) error {
	if errors.Is(err, lines.ErrOptions) {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return err
}

// lineReading is how a plan reads files of lines.
type lineReading struct {
	problems int                // the column of problems, in Plan.Columns
	types    []lines.ColumnType // of the columns that the run needs
}

// fitLines has problems of lines read, after all other columns are known.
func (p *Plan) fitLines() {
	if !p.Dataset.HasLines() {
		return
	}
	needed := slices.Concat(p.Columns, p.Options.Unique.Columns)
	p.Dataset.CheckLines(needed)
	p.lines = &lineReading{types: p.Dataset.LineTypes(needed), problems: p.addColumn(format.ProblemField.Name)}
	if p.where != nil {
		p.where.problems = p.lines.problems
	}
}

// aboutTypes is a step of fit whose errors are mostly about types.
func (p *Plan) aboutTypes(step func(*arrow.Schema) error) func(*arrow.Schema) error {
	return func(schema *arrow.Schema) error {
		if err := step(schema); err != nil {
			return p.besideTypes(err)
		}
		return nil
	}
}

// besideTypes adds to an error, of data that do not fit, which of the columns that it
// names have a type that was inferred, and from what.
func (p *Plan) besideTypes(err error) error {
	if !p.Dataset.HasLines() {
		return err
	}
	const most = 3
	text := err.Error()
	var said []string
	more := 0
	for _, c := range p.Dataset.LineColumns() {
		switch name := strconv.Quote(c.Name); {
		case c.Given || !strings.Contains(text, name):
		case len(said) == most:
			more++
		default:
			said = append(said, fmt.Sprintf("%s is %s (%s)", name, c.Type, c.Why))
		}
	}
	if hint := p.lineHint(); hint != "" {
		err = fmt.Errorf("%w\n%s", err, hint)
	}
	if len(said) == 0 {
		return err
	}
	if more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w\nthe files are text, of which the types were inferred: %s; --types COLUMN=TYPE,... gives others, such as float32 where the model wants that, and --null-values TEXT,... says which texts stand for no value, such as NA",
		err, strings.Join(said, ", "))
}

// withTypes are what was said of files of lines, with the types that were found: a
// replay, which may open some of the files, must not find others.
func (p *Plan) withTypes() lines.Options {
	o := p.Options.Lines
	if p.lines != nil {
		o.Types = p.lines.types
	}
	return o
}

// keepProblems adds the rows that have problems to those that pass; record has the column of
// problems.
func keepProblems(passed filter.Selection, problems *array.String) {
	if problems.NullN() == problems.Len() {
		return
	}
	for row := range problems.Len() {
		if problems.IsValid(row) {
			passed.Add(row)
		}
	}
}

// withoutProblems are a chunk's rows that have none, of a record whose last column says
// so; the caller releases them. Their record is nil where there are none.
func withoutProblems(c *chunk) (chunk, error) {
	problems, ok := c.record.Column(int(c.record.NumCols()) - 1).(*array.String)
	if !ok || problems.NullN() == problems.Len() {
		c.record.Retain()
		return *c, nil
	}
	some, err := taken(c.record, filter.Select(problems.Len(), problems.IsNull), batcher.Origin{File: c.origin.File})
	if err != nil || some.record == nil {
		return some, err
	}
	segment := c.segment()
	for i, row := range some.numbers {
		some.numbers[i] = segment.At(int(row)).Row
	}
	some.origin.Row = some.numbers[0]
	return some, nil
}

// badLines lists the rows of a batch whose lines are none, or fails for the first of
// them where none may be bad.
func (w *worker) badLines(batch *batcher.Batch) (all rejects, err error) {
	reading := w.scoring.plan.lines
	if reading == nil {
		return nil, nil
	}
	first := 0 // the segment's first row in the batch
	for i := range batch.Segments {
		s := &batch.Segments[i]
		column := s.Column(reading.problems)
		problems := column.(*array.String)
		for row := 0; problems.NullN() < problems.Len() && row < s.Rows; row++ {
			if problems.IsNull(row) {
				continue
			}
			p, err := format.ParseProblem(problems.Value(row))
			if err != nil {
				column.Release()
				return nil, fmt.Errorf("%w: problem of a line: %w", ErrInternal, err)
			}
			r := reject{Reject: batcher.Reject{Row: first + row, Column: p.Column, Reason: p.Reason, Advice: p.Advice}, stage: stageRead, line: &p}
			if w.onBadRow == BadFail {
				r.Reason = fmt.Sprintf("line %d: %s", p.Line, p.Reason)
				column.Release()
				return nil, firstBad(batch, rejects{r}, nil)
			}
			all = append(all, r)
		}
		column.Release()
		first += s.Rows
	}
	return all, nil
}

// appendLine puts where a row was read wrong into the table of rejects; nil for others.
func appendLine(number *array.Int64Builder, text *array.StringBuilder, p *format.Problem) {
	if p == nil {
		number.AppendNull()
		text.AppendNull()
		return
	}
	number.Append(p.Line)
	text.Append(p.Text)
}

// ExplainedLines is how files of lines are read.
type ExplainedLines struct {
	Columns []lines.Column `json:"columns"`
}

func (p *Plan) explainLines() *ExplainedLines {
	if p.lines == nil {
		return nil
	}
	return &ExplainedLines{Columns: p.Dataset.LineColumns()}
}
