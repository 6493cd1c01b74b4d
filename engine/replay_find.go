package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// hit is a row of an output that meets the conditions.
type hit struct {
	run  *ledger.Recorded
	part int
	file string // of the output, as the manifest names it
	row  int64  // in that file
	// first is the part's first row in that file: above 0 where parts are joined to one,
	// and below where the part has rows in files before it: of the same folder, if the
	// output is partitioned.
	first  int64
	folder string
	place  int64 // in the part's input; known from places on

	columns []arrow.Field
	values  []arrow.Array // of one row each; owned
	form    written       // what the output's place made of them

	like *hit // of a candidate, the row of a table that has the same ids
}

// seek finds the part of a row of a file that several were joined to.
func (h *hit) seek(parts []ledger.Rows) {
	for h.part = 0; h.part+1 < len(parts) && h.row >= h.first+parts[h.part].Written(); h.part++ {
		h.first += parts[h.part].Written()
	}
}

func releaseHits(hits []*hit) {
	for _, h := range hits {
		releaseAll(h.values)
	}
}

func (o *ReplayOptions) conditions() string {
	texts := make([]string, len(o.Where))
	for i, c := range o.Where {
		texts[i] = fmt.Sprintf("%s=%q", c.Column, c.Value)
	}
	return strings.Join(texts, " and ")
}

