package arrowfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/scratch"
	"github.com/millrace/millrace/io/format"
)

// largeBatch is a record batch of a stream that memory is not to hold: what its writer had in
// memory may come as one. Its message lies in a scratch file, as a stream of its own, and is
// read from there in pieces, as that of any file is.
type largeBatch struct {
	file   *os.File
	reader format.Reader
	next   func() (arrow.RecordBatch, error, bool)
	stop   func()
	left   int64 // rows that were not given
}

// isLarge tells of a record batch that goes through a file: one that is larger than what is
// held, of columns that are read in pieces. Dictionaries came before it, in messages of their own.
func (s *Stream) isLarge(meta *batchMeta) bool {
	if meta.body <= min(s.opts.HeldBytes, s.opts.MessageBytes) || meta.rows < 2 || len(s.schema.dicts) > 0 {
		return false
	}
	for _, c := range s.columns {
		if !inPieces(s.schema.columns[c].storage) {
			return false
		}
	}
	return true
}

// keep takes a record batch's body into a file.
func (s *Stream) keep(m message, meta *batchMeta) (_ *largeBatch, err error) {
	b := &largeBatch{left: meta.rows, stop: func() {}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.file, err = scratch.Create(scratch.Dir(""), "batch"); err != nil {
		return nil, err
	}
	head := appendMessage(appendMessage(nil, s.schemaMetadata), m.header.f.b)
	if err := b.write(head); err != nil {
		return nil, err
	}
	step := make([]byte, min(meta.body, keepStep))
	for got := int64(0); got < meta.body; {
		n, err := io.ReadFull(s.in, step[:min(meta.body-got, keepStep)])
		s.off += int64(n)
		if got += int64(n); err != nil {
			return nil, cutShort(err, "%d of %d bytes of a message's body", got, meta.body)
		}
		if err := b.write(step[:n]); err != nil {
			return nil, err
		}
	}
	if err := b.write([]byte(EndMark)); err != nil {
		return nil, err
	}
	b.reader, err = Open(fmt.Sprintf("/proc/self/fd/%d", b.file.Fd()), format.ReadOptions{
		Allocator: s.opts.Allocator, HeldBytes: s.opts.HeldBytes, ChunkBytes: s.opts.ChunkBytes, BudgetBytes: s.opts.MessageBytes,
		Name: fmt.Sprintf("the record batch at byte %d", meta.offset),
	})
	if err != nil {
		return nil, err
	}
	b.next, b.stop = iter.Pull2(b.pieces(s.columns))
	return b, nil
}

// keepStep is what is copied into the file at a time.
const keepStep = 1 << 20

// appendMessage appends a message's prefix and metadata, so that what follows is aligned.
func appendMessage(to, metadata []byte) []byte {
	padded := (len(metadata) + 7) &^ 7
	to = binary.LittleEndian.AppendUint32(to, math.MaxUint32)
	to = binary.LittleEndian.AppendUint32(to, uint32(padded))
	to = append(to, metadata...)
	return append(to, make([]byte, padded-len(metadata))...)
}

func (b *largeBatch) write(p []byte) error {
	_, err := b.file.Write(p)
	if scratch.Full(err) {
		return scratch.NoRoom(scratch.Dir(""), "a large record batch", "send smaller record batches", err)
	}
	return err
}

// pieces reads them; who takes one releases it.
func (b *largeBatch) pieces(columns []int) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		err := b.reader.ReadSpan(context.Background(), 0, columns, func(piece arrow.RecordBatch) error {
			piece.Retain()
			if !yield(piece, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough ends a reading of which no more is wanted.
var errEnough = errors.New("no more is wanted")

// piece gives the next rows. The last of them come when it is known that all are well.
func (b *largeBatch) piece() (arrow.RecordBatch, error) {
	piece, err, _ := b.next()
	if err != nil {
		return nil, err
	}
	if b.left -= piece.NumRows(); b.left > 0 {
		return piece, nil
	}
	if _, err, _ := b.next(); err != nil {
		piece.Release()
		return nil, err
	}
	return piece, nil
}

func (b *largeBatch) close() {
	b.stop()
	if b.reader != nil {
		_ = b.reader.Close()
	}
	if b.file != nil {
		_ = b.file.Close()
	}
}
