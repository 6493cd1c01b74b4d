package engine

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// ExplainedPartition is a column made of folders.
type ExplainedPartition struct {
	Column string `json:"column"`
	Type   string `json:"type"`
	// Shadows says that files have a column of that name too, which is not read.
	Shadows bool `json:"shadows_column_of_files"`
}

// partitions are the columns that were made of folders, with their types: a replay, which
// may open some of the files under other paths, must not find others.
func (p *Plan) partitions() string {
	if p.Dataset == nil {
		return p.Options.Partitions
	}
	return p.Dataset.Partitions().String()
}

func (p *Plan) explainPartitions() []ExplainedPartition {
	columns := p.Dataset.Partitions().Columns
	explained := make([]ExplainedPartition, 0, len(columns))
	for _, c := range columns {
		explained = append(explained, ExplainedPartition{Column: c.Name, Type: c.TypeName(), Shadows: slices.Contains(p.Dataset.Shadowed(), c.Name)})
	}
	return explained
}

// passedField is a column that passes through to the output as it stands there: a text
// of folders, which is read as a dictionary, is plain text, as that of files is. Who
// reads outputs of both finds one type.
func (p *Plan) passedField(read arrow.Field) arrow.Field {
	if d, ok := read.Type.(*arrow.DictionaryType); ok {
		if _, fromFolders := p.Dataset.PartitionValue(0, read.Name); fromFolders {
			read.Type = d.ValueType
		}
	}
	return read
}

// plainText makes an array of the type t of a column, which it takes over: the column
// itself, or the texts of a dictionary.
func plainText(column arrow.Array, t arrow.DataType) arrow.Array {
	d, ok := column.(*array.Dictionary)
	if !ok || arrow.TypeEqual(d.DataType(), t) {
		return column
	}
	defer d.Release()
	texts := d.Dictionary().(*array.String)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(d.Len())
	for i := range d.Len() {
		if d.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(texts.Value(d.GetValueIndex(i)))
		}
	}
	return b.NewArray()
}
