package arrowfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/io/format"
)

// magic stands at both ends of an Arrow file.
const magic = "ARROW1"

// layout is where the messages of a file or stream lie, and its schema.
type layout struct {
	format format.Name
	schema *fileSchema
	// dicts are the dictionary batches and batches the record batches, each
	// in the order that counts: the footer's, or the stream's.
	dicts   []dictBlock
	byID    map[int64][]int // indexes into dicts of each dictionary, ascending
	batches []block
	// epochs says for each record batch how many of dicts apply to it: in a
	// file all, in a stream those before it.
	epochs []int
}

// dictBlock is a dictionary batch.
type dictBlock struct {
	block

	id    int64
	delta bool
}

// layoutOf finds out what data is and walks it. passed is told how far a walk over all of
// it, as a stream takes, has come.
func layoutOf(data []byte, passed func(off int64)) (*layout, error) {
	switch {
	case len(data) == 0:
		return nil, damaged("it is empty")
	case bytes.HasPrefix(data, []byte(magic)):
		return fileLayout(data)
	case bytes.HasPrefix(data, []byte("FEA1")):
		return nil, unsupported("Feather version 1")
	case len(data) >= 8:
		return streamLayout(data, passed)
	default:
		return nil, damaged("%d bytes are neither an Arrow file nor a stream", len(data))
	}
}

// fileLayout walks an Arrow file:
//
//	"ARROW1" 0 0 | messages ... | footer | footer bytes i32 | "ARROW1"
func fileLayout(data []byte) (*layout, error) {
	const head, tail = 8, 4 + len(magic)
	if len(data) < head+tail || !bytes.HasSuffix(data, []byte(magic)) {
		return nil, damaged("it starts as an Arrow file and does not end as one (cut short?)")
	}
	n := int64(int32(binary.LittleEndian.Uint32(data[len(data)-tail:])))
	room := int64(len(data) - head - tail)
	switch {
	case n <= 0 || n > room:
		return nil, damaged("footer of %d bytes in a file of %d", n, len(data))
	case n > maxMetadataBytes:
		return nil, unsupported("footer of %d bytes; at most %d are read", n, maxMetadataBytes)
	}
	start := int64(len(data)-tail) - n
	f := &flat{b: slices.Clone(data[start : start+n])}
	t := f.root()
	version := t.i16(0, 0)
	// Old writers leave the footer's version out; the messages' counts.
	if f.err == nil && version > versionV5 {
		return nil, unsupported("footer has metadata version V%d; V4 and V5 are read", int(version)+1)
	}
	s, ok := t.table(1)
	if f.err == nil && !ok {
		f.fail("no schema")
	}
	if f.err != nil {
		return nil, damaged("footer: %v", f.err)
	}
	schema, err := schemaOf(s)
	if err != nil {
		return nil, err
	}
	l := &layout{format: format.ArrowFile, schema: schema, byID: make(map[int64][]int)}
	// Messages end where the footer starts; blocks may not reach into it.
	messages := data[:start]
	dicts, err := blocksOf(messages, t, 2)
	if err != nil {
		return nil, err
	}
	if l.batches, err = blocksOf(messages, t, 3); err != nil {
		return nil, err
	}
	if err := disjoint(slices.Concat(dicts, l.batches)); err != nil {
		return nil, err
	}
	for _, b := range dicts {
		m, err := b.at(messages)
		if err == nil {
			err = l.addDictionary(m)
		}
		if err != nil {
			return nil, err
		}
	}
	whole := make(map[int64]bool)
	for _, d := range l.dicts {
		if !d.delta && whole[d.id] {
			return nil, unsupported("dictionary %d is replaced, which only a stream can do", d.id)
		}
		whole[d.id] = whole[d.id] || !d.delta
	}
	for range l.batches {
		l.epochs = append(l.epochs, len(l.dicts))
	}
	return l, nil
}

// blocksOf reads a vector of Blocks {offset i64, metadata bytes i32, 4 bytes of
// padding, body bytes i64}.
func blocksOf(messages []byte, t table, slot int) ([]block, error) {
	elements, n := t.vector(slot, 24)
	if t.f.err != nil {
		return nil, damaged("footer: %v", t.f.err)
	}
	blocks := make([]block, n)
	for i := range blocks {
		e := elements[24*i:]
		b := block{offset: int64At(e, 0), meta: int(int32(binary.LittleEndian.Uint32(e[8:]))), body: int64At(e, 16)}
		size := int64(len(messages))
		if b.offset < int64(len(magic)) || b.meta <= 0 || b.body < 0 || b.offset > size || int64(b.meta) > size-b.offset ||
			b.body > size-b.offset-int64(b.meta) {
			return nil, damaged("footer: block %d of %d and %d bytes at %d of %d", i, b.meta, b.body, b.offset, size)
		}
		blocks[i] = b
	}
	return blocks, nil
}

