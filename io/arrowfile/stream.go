package arrowfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
)

// ErrNoEnd says that a stream stops without its end mark, as it does when whoever writes
// it dies. It wraps format.ErrDamaged.
var ErrNoEnd = fmt.Errorf("%w: the stream stops without its end mark", format.ErrDamaged)

// StreamOptions bound what a stream may take.
type StreamOptions struct {
	// Allocator provides memory; nil means memory.DefaultAllocator.
	Allocator memory.Allocator
	// MessageBytes is the most that one message may have, as it is stored and
	// decompressed, and all dictionaries together; 0 means 4 GiB.
	MessageBytes int64
	// HeldBytes is the most that a record batch may have, as it is stored, to be received into
	// memory; 0 means format.DefaultHeldBytes. A larger one goes through a scratch file, and comes
	// in pieces of about ChunkBytes (0: format.DefaultChunkBytes), unless it has dictionaries,
	// unions, run ends or list views.
	HeldBytes, ChunkBytes int64
	// Trailing is how long Next waits after the end mark for the end of the input, where
	// that can be waited for with a deadline; 0 means 2 s. See Next.
	Trailing time.Duration
}

// EnsureDefaults fills zero fields.
func (o *StreamOptions) EnsureDefaults() {
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	if o.MessageBytes == 0 {
		o.MessageBytes = 4 << 30
	}
	if o.HeldBytes == 0 {
		o.HeldBytes = format.DefaultHeldBytes
	}
	if o.Trailing == 0 {
		o.Trailing = 2 * time.Second
	}
}

// Stream reads an Arrow IPC stream as it comes, each byte once, from a pipe for example:
//
//	OpenStream  the schema's message
//	Want        which columns are given
//	Next        the next record batch; dictionary batches on the way are kept
//
// It checks what the reader of files checks, and as that reader takes no byte on trust;
// see the package. A body is received whole, at most a few bytes ahead of the message
// that Next gives, and the columns of an uncompressed one are views of it; a large one goes
// through a file, see StreamOptions.HeldBytes. It is for one goroutine at a time; batches outlive
// it.
type Stream struct {
	in     *bufio.Reader
	source io.Reader
	opts   StreamOptions
	schema *fileSchema
	bodies *bodies
	zstd   func() (*zstd.Decoder, error)
	large  *largeBatch // that is being given; nil where none is

	schemaMetadata []byte

	columns []int
	given   *arrow.Schema  // of columns
	needed  map[int64]bool // dictionaries of columns, and those within them
	dicts   map[int64]*array.Data
	memory  *budget // of dictionaries

	off     int64 // bytes read
	batches int   // record batches read
	rows    int64 // in them
	err     error
}

// readAheadBytes is what is read at a time of messages' metadata.
const readAheadBytes = 64 << 10

// OpenStream reads a stream's schema. The caller closes the Stream. Errors wrap those of
// Open, ErrNoEnd, or what in fails with.
func OpenStream(in io.Reader, opts StreamOptions) (*Stream, error) {
	opts.EnsureDefaults()
	s := &Stream{
		in: bufio.NewReaderSize(in, readAheadBytes), source: in, opts: opts,
		bodies: &bodies{mem: opts.Allocator, limit: opts.MessageBytes}, zstd: sync.OnceValues(newZstd),
		dicts: map[int64]*array.Data{}, memory: newBudget(opts.Allocator, opts.MessageBytes),
	}
	if err := guarded(s.open); err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	return s, nil
}

// open reads the first message.
func (s *Stream) open() error {
	if err := s.recognise(); err != nil {
		return err
	}
	m, err := s.message()
	if err != nil {
		return err
	}
	if m.kind != messageSchema {
		return damaged("a stream must start with a schema; its first message is of kind %d", m.kind)
	}
	if s.schema, err = schemaOf(m.header); err != nil {
		return err
	}
	s.schemaMetadata = m.header.f.b
	return s.pass(m.body)
}

