package engine

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// readingBack is how the files of an output are read again.
type readingBack struct {
	options dataset.Options
	form    written
}

// readBack reads a manifest: which columns are in folders, and of text which types they
// have. Of types that readers of text do not have, values are read as the text that they
// are. Its error wraps ledger.ErrUnsound or ledger.ErrManifest.
func readBack(m *ledger.Manifest) (back readingBack, err error) {
	if back.options.Partitions, err = partitionsOf(m); err != nil {
		return back, err
	}
	name, err := recordedSetting[format.Name](m, "output_format")
	if err != nil || !name.IsText() {
		return back, err
	}
	back.form.text, back.form.json = true, name == format.JSONLines
	if back.form.guarded, err = recordedSetting[bool](m, "spreadsheet_safe"); err != nil {
		return back, err
	}
	read := lines.Options{Header: lines.HeaderFirst, Nested: lines.NestedText}
	if read.Delimiter, err = recordedSetting[string](m, "output_delimiter"); err != nil {
		return back, err
	}
	for _, c := range m.Schema {
		if !slices.Contains(m.PartitionBy, c.Name) {
			read.Types = append(read.Types, lines.ColumnType{Name: back.form.name(c.Name), Type: lineType(c.Type)})
		}
	}
	back.options.Format, back.options.Lines = name, read
	return back, nil
}

// OpenPublished opens the first rows of a run's output to be read: those of its first file, or
// so many of a table.
func (o *Options) OpenPublished(ctx context.Context, m *ledger.Manifest, rows int) (*dataset.Dataset, error) {
	h, of, err := o.Places.openHistory(ctx, o.Output)
	if err != nil {
		return nil, err
	}
	if of != nil {
		input, err := of.RowsOf(o.Output, sink.RowQuery{Run: m.Run, Columns: m.Schema, Most: rows})
		if err != nil {
			return nil, err
		}
		return openRows(ctx, o.Stores, input)
	}
	back, err := readBack(m)
	if err != nil {
		return nil, err
	}
	path, err := h.Path(m.Outputs[0].Name)
	if err != nil {
		return nil, err
	}
	back.options.Stores = o.Stores
	return dataset.Open(ctx, []string{path}, back.options)
}

// dictionaryValues finds the type of a dictionary's values in Arrow's name for it.
var dictionaryValues = regexp.MustCompile(`^dictionary<values=(.+), indices=`)

// lineType is the type by which text is read, from Arrow's name for that of what was written.
func lineType(name string) arrow.DataType {
	if values := dictionaryValues.FindStringSubmatch(name); values != nil {
		name = values[1]
	}
	switch name {
	case arrow.FixedWidthTypes.Date32.Name():
		return arrow.FixedWidthTypes.Date32
	case arrow.FixedWidthTypes.Float16.Name(): // the shortest digits of 16 bits are others of 32
		return arrow.BinaryTypes.String
	}
	if strings.HasPrefix(name, "timestamp") {
		name = strings.Replace(name, ", tz=", ", ", 1)
	}
	if t, err := lines.ParseType(name); err == nil {
		return t
	}
	return arrow.BinaryTypes.String
}
