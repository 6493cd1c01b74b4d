package engine

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// Rejected rows go the way of the predictions, in their order:
//
//	worker      takes the rows out of the batch, with their reasons, as soon as it is scored
//	partWriter  writes them to the part's own file, staged and committed with the part
//	collector   merges the parts' files, once all are there, into the one that is published
//
// So a finished part's rejects last as the part does, no part waits for another, and
// the one file has the input's order and the same bytes whoever wrote the parts.

// rejectForm is the table of rejected rows: why each was, then its ids and kept
// columns, then all others that the run reads, so that it can be scored again.
type rejectForm struct {
	schema *arrow.Schema
	whys   int      // columns that say why, the first ones
	at     []int    // indexes into Plan.Columns of the columns after the reasons
	files  []string // paths of the dataset's files
	nulls  bool     // some rows stay in the output, with null predictions
	drops  bool     // and of those only duplicates
	lines  int      // of the columns that say why, the first of lineFields; 0 without them
}

// reasonFields are the first columns of the table.
var reasonFields = []arrow.Field{
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64}, // from 0, in the file
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "stage", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
}

// nulledField follows them where bad rows stay in the output, since others do not even
// there: it says which do.
var nulledField = arrow.Field{Name: "nulled", Type: arrow.FixedWidthTypes.Boolean}

// newRejectForm lays the table out. What was read keeps its name, so a reason gives
// way: it gets a prefix where a column has its name, as in rejects that are scored
// again and rejected again, or where a model's input has, which would take it for a
// column of its own name. Kept columns of types that Parquet does not have are left
// out; ids and the model's are not, see checkTypes.
func (p *Plan) newRejectForm() *rejectForm {
	f := &rejectForm{nulls: p.Options.keepsNulled(), drops: p.Options.OnBadRow != BadNull}
	taken := slices.Clone(p.Columns)
	for i := range p.Binding.Bindings {
		taken = append(taken, p.Binding.Bindings[i].Input.Name)
	}
	fields := slices.Clone(reasonFields)
	if f.nulls {
		fields = append(fields, nulledField)
	}
	if p.lines != nil {
		f.lines = len(fields)
		fields = append(fields, lineFields...)
	}
	f.whys = len(fields)
	for i := range fields {
		for slices.Contains(taken, fields[i].Name) {
			fields[i].Name = "reject_" + fields[i].Name
		}
	}
	schema, bound := p.Dataset.Schema(), p.bound()
	add := func(at int, asked bool) {
		field := schema.Field(schema.FieldIndices(p.Columns[at])[0])
		if at < len(p.Binding.Columns) {
			asked = true
			if bound[field.Name] {
				field.Type = countedType(field.Type)
			}
		}
		if asked || tryWriter(parquetfile.NewWriter, arrow.NewSchema([]arrow.Field{field}, nil), format.WriteOptions{}) == nil {
			f.at, fields = append(f.at, at), append(fields, field)
		}
	}
	for i, at := range p.PassedAt {
		add(at, i < p.ids)
	}
	for i := range p.Columns {
		if !slices.Contains(p.PassedAt, i) && p.Columns[i] != format.ProblemField.Name {
			add(i, false) // what the filter and rules need, unless it is the model's
		}
	}
	f.schema = arrow.NewSchema(fields, nil)
	for _, file := range p.Dataset.Files() {
		f.files = append(f.files, file.Path)
	}
	return f
}

// bound are the columns that go into the model as they are, and not only into features.
func (p *Plan) bound() map[string]bool {
	columns := make(map[string]bool, len(p.Binding.Columns))
	for i := range p.Binding.Bindings {
		for _, f := range p.Binding.Bindings[i].Features {
			if f.Program == nil {
				columns[f.Column] = true
			}
		}
	}
	return columns
}

// countedType is the type that the model's column has in the table: its own, but for
// times in seconds. Parquet has those in milliseconds only, and as a feature they
// are a count of their unit, which must stay the same when it is scored again.
func countedType(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.Unit == arrow.Second {
			return arrow.PrimitiveTypes.Int64
		}
	case *arrow.Time32Type:
		if t.Unit == arrow.Second {
			return arrow.PrimitiveTypes.Int32
		}
	}
	return t
}

// checkUnits refuses times in seconds within other types of the model's columns: see
// countedType.
func (p *Plan) checkUnits() error {
	var within func(t arrow.DataType) bool
	within = func(t arrow.DataType) bool {
		switch t := t.(type) {
		case *arrow.DictionaryType:
			return within(t.ValueType)
		case arrow.ListLikeType:
			return within(t.Elem())
		case arrow.ExtensionType:
			return within(t.StorageType())
		}
		return countedType(t) != t
	}
	schema, bound := p.Dataset.Schema(), p.bound()
	for _, name := range p.Binding.Columns {
		if !bound[name] {
			continue
		}
		if t := schema.Field(schema.FieldIndices(name)[0]).Type; within(t) && countedType(t) == t {
			return fmt.Errorf("%w: column %q is %s, whose seconds Parquet holds as milliseconds; write the column in milliseconds", format.ErrColumnType, name, t)
		}
	}
	return nil
}

