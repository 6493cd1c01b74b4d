package table

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// reasons is how many columns of a file of rejects say where a row is and why it was
// rejected: file, row, column, stage and reason.
const reasons = 5

// EachReject gives the rows of a publication's rejects, which are borrowed; none where it
// has no file of them.
func (p *Publication) EachReject(ctx context.Context, yield func(rows arrow.RecordBatch) error) (err error) {
	if p.Rejects == "" {
		return nil
	}
	in, err := parquetfile.Open(p.Rejects, format.ReadOptions{}) //nolint:contextcheck // a file of this machine
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	columns := make([]int, in.Schema().NumFields())
	for i := range columns {
		columns[i] = i
	}
	for span := range in.Spans() {
		if err := in.ReadSpan(ctx, span, columns, yield); err != nil {
			return err
		}
	}
	return nil
}

// RejectValues are a rejected row as a table has it: the run, what says where it is and why,
// cleaned as the database needs it of a row that may have been rejected for what it has in
// it, and all other columns, which differ from run to run, as JSON.
func RejectValues(run string, rows arrow.RecordBatch, row int, clean func(text string) string) []any {
	values := []any{run}
	for i := range reasons {
		value := rows.Column(i).GetOneForMarshal(row)
		if text, ok := value.(string); ok {
			value = clean(text)
		}
		values = append(values, value)
	}
	others := make(map[string]any, int(rows.NumCols())-reasons)
	for i := reasons; i < int(rows.NumCols()); i++ {
		others[rows.ColumnName(i)] = rows.Column(i).GetOneForMarshal(row)
	}
	text, err := json.Marshal(others)
	if err != nil { // of a value that JSON has nothing for
		text, _ = json.Marshal(map[string]string{"error": err.Error()}) // of texts there is none
	}
	return append(values, string(text))
}