// disjoint refuses blocks that share bytes: no writer makes them, and a small
// file could name one block a million times.
func disjoint(blocks []block) error {
	slices.SortFunc(blocks, func(a, b block) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(blocks); i++ {
		if blocks[i].offset < blocks[i-1].end() {
			return damaged("footer: blocks at bytes %d and %d overlap", blocks[i-1].offset, blocks[i].offset)
		}
	}
	return nil
}

// at reads the message of a block and checks that both agree.
func (b block) at(data []byte) (*batchMeta, error) {
	m, err := messageAt(data, b.offset)
	if err != nil {
		return nil, err
	}
	if m.meta != b.meta || m.body != b.body {
		return nil, damaged("message at byte %d has %d and %d bytes; the footer says %d and %d", b.offset, m.meta, m.body, b.meta, b.body)
	}
	if m.kind != messageRecordBatch && m.kind != messageDictionaryBatch {
		return nil, damaged("message at byte %d is of kind %d, not a batch", b.offset, m.kind)
	}
	return batchOf(m)
}

// addDictionary notes a dictionary batch, whose id must be in the schema.
func (l *layout) addDictionary(m *batchMeta) error {
	if m.kind != messageDictionaryBatch {
		return damaged("message at byte %d is of kind %d, not a dictionary batch", m.offset, m.kind)
	}
	if _, ok := l.schema.dicts[m.dictID]; !ok {
		return damaged("message at byte %d holds dictionary %d, which no field has", m.offset, m.dictID)
	}
	l.byID[m.dictID] = append(l.byID[m.dictID], len(l.dicts))
	l.dicts = append(l.dicts, dictBlock{block: m.block, id: m.dictID, delta: m.delta})
	return nil
}

// maxTrailing is how many zero bytes may follow a stream's end: padding.
const maxTrailing = 1 << 20

// streamLayout walks a stream: a schema message, then dictionary and record
// batches, to the end mark or, since that is optional, the end of the file.
func streamLayout(data []byte, passed func(off int64)) (*layout, error) {
	first, err := messageAt(data, 0)
	if err != nil && first.prefix < 8 {
		return nil, fmt.Errorf("it starts neither as an Arrow file nor as a stream: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if first.kind != messageSchema {
		return nil, damaged("a stream must start with a schema; its first message is of kind %d", first.kind)
	}
	schema, err := schemaOf(first.header)
	if err != nil {
		return nil, err
	}
	l := &layout{format: format.ArrowStream, schema: schema, byID: make(map[int64][]int)}
	for off := first.end(); off < int64(len(data)); {
		m, err := messageAt(data, off)
		if err != nil {
			return nil, err
		}
		off = m.end()
		passed(off)
		switch m.kind {
		case 0:
			rest := data[off:]
			if len(rest) > maxTrailing || len(bytes.TrimLeft(rest, "\x00")) > 0 {
				return nil, unsupported("%d bytes follow the end of the stream (several streams in one file?)", len(rest))
			}
			return l, nil
		case messageSchema:
			return nil, damaged("a second schema at byte %d", m.offset)
		case messageDictionaryBatch:
			b, err := batchOf(m)
			if err != nil {
				return nil, err
			}
			if err := l.addDictionary(b); err != nil {
				return nil, err
			}
		case messageRecordBatch:
			l.batches = append(l.batches, m.block)
			l.epochs = append(l.epochs, len(l.dicts))
		}
	}
	if len(l.batches) > math.MaxInt32 {
		return nil, unsupported("%d record batches", len(l.batches))
	}
	return l, nil
}

// reconcile walks the messages of a file from its start and refuses a file
// whose footer leaves out a batch: its rows would be lost in silence. The walk
// ends where messages do, or at the first thing that is none, since a file may
// hold other bytes between its blocks.
func (l *layout) reconcile(data []byte, passed func(off int64)) error {
	if l.format != format.ArrowFile {
		return nil
	}
	known := make(map[int64]bool, len(l.batches)+len(l.dicts))
	for _, b := range l.batches {
		known[b.offset] = true
	}
	for _, b := range l.dicts {
		known[b.offset] = true
	}
	for off := int64(8); off < int64(len(data)); {
		m, err := messageAt(data, off)
		if err != nil || m.kind == 0 {
			return nil //nolint:nilerr // not a message: the end of the walk
		}
		if (m.kind == messageRecordBatch || m.kind == messageDictionaryBatch) && !known[off] {
			return damaged("the footer leaves out the batch at byte %d", off)
		}
		off = m.end()
		passed(off)
	}
	return nil
}
