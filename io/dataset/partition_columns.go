package dataset

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// Partitions are the columns that were made of directories, with their types.
func (d *Dataset) Partitions() Partitions { return d.partitions }

// Shadowed are the partition columns that files have too: the paths' values count, and
// the files' are not read.
func (d *Dataset) Shadowed() []string { return d.shadowed }

// PartitionValue is the value that all rows of a file have in a partition column, as an
// array of one row; ok is false for other columns.
func (d *Dataset) PartitionValue(file int, column string) (value arrow.Array, ok bool) {
	at := d.partitions.index(column)
	if at < 0 {
		return nil, false
	}
	return ownArray(d.files[file].partition[at]), true
}

// ownArray is another array of the same memory: arrays remember what they are first
// asked, and files share values.
func ownArray(value arrow.Array) arrow.Array { return array.MakeFromData(value.Data()) }

// partitionFields puts the partition columns behind the files' own, in place of any of
// their names. Where the types are found and not given, the two must be of one kind.
func (d *Dataset) partitionFields(fields []arrow.Field) ([]arrow.Field, error) {
	var errs []error
	for i, c := range d.partitions.Columns {
		for _, src := range d.unique {
			at := src.shape.index[c.Name]
			if len(at) == 0 {
				continue
			}
			if !slices.Contains(d.shadowed, c.Name) {
				d.shadowed = append(d.shadowed, c.Name)
			}
			if own := src.shape.schema.Field(at[0]).Type; d.inferred && kindOf(own) != kindOf(c.Type) {
				errs = append(errs, fmt.Errorf("input %q: %w: column %q is %s in the file, and %s by its folder; --partitions %s=%s takes the folder's, --partitions none the file's",
					src.path, ErrPartitions, c.Name, own, c.TypeName(), escapeKey(c.Name), c.TypeName()))
			}
		}
		nullable := slices.ContainsFunc(d.unique, func(src *source) bool { return src.partition[i].NullN() > 0 })
		fields = slices.DeleteFunc(fields, func(f arrow.Field) bool { return f.Name == c.Name })
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type, Nullable: nullable})
	}
	return fields, joinListed(errs)
}

// kindOf tells types apart whose values mean other things.
func kindOf(t arrow.DataType) string {
	if d, ok := t.(*arrow.DictionaryType); ok {
		t = d.ValueType
	}
	switch id := t.ID(); {
	case arrow.IsInteger(id):
		return "integer"
	case id == arrow.STRING, id == arrow.LARGE_STRING, id == arrow.STRING_VIEW:
		return "text"
	}
	return t.String()
}

// filler puts partition columns among those that are read of a file.
type filler struct {
	values []arrow.Array // by column asked for: the one value; nil where the file has it
	made   []arrow.Array // of the longest batch so far
	given  []arrow.Array // of the batch at hand
}

// columnsOf says of columns their schema, the numbers of those that are read of the file, and
// what fills the others: nil where there are none.
func (d *Dataset) columnsOf(src *source, columns []string) (schema *arrow.Schema, indexes []int, fill *filler, err error) {
	if schema, err = d.subset(columns); err != nil {
		return nil, nil, nil, err
	}
	var stored []string
	for i, name := range columns {
		at := d.partitions.index(name)
		if lacks := name == format.ProblemField.Name && !src.lines; at < 0 && !lacks {
			stored = append(stored, name)
			continue
		}
		if fill == nil {
			fill = &filler{values: make([]arrow.Array, schema.NumFields()), made: make([]arrow.Array, schema.NumFields())}
		}
		if fill.values[i] = noProblem; at >= 0 {
			fill.values[i] = src.partition[at]
		}
	}
	indexes, err = src.indexes(stored)
	return schema, indexes, fill, err
}

// columns are all columns of a batch, until rest. The columns of the file are the
// batch's own.
func (f *filler) columns(b arrow.RecordBatch) []arrow.Array {
	all, stored := make([]arrow.Array, 0, len(f.values)), b.Columns()
	rows := int(b.NumRows())
	for i, value := range f.values {
		switch {
		case value == nil && len(stored) == 0:
			return nil // fewer than were asked for
		case value == nil:
			all, stored = append(all, stored[0]), stored[1:]
			continue
		case f.made[i] == nil || f.made[i].Len() < rows:
			f.made[i] = repeat(value, rows)
		}
		part := array.NewSlice(f.made[i], 0, int64(rows))
		all, f.given = append(all, part), append(f.given, part)
	}
	return append(all, stored...) // more than were asked for
}

// rest gives up what the last batch was given.
func (f *filler) rest() {
	for _, a := range f.given {
		a.Release()
	}
	f.given = f.given[:0]
}
