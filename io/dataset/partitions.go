package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Partitions say which columns are made of the directories in the paths of files, as
// Hive names them: date=2026-11-22/region=EU/part-0.parquet. The zero value says none.
type Partitions struct {
	// Auto makes a column of every key of the paths, and finds its type.
	Auto bool
	// Columns are the ones to make, unless Auto: other keys are no columns.
	Columns []PartitionColumn
}

// PartitionColumn is a column whose values stand in the paths.
type PartitionColumn struct {
	Name string
	Type arrow.DataType // one of partitionTypes
}

// stringType is that of texts from paths: a dictionary of one entry in each batch, so
// that whoever looks at each distinct value looks once.
var stringType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

// partitionTypes are the types of partition columns, by the names that String writes.
var partitionTypes = []struct {
	name string
	is   arrow.DataType
}{
	{"bool", arrow.FixedWidthTypes.Boolean},
	{"int8", arrow.PrimitiveTypes.Int8},
	{"int16", arrow.PrimitiveTypes.Int16},
	{"int32", arrow.PrimitiveTypes.Int32},
	{"int64", arrow.PrimitiveTypes.Int64},
	{"uint8", arrow.PrimitiveTypes.Uint8},
	{"uint16", arrow.PrimitiveTypes.Uint16},
	{"uint32", arrow.PrimitiveTypes.Uint32},
	{"uint64", arrow.PrimitiveTypes.Uint64},
	{"float32", arrow.PrimitiveTypes.Float32},
	{"float64", arrow.PrimitiveTypes.Float64},
	{"date", arrow.FixedWidthTypes.Date32},
	{"timestamp", &arrow.TimestampType{Unit: arrow.Microsecond}},
	{"string", stringType},
}

// PartitionTypes are the names of the types that a partition column can have.
func PartitionTypes() []string {
	names := make([]string, len(partitionTypes))
	for i, t := range partitionTypes {
		names[i] = t.name
	}
	return names
}

// PartitionType is the type of a name; nil for one that is none of PartitionTypes.
func PartitionType(name string) arrow.DataType {
	for _, t := range partitionTypes {
		if t.name == name {
			return t.is
		}
	}
	return nil
}

// Words of Partitions.
const (
	partitionsAuto = "auto"
	partitionsNone = "none"
)

// ParsePartitions reads what String writes: auto, none, or KEY=TYPE,..., with each key
// as it stands in paths.
func ParsePartitions(text string) (Partitions, error) {
	switch text {
	case partitionsAuto:
		return Partitions{Auto: true}, nil
	case partitionsNone:
		return Partitions{}, nil
	}
	var p Partitions
	for entry := range strings.SplitSeq(text, ",") {
		key, name, ok := strings.Cut(strings.Trim(entry, " "), "=")
		if !ok || key == "" {
			return Partitions{}, fmt.Errorf("partitions (%s) must be auto, none or COLUMN=TYPE,..., such as date=date,region=string", text)
		}
		c := PartitionColumn{Name: unescapePartition(key), Type: PartitionType(name)}
		switch {
		case c.Type == nil:
			return Partitions{}, fmt.Errorf("partitions (%s): column %q cannot have the type %q: it must be one of %s", text, c.Name, name, strings.Join(PartitionTypes(), ", "))
		case p.has(c.Name):
			return Partitions{}, fmt.Errorf("partitions (%s): column %q is named twice", text, c.Name)
		}
		p.Columns = append(p.Columns, c)
	}
	return p, nil
}

// String writes the partitions in one line.
func (p Partitions) String() string {
	switch {
	case p.Auto:
		return partitionsAuto
	case len(p.Columns) == 0:
		return partitionsNone
	}
	entries := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		entries[i] = escapeKey(c.Name) + "=" + c.TypeName()
	}
	return strings.Join(entries, ",")
}

// TypeName is the name of the column's type among PartitionTypes.
func (c PartitionColumn) TypeName() string {
	for _, t := range partitionTypes {
		if arrow.TypeEqual(t.is, c.Type) {
			return t.name
		}
	}
	return c.Type.String()
}

// index is the place of the column of that name; -1 where there is none.
func (p Partitions) index(name string) int {
	return slices.IndexFunc(p.Columns, func(c PartitionColumn) bool { return c.Name == name })
}

// has says whether there is a column of that name.
func (p Partitions) has(name string) bool { return p.index(name) >= 0 }

// names are those of the columns, in order.
func (p Partitions) names() []string {
	names := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		names[i] = c.Name
	}
	return names
}
