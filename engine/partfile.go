package engine

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/format"
)

// partOutput is where a part's rows go. It ends by commit, which aborts on an error, or
// by abort.
type partOutput interface {
	// write appends a record's rows, which it borrows.
	write(record arrow.RecordBatch) error
	// commit makes the part durable, which has so many rows.
	commit(rows int64) ([]ledger.Output, error)
	abort() error
}

// newPartOutput begins the output of a part.
func (c *collector) newPartOutput(part int, schema *arrow.Schema) (partOutput, error) {
	if c.stream != nil {
		return c.stream, c.stream.begin(schema)
	}
	if c.staging == nil { // in a trial
		return c.newNoFile(schema)
	}
	if records, ok := c.staging.(sink.Records); ok {
		rows, err := records.NewPart(part, schema)
		return rowsPart{rows}, err
	}
	if !c.plan.severalFiles() {
		return c.newOneFile(part, schema)
	}
	files, err := c.files().PartFiles(part)
	if err != nil {
		return nil, err
	}
	if len(c.plan.Options.PartitionBy) > 0 {
		return c.newSpread(part, files, schema), nil
	}
	return sizedPart{c.sizedFiles(files, "", schema)}, nil
}

// rowsPart is a part that goes where rows are taken.
type rowsPart struct{ rows sink.Part }

func (p rowsPart) write(record arrow.RecordBatch) error       { return p.rows.Write(record) }
func (p rowsPart) commit(rows int64) ([]ledger.Output, error) { return p.rows.Commit(rows) }
func (p rowsPart) abort() error                               { return p.rows.Abort() }

// files is the staging where it takes files: whoever asks has files for it.
func (c *collector) files() sink.Files { return c.staging.(sink.Files) }

// sizedFiles are the files of a part in one folder.
func (c *collector) sizedFiles(files sink.PartFiles, folder string, schema *arrow.Schema) *sizedFiles {
	opts, target := c.writeOptions(), c.plan.Options.TargetFileBytes
	var rowBytes int64
	for _, f := range schema.Fields() {
		rowBytes += typeBytes(f.Type)
	}
	opts.RowGroupRows = stepRows(target, rowBytes)
	return &sizedFiles{
		files: files, folder: folder, target: target, perStep: opts.RowGroupRows,
		open: func(file io.Writer) (format.Writer, error) {
			return writers[c.plan.Options.Format](file, schema, opts)
		},
	}
}

// oneFile is a part that is one file, or a piece of one.
type oneFile struct {
	part   int
	file   sink.File // nil where nothing is kept, in a trial
	writer format.Writer
	failed error // of write
}

func (c *collector) newOneFile(part int, schema *arrow.Schema) (*oneFile, error) {
	file, err := c.files().Part(part)
	if err != nil {
		return nil, err
	}
	writer, err := c.newPartWriter(file, schema)
	if err != nil {
		return nil, errors.Join(err, file.Abort())
	}
	return &oneFile{part: part, file: file, writer: writer}, nil
}

// newNoFile encodes as oneFile does, into nothing; of wide rows in smaller row groups, of which
// each worker of a trial has one.
func (c *collector) newNoFile(schema *arrow.Schema) (*oneFile, error) {
	opts := c.plan.Options.writing()
	if c.plan.resultBytes() >= wideRowBytes {
		opts.RowGroupRows = leastStepRows
	}
	writer, err := writers[c.plan.Options.Format](io.Discard, schema, opts)
	if err != nil {
		return nil, err
	}
	return &oneFile{writer: writer}, nil
}

func (f *oneFile) write(record arrow.RecordBatch) error {
	f.failed = f.writer.Write(record)
	return f.failed
}

func (f *oneFile) commit(rows int64) ([]ledger.Output, error) {
	if err := f.writer.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("write part %d: %w", f.part, err), f.file.Abort())
	}
	out, err := f.file.Commit(rows)
	return []ledger.Output{out}, err
}

// abort drops the file. The writer holds memory that Close gives back; what it writes
// goes to a file that is dropped.
func (f *oneFile) abort() error {
	err := dropWriter(f.writer, f.failed)
	if f.file == nil {
		return err
	}
	return errors.Join(err, f.file.Abort())
}