// find looks through the live outputs, oldest first, and through their rejects.
// What it has found is the caller's to release, with an error too.
func (r *replayer) find(ctx context.Context) (found []*hit, err error) {
	live := r.history.Live()
	slices.Reverse(live)
	inRun, inRejects := r.findInFiles, r.findRejected
	if r.rows != nil {
		inRun, inRejects = r.findInTable, r.findRejectedOfTable
	}
	for _, run := range live {
		if run.Manifest == nil {
			return found, fmt.Errorf("%w: the manifest of run %s cannot be read; see millrace verify", ledger.ErrUnsound, run.Run)
		}
		rows, err := inRun(ctx, run, r.opts.Limit-len(found)+1)
		found = append(found, rows...)
		if err != nil {
			return found, err
		}
		if len(found) > r.opts.Limit {
			r.More = true
			releaseHits(found[r.opts.Limit:])
			return found[:r.opts.Limit], nil
		}
		if run.Manifest.Rejects != nil {
			if err := inRejects(ctx, run); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

// findInFiles looks through the files of a run.
func (r *replayer) findInFiles(ctx context.Context, run *ledger.Recorded, most int) (found []*hit, err error) {
	m := run.Manifest
	back, err := readBack(m)
	if err != nil {
		return nil, err
	}
	for file := range m.Outputs {
		out := &m.Outputs[file]
		rows, err := r.findIn(ctx, out, back, most-len(found))
		for _, h := range rows {
			h.run, h.part, h.file, h.form = run, m.PartOf(file), out.Name, back.form
			switch {
			case len(m.PartFiles) > 0:
				h.first, h.folder = -m.RowsBefore(file), filepath.Dir(out.Name)
			case len(m.Outputs) < len(m.Parts):
				h.seek(m.Parts)
			}
		}
		found = append(found, rows...)
		if err != nil || len(found) == most {
			return found, err
		}
	}
	return found, nil
}

// openOutput opens a file of the output to be read.
func (r *replayer) openOutput(ctx context.Context, name string, opts dataset.Options) (*dataset.Dataset, error) {
	path, err := r.history.Path(name)
	if err != nil {
		return nil, err
	}
	opts.Stores = r.opts.Stores
	data, err := dataset.Open(ctx, []string{path}, opts)
	if errors.Is(err, lines.ErrOptions) { // which are of the manifest, and name flags
		err = errors.New("it has not the columns that its run wrote: see millrace verify")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ledger.ErrUnsound, path, err)
	}
	return data, nil
}

// findIn gives the first rows of one file that meet the conditions, with all
// their values.
func (r *replayer) findIn(ctx context.Context, out *ledger.Output, back readingBack, most int) (found []*hit, err error) {
	data, err := r.openOutput(ctx, out.Name, back.options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if size := data.Files()[0].Size; size != out.Bytes {
		r.Notes = append(r.Notes, fmt.Sprintf("%q has %d bytes, and its run wrote %d: see millrace verify", out.Name, size, out.Bytes))
	}
	found, unread, err := r.search(ctx, data, back.form, most)
	if err != nil {
		return nil, err
	}
	if unread > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%q has %d lines that are not as its run wrote them, and were not looked through: see millrace verify", out.Name, unread))
	}
	if err := fetch(ctx, data, found); err != nil {
		return found, err
	}
	for _, h := range found {
		if problem := h.value(format.ProblemField.Name); problem != nil && problem.IsValid(0) {
			return found, fmt.Errorf("%w: row %d of %q is not as its run wrote it: %s", ledger.ErrUnsound, h.row, out.Name, problemText(problem))
		}
	}
	return found, nil
}

// problemText says what is wrong with a line.
func problemText(problem arrow.Array) string {
	p, err := format.ParseProblem(problem.(*array.String).Value(0))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("line %d: column %q %s", p.Line, p.Column, p.Reason)
}

// search finds the first rows that meet the conditions. unread counts lines that are no rows
// of the file, or have values that are none.
func (r *replayer) search(ctx context.Context, data *dataset.Dataset, form written, most int) (found []*hit, unread int, err error) {
	columns, matches, err := r.opts.matches(data.Schema(), form)
	if err != nil {
		return nil, 0, err
	}
	ofLines := data.HasLines()
	if ofLines {
		columns = append(columns, format.ProblemField.Name)
	}
	for _, span := range allSpans(data) {
		row := span.FirstRow
		err := data.ReadSpan(ctx, span, columns, func(b arrow.RecordBatch) error {
			for i := range int(b.NumRows()) {
				if ofLines && b.Column(len(columns)-1).IsValid(i) {
					unread++
				}
				if meets(b, i, matches) {
					found = append(found, &hit{row: row + int64(i)})
				}
				if len(found) == most {
					return errEnough
				}
			}
			row += b.NumRows()
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, 0, err
		}
		if len(found) == most {
			break
		}
	}
	return found, unread, nil
}

func allSpans(data *dataset.Dataset) []dataset.SpanRef {
	var spans []dataset.SpanRef
	for _, part := range data.Parts(math.MaxInt64) {
		spans = append(spans, part.Spans...)
	}
	return spans
}

// fetch reads the values of rows, which are in order.
func fetch(ctx context.Context, data *dataset.Dataset, rows []*hit) error {
	fields := slices.Clone(data.Schema().Fields())
	if data.HasLines() {
		fields = append(fields, format.ProblemField)
	}
	names := fieldNames(fields)
	for _, span := range allSpans(data) {
		if len(rows) == 0 || rows[0].row >= span.FirstRow+span.Rows {
			continue
		}
		first := span.FirstRow
		err := data.ReadSpan(ctx, span, names, func(b arrow.RecordBatch) error {
			for len(rows) > 0 && rows[0].row < first+b.NumRows() {
				h := rows[0]
				h.columns = fields
				for _, column := range b.Columns() {
					// A copy: a few rows must not hold the memory of many.
					value, err := gather([]arrow.Array{column}, []rowRun{{row: int(h.row - first), rows: 1}})
					if err != nil {
						return err
					}
					h.values = append(h.values, value)
				}
				rows = rows[1:]
			}
			first += b.NumRows()
			if len(rows) == 0 || rows[0].row >= span.FirstRow+span.Rows {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

// matcher says whether the i-th value of a column is the one asked for.
type matcher func(column arrow.Array, i int) bool

// match is a condition on the columns of a record batch.
type match struct {
	column int
	same   matcher
}

func meets(b arrow.RecordBatch, row int, matches []match) bool {
	for _, m := range matches {
		if column := b.Column(m.column); column.IsNull(row) || !m.same(column, row) {
			return false
		}
	}
	return true
}

// matches are the conditions on the columns of a schema that it gives, as the output's place
// has them.
func (o *ReplayOptions) matches(schema *arrow.Schema, form written) (columns []string, matches []match, err error) {
	var problems []error
	for _, c := range o.Where {
		c.Column = form.name(c.Column)
		at := schema.FieldIndices(c.Column)
		if len(at) != 1 {
			names := fieldNames(schema.Fields())
			problems = append(problems, fmt.Errorf("--where: no column %q in the output%s; its columns: %q", c.Column, nearest.DidYouMean(c.Column, names), names))
			continue
		}
		same, err := matcherOf(schema.Field(at[0]), c, form)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if !slices.Contains(columns, c.Column) {
			columns = append(columns, c.Column)
		}
		matches = append(matches, match{column: slices.Index(columns, c.Column), same: same})
	}
	if len(problems) > 0 {
		return nil, nil, fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
	}
	return columns, matches, nil
}

// matcherOf reads a condition's value as its column's type.
func matcherOf(f arrow.Field, c Condition, form written) (matcher, error) {
	bad := fmt.Errorf("--where %s=%s: column %q is %s, which %q is none of", c.Column, c.Value, f.Name, f.Type, c.Value)
	switch id := f.Type.ID(); {
	case arrow.IsSignedInteger(id):
		want, err := strconv.ParseInt(c.Value, 10, 64)
		if err != nil {
			return nil, bad
		}
		if id == arrow.INT64 { // what most ids are
			return func(a arrow.Array, i int) bool { return a.(*array.Int64).Value(i) == want }, nil
		}
		return sameText(strconv.FormatInt(want, 10)), nil
	case arrow.IsUnsignedInteger(id):
		want, err := strconv.ParseUint(c.Value, 10, 64)
		if err != nil {
			return nil, bad
		}
		return sameText(strconv.FormatUint(want, 10)), nil
	case arrow.IsFloating(id):
		want, err := strconv.ParseFloat(c.Value, 64)
		if err != nil {
			return nil, bad
		}
		single := id != arrow.FLOAT64 || form.singles[c.Column]
		return func(a arrow.Array, i int) bool {
			got, _ := number(a, i)
			return got == want || single && float32(got) == float32(want) || math.IsNaN(got) && math.IsNaN(want)
		}, nil
	case id == arrow.STRING:
		want := form.guard(c.Value)
		return func(a arrow.Array, i int) bool { return a.(*array.String).Value(i) == want }, nil
	case id == arrow.BINARY: // as it is, or as it is shown
		return func(a arrow.Array, i int) bool {
			return string(a.(*array.Binary).Value(i)) == c.Value || a.ValueStr(i) == c.Value
		}, nil
	case id == arrow.BOOL:
		want, err := strconv.ParseBool(c.Value)
		if err != nil {
			return nil, bad
		}
		return sameText(strconv.FormatBool(want)), nil
	default:
		same, err := filter.Equals(c.Value, f)
		if err != nil {
			return nil, fmt.Errorf("--where %s=%s: %w", c.Column, c.Value, err)
		}
		if same == nil {
			same = sameText(c.Value)
		}
		return same, nil
	}
}

// sameText compares values as Arrow writes them.
func sameText(want string) matcher {
	return func(a arrow.Array, i int) bool { return a.ValueStr(i) == want }
}
