package arrowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// mergingWriter writes a file of a schema with dictionaries. arrow-go's own
// file writer writes the dictionaries of the first batch and fails when they
// change. Here the one dictionary of each column comes after the last batch, as
// the format allows: readers of files find dictionaries through the footer.
//
//	"ARROW1\0\0" | schema | record batches ... | dictionaries ... | end of stream | footer | its bytes i32 | "ARROW1"
type mergingWriter struct {
	schema  *arrow.Schema
	options []ipc.Option
	file    *filePayloads
	inner   *ipc.Writer
	merger  *merger
}

func newMergingWriter(w io.Writer, schema *arrow.Schema, m *merger, options []ipc.Option) *mergingWriter {
	file := &filePayloads{w: w}
	return &mergingWriter{
		schema: schema, options: options, file: file, merger: m,
		inner: ipc.NewWriterWithPayloadWriter(only{file, []uint8{messageSchema, messageRecordBatch}}, options...),
	}
}

// Write appends a batch, which it borrows.
func (w *mergingWriter) Write(batch arrow.RecordBatch) error {
	merged, err := w.merger.batch(batch)
	if err != nil {
		return err
	}
	defer merged.Release()
	return w.inner.Write(merged)
}

// Close writes dictionaries and footer.
func (w *mergingWriter) Close() (err error) {
	defer w.merger.release()
	if err := w.inner.Close(); err != nil {
		return err
	}
	last, err := w.merger.whole(w.schema)
	if err != nil {
		return err
	}
	if last != nil {
		defer last.Release()
		dicts := ipc.NewWriterWithPayloadWriter(only{w.file, []uint8{messageDictionaryBatch}}, w.options...)
		if err := errors.Join(dicts.Write(last), dicts.Close()); err != nil {
			return err
		}
	}
	return w.file.finish()
}

// only lets messages of some kinds through to a file.
type only struct {
	file  *filePayloads
	kinds []uint8
}

// Start implements ipc.PayloadWriter; nobody calls it.
func (o only) Start() error { return nil }

// WritePayload implements ipc.PayloadWriter.
func (o only) WritePayload(p ipc.Payload) error {
	buffer := p.Meta()
	defer buffer.Release()
	meta := &flat{b: buffer.Bytes()}
	kind := meta.root().u8(1)
	if meta.err != nil {
		return meta.err
	}
	if !slices.Contains(o.kinds, kind) {
		return nil
	}
	return o.file.write(p, kind, meta.b)
}

// Close implements ipc.PayloadWriter.
func (o only) Close() error { return nil }

// filePayloads writes the frame of a file around messages.
type filePayloads struct {
	w          io.Writer
	pos        int64
	schema     []byte // the metadata of the schema's message
	dicts, rec []fileBlock
}

// fileBlock says in the footer where a message lies.
type fileBlock struct {
	offset int64
	meta   int32
	body   int64
}

const fileMagic = "ARROW1"

// Write counts bytes.
func (f *filePayloads) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	f.pos += int64(n)
	return n, err
}

func (f *filePayloads) write(p ipc.Payload, kind uint8, meta []byte) error {
	if f.pos == 0 {
		if _, err := io.WriteString(f, fileMagic+"\x00\x00"); err != nil {
			return err
		}
	}
	b := fileBlock{offset: f.pos}
	n, err := p.WritePayload(f)
	if err != nil {
		return err
	}
	b.meta, b.body = int32(n), f.pos-b.offset-int64(n)
	switch kind {
	case messageSchema:
		f.schema = append([]byte(nil), meta...)
	case messageDictionaryBatch:
		f.dicts = append(f.dicts, b)
	default:
		f.rec = append(f.rec, b)
	}
	return nil
}

func (f *filePayloads) finish() error {
	footer, err := f.footer()
	if err != nil {
		return err
	}
	end := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	end = append(end, footer...)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(footer)))
	_, err = f.Write(append(end, fileMagic...))
	return err
}

// footer lays out the flatbuffer Footer of format/File.fbs. The schema's table
// is that of its message, which is copied whole to the end: a flatbuffer's
// references are relative, so that it may stand anywhere at a multiple of 8.
//
//	 0  root: uoffset 16
//	 4  vtable: its bytes 12, table bytes 20, then the fields' offsets: version 16, schema 4, dictionaries 8, recordBatches 12
//	16  table: soffset 12 back to the vtable; schema, dictionaries, recordBatches: uoffsets; version i16; padding
//	36  dictionaries: count u32, then from 40 blocks of 24 bytes: offset i64, metadata bytes i32, padding, body bytes i64
//	    padding 4, recordBatches: the same
//	    the schema's message
func (f *filePayloads) footer() ([]byte, error) {
	message := &flat{b: f.schema}
	schema, ok := message.root().table(2)
	if message.err != nil || !ok {
		return nil, fmt.Errorf("schema message without schema: %w", message.err)
	}
	const vtable, table, version, dicts = 4, 16, 4, 36 // version V5 is 4
	records := dicts + 4 + 24*len(f.dicts) + 4
	embedded := records + 4 + 24*len(f.rec)
	u16, u32, u64 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	b := u32(nil, table)
	for _, v := range []uint16{12, 20, 16, 4, 8, 12} {
		b = u16(b, v)
	}
	b = u32(b, table-vtable)
	b = u32(b, uint32(embedded+schema.pos-(table+4)))
	b = u32(b, dicts-(table+8))
	b = u32(b, uint32(records-(table+12)))
	b = u16(u16(b, version), 0)
	for i, blocks := range [][]fileBlock{f.dicts, f.rec} {
		if i > 0 {
			b = u32(b, 0)
		}
		b = u32(b, uint32(len(blocks)))
		for _, block := range blocks {
			b = u64(b, uint64(block.offset))
			b = u32(u32(b, uint32(block.meta)), 0)
			b = u64(b, uint64(block.body))
		}
	}
	return append(b, f.schema...), nil
}
