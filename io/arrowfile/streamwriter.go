package arrowfile

import (
	"bufio"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/millrace/millrace/io/format"
)

// EndMark ends a stream: a message without metadata.
const EndMark = "\xff\xff\xff\xff\x00\x00\x00\x00"

// StreamWriter writes an Arrow IPC stream for whoever reads it as it comes: the schema's
// message before there is a record batch, each record batch as one message (and those of
// its dictionaries, where they are new), and the end mark only when End is called. It is
// for one goroutine at a time.
type StreamWriter struct {
	out     *bufio.Writer
	encoder writer
}

// flushedBytes is the buffer for what is small; larger pieces go out as they are.
const flushedBytes = 64 << 10

// StartStream writes the schema's message. Options and errors are those of
// NewStreamWriter, and what w fails with.
func StartStream(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (*StreamWriter, error) {
	options, err := ipcOptions(schema, &opts)
	if err != nil {
		return nil, err
	}
	s := &StreamWriter{out: bufio.NewWriterSize(w, flushedBytes)}
	first := ipc.GetSchemaPayload(schema, opts.Allocator)
	defer first.Release()
	if _, err := first.WritePayload(s.out); err != nil {
		return nil, fmt.Errorf("write Arrow stream: %w", err)
	}
	if err := s.out.Flush(); err != nil {
		return nil, fmt.Errorf("write Arrow stream: %w", err)
	}
	s.encoder = writer{format: format.ArrowStream, inner: ipc.NewWriterWithPayloadWriter(afterSchema{s.out}, options...), mem: opts.Allocator}
	return s, nil
}

// Write writes a record batch, which it borrows. All of it is on its way after Flush.
func (s *StreamWriter) Write(batch arrow.RecordBatch) error { return s.encoder.Write(batch) }

// Flush sends what was written on its way.
func (s *StreamWriter) Flush() error { return s.encoder.step("flush", s.out.Flush) }

// End writes the end mark and lets go of what the writer holds. After a Write that failed
// it writes nothing and returns that error again.
func (s *StreamWriter) End() error {
	if err := s.Drop(); err != nil {
		return err
	}
	return s.encoder.step("end", func() error {
		if _, err := s.out.WriteString(EndMark); err != nil {
			return err
		}
		return s.out.Flush()
	})
}

// Drop lets go of what the writer holds, without an end mark. It is idempotent.
func (s *StreamWriter) Drop() error { return s.encoder.Close() }

// afterSchema writes the messages of a stream but the first, the schema's, and no end.
type afterSchema struct{ out *bufio.Writer }

// Start implements ipc.PayloadWriter.
func (afterSchema) Start() error { return nil }

// WritePayload implements ipc.PayloadWriter.
func (a afterSchema) WritePayload(p ipc.Payload) error {
	buffer := p.Meta()
	defer buffer.Release()
	meta := &flat{b: buffer.Bytes()}
	if kind := meta.root().u8(1); meta.err != nil || kind == messageSchema {
		return meta.err
	}
	_, err := p.WritePayload(a.out)
	return err
}

// Close implements ipc.PayloadWriter.
func (afterSchema) Close() error { return nil }
