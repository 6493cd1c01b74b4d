package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
)

// partitionsOf are the columns of an output that its folders name. The error wraps
// ledger.ErrUnsound.
func partitionsOf(m *ledger.Manifest) (dataset.Partitions, error) {
	var p dataset.Partitions
	for _, name := range m.PartitionBy {
		at := slices.IndexFunc(m.Schema, func(c ledger.Column) bool { return c.Name == name })
		if at < 0 {
			return p, fmt.Errorf("%w: the manifest of run %s says that its output is partitioned by %q, and lists no such column", ledger.ErrUnsound, m.Run, name)
		}
		column := dataset.PartitionColumn{Name: name}
		switch is := m.Schema[at].Type; {
		case is == arrow.FixedWidthTypes.Date32.Name():
			column.Type = dataset.PartitionType("date")
		case strings.Contains(is, "utf8"), is == arrow.BinaryTypes.StringView.String(): // and dictionaries of those
			column.Type = dataset.PartitionType("string")
		default:
			if column.Type = dataset.PartitionType(is); column.Type == nil {
				return p, fmt.Errorf("%w: the manifest of run %s says that its output is partitioned by %q, which is %s", ledger.ErrUnsound, m.Run, name, is)
			}
		}
		p.Columns = append(p.Columns, column)
	}
	return p, nil
}

// folderPlaces gives rows of a partitioned output their places. The n-th row of a part in
// a folder was the n-th of its input rows that were written and whose values name that
// folder. Of a row that is not there the place is -1.
func (p *replayed) folderPlaces(ctx context.Context, found []*hit, rejected map[int][]int64) error {
	walks := map[int]*folderWalk{}
	for _, f := range found {
		walk := walks[f.part]
		if walk == nil {
			walk = &folderWalk{plan: p.plan, layout: p.layout, part: f.part, gone: rejected[f.part], wanted: map[string]map[int64]*hit{}, seen: map[string]int64{}}
			walks[f.part] = walk
		}
		if walk.wanted[f.folder] == nil {
			walk.wanted[f.folder] = map[int64]*hit{}
		}
		walk.wanted[f.folder][f.row-f.first] = f
		f.place = -1
	}
	for _, walk := range walks {
		if err := walk.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// folderWalk goes through the input rows of a part that pass the filter.
type folderWalk struct {
	plan   *Plan
	layout *layout
	part   int
	gone   []int64                   // places of rows that were not written, in order
	wanted map[string]map[int64]*hit // by folder, and by number in it
	place  int64
	seen   map[string]int64 // rows by folder
}

func (w *folderWalk) run(ctx context.Context) error {
	for _, span := range w.layout.parts[w.part].Spans {
		span.File = w.layout.opened[span.File]
		if err := w.plan.readPassing(ctx, span, w.plan.Options.PartitionBy, w.rows); err != nil {
			return err
		}
	}
	return nil
}

func (w *folderWalk) rows(c *chunk) error {
	folders, err := foldersOf(w.plan.Options.PartitionBy, c.record.Columns()[:len(w.plan.Options.PartitionBy)])
	if err != nil {
		return err
	}
	for _, of := range folders.of {
		place, name := w.place, folders.names[of]
		w.place++
		if len(w.gone) > 0 && w.gone[0] == place {
			w.gone = w.gone[1:]
			continue
		}
		if hit := w.wanted[name][w.seen[name]]; hit != nil {
			hit.place = place
		}
		w.seen[name]++
	}
	return nil
}

// sameFolder says that a value is null in a partitioned output because it was the empty
// text, which folders cannot tell from it.
func sameFolder(p *Plan, column string, recorded arrow.Array, text string) bool {
	return text == "" && recorded.IsNull(0) && slices.Contains(p.Options.PartitionBy, column)
}
