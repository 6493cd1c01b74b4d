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

// replayed is a run that is planned again, and what is recorded of it.
type replayed struct {
	plan     *Plan
	layout   *layout
	manifest *ledger.Manifest
	rank     ranking
}

// folderPlaces is places for a partitioned output. The n-th row of a part in a folder
// was the n-th of its input rows that were written and whose values name that folder.
func (r *replayer) folderPlaces(ctx context.Context, p *replayed, found []*hit) error {
	rejected, err := r.rejectedRows(ctx, p.layout, p.manifest, found, p.rank)
	if err != nil {
		return err
	}
	byPart := map[int][]*hit{}
	for _, f := range found {
		byPart[f.part] = append(byPart[f.part], f)
	}
	for part, hits := range byPart {
		walk := &folderWalk{plan: p.plan, layout: p.layout, part: part, gone: rejected[part], wanted: map[string]map[int64]*hit{}}
		for _, f := range hits {
			if walk.wanted[f.folder] == nil {
				walk.wanted[f.folder] = map[int64]*hit{}
			}
			walk.wanted[f.folder][f.row-f.first] = f
			f.place = -1
		}
		if err := walk.run(ctx); err != nil {
			return err
		}
		for _, f := range hits {
			if f.place < 0 {
				return fmt.Errorf("%w: %q has a row %d, and part %d of the input has no row for it", ledger.ErrUnsound, f.file, f.row, part)
			}
		}
	}
	sortByPlace(found)
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
	w.seen = map[string]int64{}
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
