package arrowfile

import (
	"encoding/binary"
	"math"
)

// Kinds of message; the members of format/Message.fbs's union MessageHeader.
const (
	messageSchema          = 1
	messageDictionaryBatch = 2
	messageRecordBatch     = 3
	messageTensor          = 4
	messageSparseTensor    = 5
)

// Metadata versions; V4 has validity bitmaps on unions, V5 has not.
const (
	versionV4 = 3
	versionV5 = 4
)

// block is where one message lies in the file.
type block struct {
	offset   int64 // of the message's prefix
	meta     int   // bytes of prefix and metadata
	body     int64 // bytes after them
	prefix   int   // bytes before the metadata: 8, or 4 before Arrow 0.15
	metadata int   // bytes of metadata, padding included; 0 ends a stream
}

func (b block) bodyOffset() int64 { return b.offset + int64(b.meta) }
func (b block) end() int64        { return b.bodyOffset() + b.body }

// prefixOf reads the prefix of a message at off in data:
//
//	0xFFFFFFFF u32 | metadata bytes i32 | metadata ... | body ...
//	                 metadata bytes i32 | metadata ... | body ...   before 0.15
//
// The body's length is in the metadata, so it stays 0.
func prefixOf(data []byte, off int64) (block, error) {
	b := block{offset: off, prefix: 4}
	if off < 0 || off > int64(len(data))-4 {
		return b, damaged("message at byte %d of %d", off, len(data))
	}
	n := binary.LittleEndian.Uint32(data[off:])
	if n == math.MaxUint32 {
		if off > int64(len(data))-8 {
			return b, damaged("the file ends within the prefix of the message at byte %d", off)
		}
		b.prefix = 8
		n = binary.LittleEndian.Uint32(data[off+4:])
	}
	b.meta = b.prefix
	if n > math.MaxInt32 || int64(n) > int64(len(data))-off-int64(b.prefix) {
		return b, damaged("message at byte %d has %d bytes of metadata; %d are left", off, n, int64(len(data))-off-int64(b.prefix))
	}
	if n > maxMetadataBytes {
		return b, unsupported("message at byte %d has %d bytes of metadata; at most %d are read", off, n, maxMetadataBytes)
	}
	b.metadata = int(n)
	b.meta += b.metadata
	return b, nil
}

// message is the metadata of one message, copied out of the file, so that it
// cannot change between a check and its use.
type message struct {
	block

	version int16
	kind    uint8
	header  table
}

// messageAt reads the message at off in data; its whole body must lie within
// data. A metadata length of 0, the end of a stream, gives kind 0.
func messageAt(data []byte, off int64) (message, error) {
	b, err := prefixOf(data, off)
	if err != nil || b.metadata == 0 {
		return message{block: b}, err
	}
	start := off + int64(b.prefix)
	own := append([]byte(nil), data[start:start+int64(b.metadata)]...)
	return parseMessage(b, own, int64(len(data))-b.bodyOffset())
}

// parseMessage reads the metadata of a message, which has room for so many bytes of
// body behind it. The message keeps the metadata.
func parseMessage(b block, metadata []byte, room int64) (message, error) {
	f, off := &flat{b: metadata}, b.offset
	t := f.root()
	m := message{block: b, version: t.i16(0, 0), kind: t.u8(1)}
	header, hasHeader := t.table(2)
	m.header = header
	m.body = t.i64(3)
	if f.err == nil && (m.version < versionV4 || m.version > versionV5) {
		return m, unsupported("message at byte %d has metadata version V%d; V4 and V5 are read", off, int(m.version)+1)
	}
	if f.err == nil && (m.body < 0 || m.body > room) {
		f.fail("body of %d bytes; %d are left", m.body, room)
	}
	if f.err == nil && !hasHeader {
		f.fail("no header")
	}
	if f.err != nil {
		return m, damaged("message at byte %d: %v", off, f.err)
	}
	switch m.kind {
	case messageSchema, messageDictionaryBatch, messageRecordBatch:
		return m, nil
	case messageTensor, messageSparseTensor:
		return m, unsupported("message at byte %d is a tensor", off)
	default:
		return m, unsupported("message at byte %d is of kind %d", off, m.kind)
	}
}

// node is a FieldNode: length and null count of one field of a batch.
type node struct{ rows, nulls int64 }

// extent is a Buffer: where it lies within the body.
type extent struct{ offset, length int64 }

// Codecs of buffers; those from 0 on are format/Message.fbs's.
const (
	codecNone int8 = -1
	codecLZ4  int8 = 0
	codecZSTD int8 = 1
)

// batchMeta is the RecordBatch table of a record or dictionary batch, within
// bounds of its body.
type batchMeta struct {
	message

	rows     int64
	nodes    []node
	buffers  []extent
	variadic []int64 // data buffers of each view column
	codec    int8

	dictID int64 // of a dictionary batch
	delta  bool
}

// batchOf reads a message of kind record batch or dictionary batch.
func batchOf(m message) (*batchMeta, error) {
	b := &batchMeta{message: m, codec: codecNone}
	t := m.header
	if m.kind == messageDictionaryBatch {
		b.dictID = t.i64(0)
		b.delta = t.boolean(2)
		data, ok := t.table(1)
		if !ok {
			t.f.fail("dictionary batch without data")
		}
		t = data
	}
	b.rows = t.i64(0)
	nodes, n := t.vector(1, 16)
	b.nodes = make([]node, n)
	for i := range b.nodes {
		b.nodes[i] = node{rows: int64At(nodes, 16*i), nulls: int64At(nodes, 16*i+8)}
	}
	buffers, n := t.vector(2, 16)
	b.buffers = make([]extent, n)
	for i := range b.buffers {
		e := extent{offset: int64At(buffers, 16*i), length: int64At(buffers, 16*i+8)}
		if e.length < 0 || e.length > 0 && (e.offset < 0 || e.offset > b.body || e.length > b.body-e.offset) {
			t.f.fail("buffer %d of %d bytes at %d of a body of %d", i, e.length, e.offset, b.body)
			break
		}
		if e.length > 0 { // others may be said to lie anywhere
			b.buffers[i] = e
		}
	}
	if c, ok := t.table(3); ok {
		b.codec = int8(c.u8(0))
		if method := c.u8(1); method != 0 {
			return nil, unsupported("message at byte %d: compression method %d", m.offset, method)
		}
		if b.codec != codecLZ4 && b.codec != codecZSTD {
			return nil, unsupported("message at byte %d: compression codec %d", m.offset, b.codec)
		}
	}
	counts, n := t.vector(4, 8)
	b.variadic = make([]int64, n)
	for i := range b.variadic {
		b.variadic[i] = int64At(counts, 8*i)
	}
	if t.f.err != nil {
		return nil, damaged("message at byte %d: %v", m.offset, t.f.err)
	}
	switch {
	case b.rows < 0:
		return nil, damaged("message at byte %d: %d rows", m.offset, b.rows)
	case b.rows > math.MaxInt32:
		return nil, unsupported("message at byte %d: %d rows in one batch; at most %d are read", m.offset, b.rows, math.MaxInt32)
	}
	b.header = table{} // lets the metadata go
	return b, nil
}

func int64At(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }

// bytesOf is the size of the buffers from first to end-1. They lie in the body, and may
// share bytes there: the sum saturates.
func (m *batchMeta) bytesOf(first, end int) (size int64) {
	for _, b := range m.buffers[first:end] {
		size = min(size+b.length, maxRows)
	}
	return size
}
