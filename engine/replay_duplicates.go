package engine

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

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
	files := p.Dataset.Files()
	all = recordedDuplicates{}
	err = r.eachRejected(ctx, m, func(row RejectedRow) error {
		for _, o := range rows {
			if row.Stage == stageUnique && o.Row == row.Row && sameFile(absolute(files[o.File].Path), row.Input) {
				all[o] = batcher.Reject{Column: row.Column, Reason: row.Reason}
			}
		}
		return nil
	})
	return all, err
}

// eachRejected gives the rejected rows of a run, which has some.
func (r *replayer) eachRejected(ctx context.Context, m *ledger.Manifest, each func(row RejectedRow) error) (err error) {
	if r.rows != nil {
		return r.eachRejectOfTable(ctx, m.Run, func(row RejectedRow, _ string) error { return each(row) })
	}
	data, err := r.openOutput(ctx, m.Rejects.Name, dataset.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	names := fieldNames(data.Schema().Fields()[:min(len(reasonFields), data.Schema().NumFields())])
	return eachReject(ctx, data, names, func(b arrow.RecordBatch, i int) error { return each(rejectedRow(m.Run, b, i)) })
}

// keepsNulled says whether a run kept some bad rows in its output.
func keepsNulled(m *ledger.Manifest) bool {
	o, err := OptionsOf(m)
	return err == nil && o.keepsNulled()
}
