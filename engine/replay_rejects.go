package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
)

// findRejected looks for the conditions among the ids of a run's rejected rows.
func (r *replayer) findRejected(ctx context.Context, run *ledger.Recorded) (err error) {
	data, err := r.openOutput(ctx, run.Manifest.Rejects.Name, dataset.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	whys := whysOf(run.Manifest, data.Schema())
	columns := data.Schema().Fields()[whys:]
	for _, c := range r.opts.Where {
		if !slices.ContainsFunc(columns, func(f arrow.Field) bool { return f.Name == c.Column }) {
			r.Notes = append(r.Notes, fmt.Sprintf("run %s rejected %d rows, which are kept without the column %q: they were not looked through", run.Run, run.Manifest.Rejects.Rows, c.Column))
			return nil
		}
	}
	names, matches, err := r.opts.matches(data.Schema(), written{})
	if err != nil {
		return err
	}
	for i, m := range matches { // all columns are read
		matches[i].column = data.Schema().FieldIndices(names[m.column])[0]
	}
	left := r.opts.Limit - len(r.Rejected)
	return eachReject(ctx, data, fieldNames(data.Schema().Fields()), func(b arrow.RecordBatch, i int) error {
		if !meets(b, i, matches) {
			return nil
		}
		if left--; left < 0 {
			r.More = true
			return errEnough
		}
		row := rejectedRow(run.Run, b, i)
		for c := whys; c < int(b.NumCols()); c++ {
			row.Columns = append(row.Columns, ColumnValue{Column: b.ColumnName(c), Value: strings.Clone(b.Column(c).ValueStr(i))})
		}
		r.Rejected = append(r.Rejected, row)
		return nil
	})
}

func fieldNames(fields []arrow.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// eachReject gives the rows of a rejects file in order until there are no more or
// errEnough.
func eachReject(ctx context.Context, data *dataset.Dataset, columns []string, each func(b arrow.RecordBatch, i int) error) error {
	for i, f := range reasonFields {
		if fields := data.Schema().Fields(); i >= len(fields) || !isReason(fields[i], f) {
			return fmt.Errorf("%w: %q is no file of rejects: it has no column %q of %s", ledger.ErrUnsound, data.Files()[0].Path, f.Name, f.Type)
		}
	}
	for _, span := range allSpans(data) {
		err := data.ReadSpan(ctx, span, columns, func(b arrow.RecordBatch) error {
			for i := range int(b.NumRows()) {
				if err := each(b, i); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rejectedRow reads one row of a rejects file.
func rejectedRow(run string, b arrow.RecordBatch, i int) RejectedRow {
	// Copies: the texts lie in memory of the batch, which the next one takes.
	text := func(c int) string { return strings.Clone(b.Column(c).ValueStr(i)) }
	return RejectedRow{
		Run: run, Input: text(0), Row: b.Column(1).(*array.Int64).Value(i), Column: text(2), Stage: text(3), Reason: text(4),
	}
}

// whysOf is how many of the first columns of a run's rejects say why.
func whysOf(m *ledger.Manifest, schema *arrow.Schema) int {
	n := len(reasonFields)
	if hasNulled(m, schema) {
		n++
	}
	if at := n + len(lineFields); schema.NumFields() >= at && isReason(schema.Field(n), lineFields[0]) && isReason(schema.Field(at-1), lineFields[1]) {
		n = at
	}
	return min(n, schema.NumFields())
}

// hasNulled says whether a run's rejects tell which of them stand in the output: runs of
// earlier versions did not.
func hasNulled(m *ledger.Manifest, schema *arrow.Schema) bool {
	n := len(reasonFields)
	return keepsNulled(m) && schema.NumFields() > n && isReason(schema.Field(n), nulledField)
}

// isReason says whether a field is one of the columns that say why, whose name may have
// given way to a column's.
func isReason(field, reason arrow.Field) bool {
	return strings.HasSuffix(field.Name, reason.Name) && arrow.TypeEqual(field.Type, reason.Type)
}

// rejectedRows gives, for each part in which rows were found, the places of its
// rejected rows that are not in the output, in order.
func (r *replayer) rejectedRows(ctx context.Context, p *replayed, found []*hit) (places map[int][]int64, err error) {
	m := p.manifest
	wanted := map[int]*leftOut{}
	for _, f := range found {
		if part := m.Parts[f.part]; part.Rejected > part.Nulled {
			wanted[f.part] = &leftOut{}
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	if m.Rejects == nil {
		return nil, fmt.Errorf("%w: the manifest counts rejected rows and names no file of them", ledger.ErrUnsound)
	}
	data, err := r.openOutput(ctx, m.Rejects.Name, dataset.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	columns := fieldNames(data.Schema().Fields()[:min(2, data.Schema().NumFields())])
	if hasNulled(m, data.Schema()) {
		columns = append(columns, data.Schema().Field(len(reasonFields)).Name)
	} else if err := tellsAnyway(m, wanted); err != nil {
		return nil, err
	}
	part, left := 0, m.Parts[0].Rejected // the file has them by part
	err = eachReject(ctx, data, columns, func(b arrow.RecordBatch, i int) error {
		for left == 0 && part+1 < len(m.Parts) {
			part++
			left = m.Parts[part].Rejected
		}
		left--
		if wanted[part] == nil {
			return nil
		}
		return wanted[part].add(p, part, b, i)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Rejects.Name, err)
	}
	places = map[int][]int64{}
	for part, w := range wanted {
		if rows := m.Parts[part]; w.rows != rows.Rejected || int64(len(w.places)) != rows.Rejected-rows.Nulled {
			return nil, fmt.Errorf("%w: %s has %d of the %d rejected rows of part %d, and %d of the %d that are not in the output",
				ledger.ErrUnsound, m.Rejects.Name, w.rows, rows.Rejected, part, len(w.places), rows.Rejected-rows.Nulled)
		}
		places[part] = w.places
	}
	return places, nil
}

// tellsAnyway returns an error where, of a part's rejected rows, some stand in the output
// and others do not, and nothing tells which.
func tellsAnyway(m *ledger.Manifest, wanted map[int]*leftOut) error {
	for part := range wanted {
		if rows := m.Parts[part]; rows.Nulled > 0 {
			return fmt.Errorf("%w: of the rejected rows of part %d, %d stand in the output with null predictions and %d do not, and the millrace that made it (%s) did not record which, so that it cannot be told which row is which",
				ErrUsage, part, rows.Nulled, rows.Rejected-rows.Nulled, m.Versions.Millrace)
		}
	}
	return nil
}

// leftOut gathers the places of a part's rejected rows that are not in the output.
type leftOut struct {
	walk   placeWalk
	rows   int64 // rejected ones, wherever they are
	places []int64
}

// add takes the i-th row of a batch of file, row and, where it is told, nulled.
func (o *leftOut) add(p *replayed, part int, b arrow.RecordBatch, i int) error {
	file, row := b.Column(0).ValueStr(i), b.Column(1).(*array.Int64).Value(i)
	place, ok, err := o.walk.next(p, part, fileRow{file, row})
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: it lists row %d of %q among the rejects of part %d, which has no such row", ledger.ErrUnsound, row, file, part)
	}
	o.rows++
	if b.NumCols() < 3 || !b.Column(2).(*array.Boolean).Value(i) {
		o.places = append(o.places, place)
	}
	return nil
}

// placeWalk goes through a part's spans along its rejected rows, which are in the
// same order: a file that is read twice has its rows twice.
type placeWalk struct {
	span  int
	first int64 // the place of that span's first row
	after int64 // places up to here are past
}

// fileRow is a row of a file.
type fileRow struct {
	file string
	row  int64
}

// next gives the place of a row in a part.
func (w *placeWalk) next(p *replayed, part int, at fileRow) (place int64, ok bool, err error) {
	l := p.layout
	spans := l.parts[part].Spans
	for ; w.span < len(spans); w.span++ {
		s := spans[w.span]
		if at.row >= s.FirstRow && at.row < s.FirstRow+s.Rows && sameFile(l.files[s.File], at.file) {
			n, passes, err := p.rank(s, at.row)
			if err != nil {
				return 0, false, err
			}
			if place := w.first + n; passes && place >= w.after {
				w.after = place + 1
				return place, true, nil
			}
		}
		rows := l.rowsOf(s)
		if w.first > math.MaxInt64-rows {
			break
		}
		w.first += rows
	}
	return 0, false, nil
}

// sameFile says that a path, as a run was given it, is that of an absolute one:
// what it was relative to is not recorded.
func sameFile(absolute, given string) bool {
	if given == absolute { // a URI too, which Clean would change
		return true
	}
	given = filepath.Clean(given)
	if filepath.IsAbs(given) {
		return given == absolute
	}
	up := ".." + string(filepath.Separator)
	for strings.HasPrefix(given, up) {
		given = given[len(up):]
	}
	return strings.HasSuffix(absolute, string(filepath.Separator)+given)
}
