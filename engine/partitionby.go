package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/internal/nearest"
)

// severalFiles says that a part of the output may have any number of files.
func (p *Plan) severalFiles() bool {
	return len(p.Options.PartitionBy) > 0 || p.Options.TargetFileBytes > 0
}

// checkPartitionBy holds --partition-by to columns of the output whose values can name
// folders. Its error wraps ErrUsage.
func (p *Plan) checkPartitionBy() error {
	var problems []error
	bad := func(f string, args ...any) {
		problems = append(problems, fmt.Errorf("--partition-by: "+f, args...))
	}
	for i, name := range p.Options.PartitionBy {
		at := slices.IndexFunc(p.Passed, func(f arrow.Field) bool { return f.Name == name })
		switch {
		case at < 0:
			bad("column %q must be among --ids or --keep%s", name, nearest.DidYouMean(name, fieldNames(p.Passed)))
		case slices.Contains(p.Options.PartitionBy[:i], name):
			bad("column %q is named twice", name)
		case !namesFolders(p.Passed[at].Type):
			bad("column %q is %s, and only bools, integers, dates and texts can name folders", name, p.Passed[at].Type)
		case name == "":
			bad("a column without a name cannot name folders")
		case strings.HasPrefix(name, "_") || strings.HasPrefix(name, "."):
			bad("column %q: readers pass over folders whose names begin with %q", name, name[:1])
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
}

// partitionedAt are the places of the columns that name folders in the output's schema,
// in the order of --partition-by.
func (p *Plan) partitionedAt() []int {
	at := make([]int, len(p.Options.PartitionBy))
	for i, name := range p.Options.PartitionBy {
		at[i] = slices.IndexFunc(p.Passed, func(f arrow.Field) bool { return f.Name == name })
	}
	return at
}

// without is a schema without some of its columns.
func without(schema *arrow.Schema, at []int) *arrow.Schema {
	fields := make([]arrow.Field, 0, schema.NumFields())
	for i, f := range schema.Fields() {
		if !slices.Contains(at, i) {
			fields = append(fields, f)
		}
	}
	return arrow.NewSchema(fields, nil)
}

// writeEmpty gives a partitioned output without rows one file, in the folder of null:
// readers find the columns there. Nobody may be writing.
func (c *collector) writeEmpty() error {
	for _, files := range c.outputs {
		if len(files) > 0 {
			return nil
		}
	}
	schema, err := c.finalSchema()
	if err != nil {
		return err
	}
	const part = 0
	w := &partWriter{collector: c, number: part}
	if err := w.open(schema); err != nil {
		return err
	}
	if err := w.out.(*spread).empty(); err != nil {
		return errors.Join(err, w.abort())
	}
	c.outputs[part], err = w.out.commit(0)
	return err
}

// flatOutputs are the files of all parts, in order.
func (c *collector) flatOutputs() []ledger.Output {
	return slices.Concat(c.outputs...)
}