// recognise says what other input is that people pipe in.
func (s *Stream) recognise() error {
	head, err := s.in.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case len(head) == 0:
		return damaged("it is empty: not one byte came before its end")
	case bytes.HasPrefix(head, []byte(magic)):
		return unsupported("it is an Arrow IPC file and not a stream; give a file by its name, or write a stream (pyarrow.ipc.new_stream)")
	case bytes.HasPrefix(head, []byte("PAR1")):
		return unsupported("it is a Parquet file and not an Arrow IPC stream; give a file by its name")
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")): // no length of a message of before Arrow 0.15, which eight divides
		return unsupported("it is compressed as a whole by gzip; decompress it first, such as by gzip -dc")
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return unsupported("it is compressed as a whole by zstd; decompress it first, such as by zstd -dc")
	case len(head) == 8 && binary.LittleEndian.Uint32(head) != math.MaxUint32 && binary.LittleEndian.Uint32(head) > maxMetadataBytes:
		return damaged("it is no Arrow IPC stream: it starts with %q", head)
	}
	return nil
}

// Schema is the stream's schema.
func (s *Stream) Schema() *arrow.Schema { return s.schema.schema }

// Rows is how many rows the record batches have that were read.
func (s *Stream) Rows() int64 { return s.rows }

// Bytes is how many bytes were read.
func (s *Stream) Bytes() int64 { return s.off }

// Want says which top-level columns Next gives, by their indexes and in that order. It
// is called once, before Next.
func (s *Stream) Want(columns []int) error {
	given, err := s.schema.project(columns)
	if err != nil {
		return err
	}
	s.columns, s.given, s.needed = slices.Clone(columns), given, map[int64]bool{}
	var visit func(c *column)
	visit = func(c *column) {
		if c.storage.ID() == arrow.DICTIONARY && !s.needed[c.dictID] {
			s.needed[c.dictID] = true
			visit(s.schema.dicts[c.dictID])
		}
		for i := range c.children {
			visit(&c.children[i])
		}
	}
	for _, c := range columns {
		visit(&s.schema.columns[c])
	}
	return nil
}

// Limit sets StreamOptions.MessageBytes anew, before Want.
func (s *Stream) Limit(bytes int64) {
	s.opts.MessageBytes, s.bodies.limit, s.memory = bytes, bytes, newBudget(s.opts.Allocator, bytes)
}

// Next reads the next record batch, an empty one too; the caller releases it. After the
// stream's end mark, and only then, it returns io.EOF. What else comes after the mark, a
// second stream for example, is an error; where in has a SetReadDeadline, Next waits for
// that only so long, since who writes may hold its end of the pipe open. An error is
// final.
func (s *Stream) Next() (arrow.RecordBatch, error) {
	if s.err != nil {
		return nil, s.err
	}
	var batch arrow.RecordBatch
	err := guarded(func() (err error) {
		batch, err = s.next()
		return err
	})
	switch {
	case errors.Is(err, io.EOF):
		s.err = io.EOF
	case err != nil:
		s.err = fmt.Errorf("read stream: after %d record batches: %w", s.batches, err)
	default:
		if !s.More() {
			s.batches++
		}
		s.rows += batch.NumRows()
	}
	return batch, s.err
}

// More tells whether what Next gave last is a piece of a record batch, of which the next
// follows.
func (s *Stream) More() bool { return s.large != nil }

