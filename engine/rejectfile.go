package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// rejectFile is the staged file of one part's rejects, made with the first.
type rejectFile struct {
	file   sink.File
	writer format.Writer
	rows   int64
}

// write appends rows, which it borrows.
func (f *rejectFile) write(staging sink.Staging, part int, rows []arrow.RecordBatch) (err error) {
	for _, r := range rows {
		if f.writer == nil {
			if f.file, err = staging.PartRejects(part); err != nil {
				return err
			}
			// A stream, since a file has but one dictionary for each column.
			if f.writer, err = arrowfile.NewStreamWriter(f.file, r.Schema(), format.WriteOptions{}); err != nil {
				return err
			}
		}
		if err := f.writer.Write(r); err != nil {
			return fmt.Errorf("write rejects of part %d: %w", part, err)
		}
		f.rows += r.NumRows()
	}
	return nil
}

// commit makes the file durable and gives its account; nil where there is none.
func (f *rejectFile) commit() (*ledger.Output, error) {
	if f.file == nil {
		return nil, nil
	}
	if err := f.writer.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("write rejects: %w", err), f.abort())
	}
	out, err := f.file.Commit(f.rows)
	f.file, f.writer = nil, nil
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// abort drops the file.
func (f *rejectFile) abort() error {
	if f.file == nil {
		return nil
	}
	var err error
	if f.writer != nil {
		err = f.writer.Close() // gives memory back; what it writes is dropped
	}
	err = errors.Join(err, f.file.Abort())
	f.file, f.writer = nil, nil
	return err
}

// mergeRejects makes the file of all rejects from those of the parts, in order; nil
// where no row was rejected. No part may be written meanwhile.
func (c *collector) mergeRejects(ctx context.Context) (*ledger.Output, error) {
	ctx = context.WithoutCancel(ctx) // a moment's work, and half of them are of no use
	m := &rejectMerger{staging: c.staging, schema: c.form.schema}
	for part, staged := range c.rejects {
		if staged == nil {
			continue
		}
		if err := m.add(ctx, part, staged); err != nil {
			return nil, errors.Join(fmt.Errorf("merge rejects of part %d: %w: %w", part, ledger.ErrOutput, err), m.out.abort())
		}
	}
	return m.out.commit()
}

// rejectGroupRows is the size of the row groups of rejects, whose rows are wide: a group is
// gathered in memory.
const rejectGroupRows = 1 << 15

// rejectMerger writes the file that is published.
type rejectMerger struct {
	staging sink.Staging
	schema  *arrow.Schema
	out     rejectFile
}

// add appends the rejects of a part, a record at a time.
func (m *rejectMerger) add(ctx context.Context, part int, staged *ledger.Output) error {
	before := m.out.rows
	path, err := m.staging.PartRejectsPath(part)
	if err != nil {
		return err
	}
	err = eachStaged(ctx, path, m.open, func(r arrow.RecordBatch) error {
		m.out.rows += r.NumRows()
		return m.out.writer.Write(r)
	})
	if err != nil {
		return err
	}
	if got := m.out.rows - before; got != staged.Rows {
		return fmt.Errorf("%w: %d rows were rejected and %d are in %s", ledger.ErrAccounts, staged.Rows, got, staged.Name)
	}
	return nil
}

// open makes the file, unless it is there.
func (m *rejectMerger) open(*arrow.Schema) (err error) {
	if m.out.writer != nil {
		return nil
	}
	if m.out.file, err = m.staging.Rejects(); err != nil {
		return err
	}
	m.out.writer, err = parquetfile.NewWriter(m.out.file, m.schema, format.WriteOptions{RowGroupRows: rejectGroupRows})
	return err
}

// eachStaged gives the schema and the record batches of a staged stream of Arrow, which
// yield borrows.
func eachStaged(ctx context.Context, path string, begin func(*arrow.Schema) error, yield func(arrow.RecordBatch) error) (err error) {
	in, err := arrowfile.Open(path, format.ReadOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := begin(in.Schema()); err != nil {
		return err
	}
	columns := everyIndex(in.Schema().NumFields())
	for span := range in.Spans() {
		if err := in.ReadSpan(ctx, span, columns, yield); err != nil {
			return err
		}
	}
	return nil
}

// keepRejects saves the rejects of a run that has too many, and says where; the path is
// empty where there are none.
func (c *collector) keepRejects(ctx context.Context) (out *ledger.Output, path string, err error) {
	if out, err = c.mergeRejects(ctx); err != nil || out == nil {
		return nil, "", err
	}
	path, err = c.staging.KeepRejects()
	return out, path, err
}
