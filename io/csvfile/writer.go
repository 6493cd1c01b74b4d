package csvfile

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/rowtext"
)

var _ format.NewWriterFunc = NewWriter

// NewWriter writes a header of the schema's column names and then the rows of
// each batch. opts.Compression is none (or empty), gzip or zstd; any other
// gives an error that wraps rowtext.ErrCodec. A type without a text form gives one that
// wraps format.ErrColumnType.
func NewWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (format.Writer, error) {
	fields := rowtext.Fields{Delimiter: ',', Guarded: opts.SpreadsheetSafe, Alone: schema.NumFields() == 1}
	if opts.Delimiter != 0 {
		fields.Delimiter = opts.Delimiter
	}
	layout := rowtext.Layout{Name: "CSV", After: "\n", Column: func(a arrow.Array) (rowtext.Append, error) { return rowtext.CSV(a, fields) }}
	for i, f := range schema.Fields() {
		var before []byte
		if i > 0 {
			before = []byte{fields.Delimiter}
		}
		layout.Before = append(layout.Before, before)
		layout.Head = fields.Append(append(layout.Head, before...), f.Name)
	}
	layout.Head = append(layout.Head, '\n')
	return rowtext.NewWriter(w, schema, layout, opts)
}