// take puts a result's rejects in order, one for each row, and takes their rows out
// of its batch, which has all columns still. Where the output keeps bad rows, their
// predictions become null.
func (f *rejectForm) take(res *result) (err error) {
	if len(res.rejects) == 0 {
		return nil
	}
	for i := range res.rejects {
		if r := &res.rejects[i]; f.drops && r.stage != stageUnique {
			r.Asked = true
		}
	}
	res.rejects = firstPerRow(res.rejects)
	res.dropped = res.rejects
	if f.nulls {
		var nulled []reject
		res.dropped = nil
		for _, r := range res.rejects {
			if r.Asked {
				res.dropped = append(res.dropped, r)
			} else {
				nulled = append(nulled, r)
			}
		}
		for i := 0; i < len(res.predictions) && len(nulled) > 0; i++ {
			res.predictions[i] = withNulls(res.predictions[i], nulled)
		}
	}
	res.rejected, err = f.records(res.batch, res.rejects)
	return err
}

// records are the table's rows of a batch's rejects: one record, or, where a
// column's type or size lets rows not be joined, one for each run of rows that lie
// side by side. The caller releases them.
func (f *rejectForm) records(batch *batcher.Batch, rejects []reject) ([]arrow.RecordBatch, error) {
	reasons, runs := f.reasons(batch, rejects)
	defer reasons.Release()
	if record, err := f.record(batch, reasons, runs); err == nil {
		return []arrow.RecordBatch{record}, nil
	}
	records := make([]arrow.RecordBatch, 0, len(runs))
	for i, r := range runs {
		piece := reasons.NewSlice(int64(r.batchRow), int64(r.batchRow+r.rows))
		record, err := f.record(batch, piece, runs[i:i+1])
		piece.Release()
		if err != nil {
			releaseRecords(records)
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// reasons are the first columns of the table, and where the rows lie: a run's row is
// that of its segment, and its batchRow the row of the reasons.
func (f *rejectForm) reasons(batch *batcher.Batch, rejects []reject) (arrow.RecordBatch, []rowRun) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(f.schema.Fields()[:f.whys], nil))
	defer b.Release()
	var runs []rowRun
	segment, first := 0, 0 // and the segment's first row in the batch
	for i, r := range rejects {
		for r.Row >= first+batch.Segments[segment].Rows {
			first += batch.Segments[segment].Rows
			segment++
		}
		s := &batch.Segments[segment]
		b.Field(0).(*array.StringBuilder).Append(f.files[s.Origin.File])
		b.Field(1).(*array.Int64Builder).Append(s.At(r.Row - first).Row)
		b.Field(2).(*array.StringBuilder).Append(r.Column)
		b.Field(3).(*array.StringBuilder).Append(r.stage)
		b.Field(4).(*array.StringBuilder).Append(r.Reason)
		if f.nulls {
			b.Field(5).(*array.BooleanBuilder).Append(!r.Asked)
		}
		if f.lines > 0 {
			appendLine(b.Field(f.lines).(*array.Int64Builder), b.Field(f.lines+1).(*array.StringBuilder), r.line)
		}
		row := r.Row - first
		if n := len(runs); n > 0 && runs[n-1].segment == segment && runs[n-1].row+runs[n-1].rows == row {
			runs[n-1].rows++
			continue
		}
		runs = append(runs, rowRun{segment: segment, row: row, batchRow: i, rows: 1})
	}
	return b.NewRecordBatch(), runs
}

// record is the one record that runs make with their reasons, which it borrows.
func (f *rejectForm) record(batch *batcher.Batch, reasons arrow.RecordBatch, runs []rowRun) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, f.schema.NumFields())
	defer func() { releaseAll(columns) }()
	for _, c := range reasons.Columns() {
		c.Retain()
		columns = append(columns, c)
	}
	segments := make([]arrow.Array, len(batch.Segments))
	for i, at := range f.at {
		for j := range batch.Segments {
			segments[j] = batch.Segments[j].Column(at)
		}
		field := f.schema.Field(f.whys + i)
		column, err := gather(segments, runs)
		releaseAll(segments)
		if err != nil {
			return nil, fmt.Errorf("column %q of rejected rows: %w", field.Name, err)
		}
		columns = append(columns, counted(column, field.Type))
	}
	return array.NewRecordBatch(f.schema, columns, reasons.NumRows()), nil
}

// counted gives an array, which it takes over, another type of the same bytes.
func counted(a arrow.Array, t arrow.DataType) arrow.Array {
	if arrow.TypeEqual(a.DataType(), t) {
		return a
	}
	defer a.Release()
	d := a.Data()
	data := array.NewData(t, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}
