package dataset

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/jsonlfile"
	"github.com/millrace/millrace/io/lines"
)

// Files of lines know the types of their columns only when all of them have been looked
// at, and their rows when they have been read once. So the dataset keeps what is known
// of them (lines.Set), and its pool opens and closes no more than their descriptors.
//
// They have one more column, of what is wrong with a row (format.ProblemField), which
// is in no schema: who asks for it by name gets it, null in files of other formats.

// syntaxes are the formats of lines.
func syntaxes() map[format.Name]lines.NewSyntaxFunc {
	return map[format.Name]lines.NewSyntaxFunc{format.CSV: csvfile.NewSyntax, format.JSONLines: jsonlfile.NewSyntax}
}

// linesByName is the format of lines that a name's extension says; empty if none.
func linesByName(name string) format.Name {
	switch lines.Extension(name) {
	case ".csv", ".tsv", ".tab":
		return format.CSV
	case ".jsonl", ".ndjson":
		return format.JSONLines
	}
	return ""
}

// LinesFormat reads the name of a format that Options.Format may be; auto is none.
func LinesFormat(name string) (format.Name, error) {
	switch name {
	case "", "auto":
		return "", nil
	case string(format.CSV), string(format.JSONLines):
		return format.Name(name), nil
	}
	return "", fmt.Errorf("input-format (%s) must be auto, csv or jsonl", name)
}

// newLines makes what will be known of the files of lines; files are opened until ctx is
// canceled.
func newLines(ctx context.Context, opts *Options) *lines.Set {
	known := syntaxes()
	for name := range opts.Openers {
		delete(known, name)
	}
	return lines.NewSet(opts.Lines, known, func() error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	})
}

// opener opens files of a format; nil where nothing does.
func (p *pool) opener(ctx context.Context, name format.Name) OpenFunc {
	if p.lines.Has(name) {
		return func(path string, read format.ReadOptions) (format.Reader, error) {
			return p.lines.Open(ctx, path, name, read)
		}
	}
	return p.opts.Openers[name]
}

// settleLines fixes the types of the columns of files of lines.
func (d *Dataset) settleLines(ctx context.Context) error {
	if d.pool.lines.Empty() {
		return nil
	}
	paths := make([]string, len(d.unique))
	for i, src := range d.unique {
		paths[i] = src.path
	}
	if err := d.pool.lines.Settle(paths); err != nil {
		return err
	}
	var schemas []*shape
	for _, src := range d.unique {
		if !src.lines {
			continue
		}
		src.shape, schemas = intern(schemas, d.pool.lines.Schema(src.path))
		src.nulls = slices.Repeat([]int64{-1}, src.shape.schema.NumFields())
		src.sizes = d.pool.lines.ValueBytes(src.path)
	}
	return ctx.Err()
}

// HasLines says whether files of lines are among the files, so that rows may have
// problems.
func (d *Dataset) HasLines() bool { return !d.pool.lines.Empty() }

// CheckLines has rows of files of lines have a problem where they have no value of the
// type of one of these columns, whichever are read. It waits for reads in progress.
func (d *Dataset) CheckLines(columns []string) {
	d.life.Lock()
	defer d.life.Unlock()
	d.pool.lines.Check(columns)
}

// LineColumns are the columns of files of lines, and what their types are from.
func (d *Dataset) LineColumns() []lines.Column { return d.pool.lines.Columns() }

// LineTypes are the types of some columns of files of lines, by name.
func (d *Dataset) LineTypes(columns []string) []lines.ColumnType { return d.pool.lines.Types(columns) }

// noProblem is the column of problems of a file that has none.
var noProblem = array.MakeArrayOfNull(memory.DefaultAllocator, format.ProblemField.Type, 1)

// subset is the schema of named columns, that of problems among them.
func (d *Dataset) subset(columns []string) (*arrow.Schema, error) {
	at := slices.Index(columns, format.ProblemField.Name)
	if at < 0 || !d.HasLines() {
		return d.shape.subset(columns)
	}
	schema, err := d.shape.subset(slices.Delete(slices.Clone(columns), at, at+1))
	if err != nil {
		return nil, err
	}
	return schema.AddField(at, format.ProblemField)
}

// indexes are the places of columns that are read of the file.
func (s *source) indexes(columns []string) ([]int, error) {
	at := slices.Index(columns, format.ProblemField.Name)
	if at < 0 || !s.lines {
		return s.shape.project(columns)
	}
	indexes, err := s.shape.project(slices.Delete(slices.Clone(columns), at, at+1))
	if err != nil {
		return nil, err
	}
	return slices.Insert(indexes, at, s.shape.schema.NumFields()), nil
}