func (s *Stream) next() (arrow.RecordBatch, error) {
	if s.large != nil {
		return s.piece()
	}
	for {
		m, err := s.message()
		if err != nil {
			return nil, err
		}
		switch m.kind {
		case 0:
			if err := s.trailing(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		case messageSchema:
			return nil, damaged("a second schema at byte %d (several streams in one input?)", m.offset)
		case messageDictionaryBatch:
			if err := s.dictionaryBatch(m); err != nil {
				return nil, err
			}
		default:
			return s.recordBatch(m)
		}
	}
}

// message reads the prefix and metadata of the next message; see prefixOf. The end mark
// gives kind 0.
func (s *Stream) message() (message, error) {
	b := block{offset: s.off, prefix: 4}
	var prefix [4]byte
	read := func() (uint32, error) {
		n, err := io.ReadFull(s.in, prefix[:])
		s.off += int64(n)
		if err != nil {
			return 0, cutShort(err, "%d bytes", s.off)
		}
		return binary.LittleEndian.Uint32(prefix[:]), nil
	}
	n, err := read()
	if err == nil && n == math.MaxUint32 {
		b.prefix = 8
		n, err = read()
	}
	if err != nil || n == 0 {
		return message{block: b}, err
	}
	if n > maxMetadataBytes {
		return message{}, unsupported("message at byte %d has %d bytes of metadata; at most %d are read", b.offset, n, maxMetadataBytes)
	}
	b.metadata, b.meta = int(n), b.prefix+int(n)
	var metadata bytes.Buffer // grows with what comes
	got, err := io.CopyN(&metadata, s.in, int64(n))
	if s.off += got; err != nil {
		return message{}, cutShort(err, "%d bytes", s.off)
	}
	return parseMessage(b, metadata.Bytes(), math.MaxInt64-b.bodyOffset())
}

// pass reads over bytes.
func (s *Stream) pass(n int64) error {
	got, err := io.CopyN(io.Discard, s.in, n)
	if s.off += got; err != nil {
		return cutShort(err, "%d bytes", s.off)
	}
	return nil
}

// body receives a message's body. The caller owns it.
func (s *Stream) body(m *batchMeta) (*memory.Buffer, error) {
	body, err := s.bodies.receive(s.in, m.body)
	if err != nil {
		return nil, fmt.Errorf("message at byte %d: %w", m.offset, err)
	}
	s.off += m.body
	return body, nil
}

// recordBatch reads a record batch. All its metadata is checked before its body is read.
func (s *Stream) recordBatch(m message) (arrow.RecordBatch, error) {
	meta, err := batchOf(m)
	if err != nil {
		return nil, err
	}
	check := &loader{meta: meta}
	for i := range s.schema.columns {
		n, err := check.skip(&s.schema.columns[i])
		if err == nil && n.rows != meta.rows {
			err = damaged("%d values for %d rows", n.rows, meta.rows)
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", s.schema.schema.Field(i).Name, err)
		}
	}
	if err := check.finish(); err != nil {
		return nil, err
	}
	if s.isLarge(meta) {
		if s.large, err = s.keep(m, meta); err != nil {
			return nil, err
		}
		return s.piece()
	}
	body, err := s.body(meta)
	if err != nil {
		return nil, err
	}
	defer body.Release()
	l := s.loader(body, meta, newBudget(s.opts.Allocator, s.opts.MessageBytes))
	defer l.release()
	datas, err := s.schema.loadColumns(l, s.columns)
	if err != nil {
		return nil, err
	}
	return recordOf(s.given, s.columns, datas, meta.rows), nil
}

// piece gives the next rows of a large record batch.
func (s *Stream) piece() (arrow.RecordBatch, error) {
	piece, err := s.large.piece()
	if err != nil || s.large.left == 0 {
		s.endLarge()
	}
	return piece, err
}

// endLarge lets go of the large record batch that is being given, if there is one.
func (s *Stream) endLarge() {
	if s.large != nil {
		s.large.close()
		s.large = nil
	}
}

func (s *Stream) loader(body *memory.Buffer, meta *batchMeta, mem *budget) *loader {
	l := newReceivedLoader(body, meta, s.schema.swapped())
	l.mem, l.zstd, l.dicts = mem, s.zstd, s.dictionary
	return l
}

// maxTrailingRead bounds each look at what follows the end mark.
const maxTrailingRead = 4 << 10

// trailing makes sure that nothing but padding follows the end mark.
func (s *Stream) trailing() error {
	if timed, ok := s.source.(interface{ SetReadDeadline(t time.Time) error }); ok {
		if timed.SetReadDeadline(time.Now().Add(s.opts.Trailing)) == nil {
			defer func() { _ = timed.SetReadDeadline(time.Time{}) }() // nothing is read any more
		}
	}
	buf := make([]byte, maxTrailingRead)
	for passed := 0; passed <= maxTrailing; {
		n, err := s.in.Read(buf)
		passed += n
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			break
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
	return unsupported("bytes follow the end of the stream at byte %d (several streams in one input?)", s.off)
}

// Close gives back what the stream holds. It is idempotent, and does not close the input.
func (s *Stream) Close() {
	for _, d := range s.dicts {
		d.Release()
	}
	clear(s.dicts)
	s.bodies.close()
	s.endLarge()
	if s.err == nil {
		s.err = fmt.Errorf("read stream: %w", os.ErrClosed)
	}
}
