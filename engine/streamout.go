package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// streamOut is the output of a run that writes a stream: of all its parts, one after the
// other. It is for one goroutine at a time.
type streamOut struct {
	to     countedWriter
	opts   format.WriteOptions
	schema *arrow.Schema // nil before it is known
	writer *arrowfile.StreamWriter
	owed   int // empty record batches that came before that
	run    string
	rows   int64

	manifest *besideFile // nil where none is asked for
}

// countedWriter counts what goes out, and digests it where someone asks.
type countedWriter struct {
	io.Writer

	bytes int64
	hash  hash.Hash // nil where nobody does
}

// Write writes b. Its error wraps ledger.ErrOutput.
func (w *countedWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.bytes += int64(n)
	if w.hash != nil {
		_, _ = w.hash.Write(b[:n]) // a hash has no errors
	}
	if err != nil {
		return n, fmt.Errorf("%w: standard output: %w", ledger.ErrOutput, err)
	}
	return n, nil
}

// newStreamOut makes the output of a run; a manifest has its digest.
func (p *Plan) newStreamOut() *streamOut {
	o := &streamOut{to: countedWriter{Writer: p.Options.Piped.Out}, opts: format.WriteOptions{Compression: p.Options.Compression}}
	if p.Options.Piped.Manifest != "" {
		o.to.hash = sha256.New()
	}
	return o
}

// begin writes the schema, unless it is written.
func (o *streamOut) begin(schema *arrow.Schema) (err error) {
	if o.schema != nil {
		return nil
	}
	if o.writer, err = arrowfile.StartStream(&o.to, schema, o.opts); err != nil {
		return err
	}
	o.schema = schema
	for ; o.owed > 0; o.owed-- {
		empty := arrowfile.EmptyRecord(schema, memory.DefaultAllocator)
		err := o.append(empty)
		empty.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// owe notes an empty record batch of which no prediction tells yet what it looks like.
func (o *streamOut) owe() { o.owed++ }

// append writes a record batch, which may be flushed later.
func (o *streamOut) append(record arrow.RecordBatch) error {
	o.rows += record.NumRows()
	return o.writer.Write(record)
}

// flush sends what is written on its way.
func (o *streamOut) flush() error {
	if o.writer == nil {
		return nil
	}
	return o.writer.Flush()
}

// write implements partOutput.
func (o *streamOut) write(record arrow.RecordBatch) error {
	return errors.Join(o.append(record), o.flush())
}

// commit implements partOutput: what is written is gone.
func (o *streamOut) commit(int64) ([]ledger.Output, error) { return nil, nil }

// abort implements partOutput. Rows that are out cannot be taken back; without an end
// mark they are no stream.
func (o *streamOut) abort() error { return nil }

// drop lets go of what the writer holds.
func (o *streamOut) drop() {
	if o.writer != nil {
		_ = o.writer.Drop() // after an error, which it returns again
	}
}

// account is what the manifest says of the stream, its end mark included, which is not
// written yet.
func (o *streamOut) account() ledger.Output {
	out := ledger.Output{Name: StreamName, Bytes: o.to.bytes + int64(len(arrowfile.EndMark)), Rows: o.rows}
	if o.to.hash != nil {
		_, _ = o.to.hash.Write([]byte(arrowfile.EndMark))
		out.SHA256 = hex.EncodeToString(o.to.hash.Sum(nil))
		o.to.hash = nil
	}
	return out
}

// interrupt has reads and writes of streams fail that wait for the other end, where the
// run fails for another reason.
func (c *collector) interrupt(cause error) {
	if c.stream == nil || errors.Is(cause, context.Canceled) {
		return
	}
	interrupt(c.plan.Options.Piped.In)
	interrupt(c.plan.Options.Piped.Out)
}
