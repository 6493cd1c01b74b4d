package dataset

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
)

// OfStream is a dataset of one file that is read once, elsewhere, as it comes: it has the
// schema, and one span of no rows until Ended says how many there were. Its ReadSpan
// reads nothing.
func OfStream(name string, schema *arrow.Schema) *Dataset {
	opts := Options{}
	opts.EnsureDefaults()
	src := &source{path: name, shape: newShape(schema), spans: make([]format.Span, 1), nulls: make([]int64, schema.NumFields())}
	src.info = FileInfo{Path: name, Format: format.ArrowStream, Spans: 1}
	for i := range src.nulls {
		src.nulls[i] = -1
	}
	// Not among unique: there is no file to close, or to ask whether it has changed.
	d := &Dataset{files: []*source{src}, shape: src.shape, pool: newPool(opts)}
	d.pool.lines = newLines(context.Background(), &opts) // of no file
	return d
}

// Ended says how many rows and bytes a dataset of OfStream had. Nobody may read it
// meanwhile.
func (d *Dataset) Ended(rows, bytes int64) {
	src := d.files[0]
	src.spans[0] = format.Span{Rows: rows, Bytes: bytes}
	src.info.Rows, src.info.Bytes, src.info.Size = rows, bytes, bytes
	d.rows = rows
}
