package engine

import (
	"context"
	"errors"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/dataset"
)

// recordedDuplicates are rows of a run that it found to be duplicates, as its rejects say:
// to find them again, all of its input would have to be read.
type recordedDuplicates map[batcher.Origin]batcher.Reject

// of implements duplicateSource.
func (d recordedDuplicates) of(batch *batcher.Batch) (all rejects, _ error) {
	for row := range batch.Rows {
		if r, ok := d[originOf(batch, row)]; ok {
			r.Row = row
			all = append(all, reject{Reject: r, stage: stageUnique})
		}
	}
	return all, nil
}

// duplicatesAmong gives those of some rows that stand in the output although they are
// duplicates, with null predictions: others are not in it. Rows are by their file in the
// plan, whose files are those of the plan's dataset.
func (r *replayer) duplicatesAmong(ctx context.Context, p *Plan, m *ledger.Manifest, rows []batcher.Origin) (all recordedDuplicates, err error) {
	if p.Options.onDuplicate() != unique.OnNull || m.Rejects == nil {
		return nil, nil
	}
	data, err := r.openOutput(ctx, m.Rejects.Name, dataset.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	files := p.Dataset.Files()
	all = recordedDuplicates{}
	names := fieldNames(data.Schema().Fields()[:min(len(reasonFields), data.Schema().NumFields())])
	err = eachReject(ctx, data, names, func(b arrow.RecordBatch, i int) error {
		if b.Column(3).ValueStr(i) != stageUnique {
			return nil
		}
		file, row := b.Column(0).ValueStr(i), b.Column(1).(*array.Int64).Value(i)
		for _, o := range rows {
			if o.Row == row && sameFile(absolute(files[o.File].Path), file) {
				all[o] = batcher.Reject{Column: strings.Clone(b.Column(2).ValueStr(i)), Reason: strings.Clone(b.Column(4).ValueStr(i))}
			}
		}
		return nil
	})
	return all, err
}

// keepsNulled says whether a run kept some bad rows in its output.
func keepsNulled(m *ledger.Manifest) bool {
	o, err := OptionsOf(m)
	return err == nil && o.keepsNulled()
}
