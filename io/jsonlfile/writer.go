package jsonlfile

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/rowtext"
)

var _ format.NewWriterFunc = NewWriter

// NewWriter writes the rows of each batch. opts.Compression is none (or empty), gzip or
// zstd; any other gives an error that wraps rowtext.ErrCodec. A type without a text form
// gives one that wraps format.ErrColumnType.
func NewWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (format.Writer, error) {
	layout := rowtext.Layout{Name: "JSON Lines", After: "}\n", Column: rowtext.JSON}
	for i, f := range schema.Fields() {
		before := []byte{','}
		if i == 0 {
			before = []byte{'{'}
		}
		layout.Before = append(layout.Before, append(rowtext.AppendString(before, f.Name), ':'))
	}
	if schema.NumFields() == 0 {
		layout.After = "{}\n"
	}
	return rowtext.NewWriter(w, schema, layout, opts)
}
