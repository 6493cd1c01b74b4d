package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// shape is a schema with its columns by name. Files with equal schemas share
// one.
type shape struct {
	schema *arrow.Schema
	index  map[string][]int // positions of each top-level name
}

func newShape(schema *arrow.Schema) *shape {
	s := &shape{schema: schema, index: make(map[string][]int, schema.NumFields())}
	for i, field := range schema.Fields() {
		s.index[field.Name] = append(s.index[field.Name], i)
	}
	return s
}

// project finds the positions of named columns.
func (s *shape) project(names []string) ([]int, error) {
	indexes := make([]int, 0, len(names))
	var errs []error
	for _, name := range names {
		switch at := s.index[name]; len(at) {
		case 1:
			indexes = append(indexes, at[0])
		case 0:
			errs = append(errs, fmt.Errorf("column %q: %w; the data has %s", name, ErrNoSuchColumn, s.names()))
		default:
			errs = append(errs, fmt.Errorf("column %q: %w: it stands at positions %v", name, ErrDuplicateColumn, at))
		}
	}
	return indexes, joinListed(errs)
}

func (s *shape) names() string {
	names := make([]string, s.schema.NumFields())
	for i, field := range s.schema.Fields() {
		names[i] = field.Name
	}
	return quoteList(names, 40)
}

// subset is the schema of named columns, without schema metadata.
func (s *shape) subset(names []string) (*arrow.Schema, error) {
	indexes, err := s.project(names)
	if err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(indexes))
	for i, at := range indexes {
		fields[i] = s.schema.Field(at)
	}
	return arrow.NewSchema(fields, nil), nil
}

// reconcile compares all files with the first, notes where they differ, and sets the
// dataset's shape.
// Equal means the same types under the same names: the order of columns, the
// nullability of top-level columns and all metadata may differ. Nested types
// must agree in their children's nullability too. Top-level texts, and bytes, of several types
// become the widest one.
func (d *Dataset) reconcile(drift Drift) error {
	first := d.files[0]
	fields := slices.Clone(first.shape.schema.Fields())
	same := map[*shape]bool{first.shape: true}
	interned := []*shape{first.shape}
	for _, src := range d.unique {
		if src.shape != first.shape {
			src.shape, interned = intern(interned, src.shape.schema)
		}
		if same[src.shape] {
			continue
		}
		diffs := slices.DeleteFunc(compare(src.path, first.shape, src.shape), func(diff Difference) bool { return d.partitions.has(diff.Column) })
		d.differences = append(d.differences, diffs...)
		same[src.shape] = len(diffs) == 0
		for name, at := range first.shape.index {
			if d.partitions.has(name) {
				continue // the paths' values count
			}
			for i, k := range src.shape.index[name] {
				if i >= len(at) {
					continue
				}
				field, own := &fields[at[i]], src.shape.schema.Field(k)
				field.Nullable = field.Nullable || own.Nullable
				if !arrow.TypeEqual(field.Type, own.Type) && alike(field.Type, own.Type) {
					field.Type = widest(own.Type)
				}
			}
		}
	}
	if len(d.differences) > 0 && drift == DriftFails {
		return d.schemaError(d.differences)
	}
	fields, err := d.partitionFields(fields)
	if err != nil {
		return err
	}
	meta := first.shape.schema.Metadata()
	d.shape = newShape(arrow.NewSchema(fields, &meta))
	return nil
}

// intern returns the member of known that has an equal schema, or adds one. Only a few
// distinct schemas are kept to compare with: past those, sharing is not worth
// the comparisons.
func intern(known []*shape, schema *arrow.Schema) (*shape, []*shape) {
	for _, k := range known {
		if k.schema == schema || k.schema.Equal(schema) {
			return k, known
		}
	}
	s := newShape(schema)
	if len(known) < 16 {
		known = append(known, s)
	}
	return s, known
}

// compare lists the differences in the first file's column order, then the
// columns that only the other file has.
func compare(file string, want, got *shape) []Difference {
	var diffs []Difference
	seen := make(map[string]bool, len(want.index))
	for _, field := range want.schema.Fields() {
		if seen[field.Name] {
			continue
		}
		seen[field.Name] = true
		diffs = append(diffs, compareColumn(file, field.Name, want, got)...)
	}
	for _, field := range got.schema.Fields() {
		if !seen[field.Name] {
			seen[field.Name] = true
			diffs = append(diffs, compareColumn(file, field.Name, want, got)...)
		}
	}
	noteCapitals(diffs)
	return diffs
}

// noteCapitals says of a column that is missing whether one that is too many has its name in
// other capitals: both are differences, and only one of them may be of a column that is read.
func noteCapitals(diffs []Difference) {
	extra := map[string]string{} // by lower case
	for _, d := range diffs {
		if d.Want == nil {
			extra[strings.ToLower(d.Column)] = d.Column
		}
	}
	for i := range diffs {
		if d := &diffs[i]; d.Got == nil {
			d.Alike = extra[strings.ToLower(d.Column)]
		}
	}
}

// compareColumn compares all columns of one name, pairwise in order.
func compareColumn(file, name string, want, got *shape) []Difference {
	var diffs []Difference
	a, b := want.index[name], got.index[name]
	if len(a) != len(b) && len(a) > 0 && len(b) > 0 {
		return []Difference{{
			File: file, Column: name, Want: want.schema.Field(a[0]).Type, Got: got.schema.Field(b[0]).Type, InFirst: len(a), InFile: len(b),
		}}
	}
	for i := range max(len(a), len(b)) {
		diff := Difference{File: file, Column: name}
		if i < len(a) {
			diff.Want = want.schema.Field(a[i]).Type
		}
		if i < len(b) {
			diff.Got = got.schema.Field(b[i]).Type
		}
		if diff.Want == nil || diff.Got == nil || !alike(diff.Want, diff.Got) {
			diffs = append(diffs, diff)
		}
	}
	return diffs
}
