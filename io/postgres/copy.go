package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/io/format"
)

// The stream of COPY ... (FORMAT binary): a header, tuples, and an end in place of another
// tuple's count of fields ("Binary Format" of the manual's page about COPY).
var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

const copyEnd = 0xffff // -1

const (
	// chunkBytes is about how much is encoded before it is sent.
	chunkBytes = 256 << 10
	// chunksWaiting bounds the chunks that are encoded and not yet with the server.
	chunksWaiting = 2
)

// Copy is a COPY into a table that goes on: batches are encoded as they are written, while
// what was encoded before is on its way.
type Copy struct {
	target *Target
	types  []Type
	pieces pieces
	chunk  []byte
	chunks chan []byte   // chunksWaiting
	free   chan []byte   // all that there are, so that nobody waits to give one back
	done   chan struct{} // closed when the server has answered
	tag    pgconn.CommandTag
	failed error // the server's, once done

	Rows   int64
	Bytes  int64  // of tuples
	Digest Digest // of the rows that were written
}

// NewCopy begins a COPY by a statement whose columns have those types. It must end by Close
// or Abort.
func (t *Target) NewCopy(ctx context.Context, conn *pgconn.PgConn, statement string, types []Type) *Copy {
	c := &Copy{
		target: t, types: types, chunk: append(make([]byte, 0, chunkBytes+chunkBytes/4), copyHeader...),
		chunks: make(chan []byte, chunksWaiting), free: make(chan []byte, chunksWaiting+2), done: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		c.tag, c.failed = conn.CopyFrom(ctx, &chunkReader{copy: c}, statement)
	}()
	return c
}

// NewPackedCopy is NewCopy into a table of PackedDefinition, with pieces of so many bytes. The
// types are those of the tuples in them.
func (t *Target) NewPackedCopy(ctx context.Context, conn *pgconn.PgConn, statement string, types []Type, pieceBytes int) *Copy {
	c := t.NewCopy(ctx, conn, statement, types)
	c.pieces.most = pieceBytes
	return c
}

// chunkReader gives the driver what is encoded.
type chunkReader struct {
	copy *Copy
	rest []byte
	all  []byte // the chunk that rest is of
}

// errAborted ends a COPY so that the server drops its rows.
var errAborted = errors.New("aborted by millrace")

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.all != nil {
			r.copy.free <- r.all[:0]
			r.all = nil
		}
		select {
		case chunk, ok := <-r.copy.chunks:
			switch {
			case !ok:
				return 0, io.EOF
			case chunk == nil:
				return 0, errAborted
			}
			r.rest, r.all = chunk, chunk
		case <-r.copy.done: // the driver may leave its reader behind
			return 0, errAborted
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Write encodes the rows of a batch, which it borrows. An error of a value wraps ErrValue
// and says in which column and row of the batch; one of the server's may be about an
// earlier batch.
func (c *Copy) Write(batch arrow.RecordBatch) error {
	cells := make([]cell, len(c.types))
	for i, to := range c.types {
		var err error
		if cells[i], err = newCell(batch.Column(i), to); err != nil {
			return fmt.Errorf("column %q: %w", batch.ColumnName(i), err)
		}
	}
	for row := range int(batch.NumRows()) {
		c.chunk = c.pieces.open(c.chunk)
		start := len(c.chunk)
		c.chunk = binary.BigEndian.AppendUint16(c.chunk, uint16(len(cells)))
		for i, cell := range cells {
			var err error
			value := len(c.chunk)
			if c.chunk, err = cell(c.chunk, row); err == nil && c.types[i].NotNull && isNull(c.chunk[value:]) {
				err = errNull
			}
			if err != nil {
				return fmt.Errorf("column %q: %s: %w: %w", batch.ColumnName(i), format.RowName(batch, row, c.Rows), ErrValue, err)
			}
		}
		c.Digest.add(c.chunk[start:])
		c.Bytes += int64(len(c.chunk) - start)
		var err error
		if c.chunk, err = c.pieces.took(c.chunk, start); err != nil {
			return fmt.Errorf("%s: %w: %w", format.RowName(batch, row, c.Rows), ErrValue, err)
		}
		c.Rows++
		if len(c.chunk) >= chunkBytes {
			if err := c.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

var errNull = errors.New("the column is NOT NULL, and this is null: leave such rows out by --where, or ALTER it to DROP NOT NULL")

// send hands the chunk on, with whole pieces.
func (c *Copy) send() error {
	c.pieces.close(c.chunk)
	select {
	case c.chunks <- c.chunk:
	case <-c.done:
		return c.ended()
	}
	select {
	case c.chunk = <-c.free:
	default:
		c.chunk = make([]byte, 0, chunkBytes+chunkBytes/4)
	}
	return nil
}

// ended words what the server said to a COPY that is over.
func (c *Copy) ended() error {
	if c.failed == nil {
		return fmt.Errorf("%w ended the COPY early", ErrServer)
	}
	return c.target.Wrap(c.failed)
}

// Close ends the COPY and says whether the server took all rows.
func (c *Copy) Close() error {
	c.pieces.close(c.chunk)
	c.chunk = binary.BigEndian.AppendUint16(c.chunk, copyEnd)
	if err := c.send(); err != nil {
		return err
	}
	close(c.chunks)
	<-c.done
	if c.failed != nil {
		return c.target.Wrap(c.failed)
	}
	sent := c.Rows
	if c.pieces.most > 0 {
		sent = c.pieces.closed
	}
	if got := c.tag.RowsAffected(); got != sent {
		return fmt.Errorf("%w took %d rows of %d", ErrServer, got, sent)
	}
	return nil
}

// Abort ends the COPY without its rows.
func (c *Copy) Abort() {
	select {
	case c.chunks <- nil:
	case <-c.done:
	}
	<-c.done
}
