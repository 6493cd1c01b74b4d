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
	fields := fieldsOf(schema.NumFields(), opts)
	layout := rowtext.Layout{Name: "CSV", After: "\n", Column: func(a arrow.Array) (rowtext.Append, error) { return rowtext.CSV(a, fields) }}
	names := make([]string, schema.NumFields())
	layout.Before = make([][]byte, len(names))
	for i, f := range schema.Fields() {
		if names[i] = f.Name; i > 0 {
			layout.Before[i] = []byte{fields.Delimiter}
		}
	}
	layout.Head = Header(names, opts)
	return rowtext.NewWriter(w, schema, layout, opts)
}

// Header is the header line of a file of columns of these names.
func Header(names []string, opts format.WriteOptions) (line []byte) {
	fields := fieldsOf(len(names), opts)
	for i, name := range names {
		if i > 0 {
			line = append(line, fields.Delimiter)
		}
		line = fields.Append(line, name)
	}
	return append(line, '\n')
}

func fieldsOf(columns int, opts format.WriteOptions) rowtext.Fields {
	f := rowtext.Fields{Delimiter: ',', Guarded: opts.SpreadsheetSafe, Alone: columns == 1}
	if opts.Delimiter != 0 {
		f.Delimiter = opts.Delimiter
	}
	return f
}
