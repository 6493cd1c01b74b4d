package postgres

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/zeebo/xxh3"
)

// Digest is the sum of the XXH3-64 digests of rows, each of its tuple in binary: whatever
// their order, the same rows have the same. It tells accidents, not forgery.
type Digest uint64

func (d *Digest) add(tuple []byte) { *d += Digest(xxh3.Hash(tuple)) }

// String is sixteen hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// Account is what there is to say of rows.
type Account struct {
	Rows   int64
	Bytes  int64 // of tuples
	Digest Digest
}

// ReadDigest has the server send the rows of a query, and digests them as Copy does those
// that it sends.
func (t *Target) ReadDigest(ctx context.Context, conn *pgconn.PgConn, query string) (Account, error) {
	in, out := io.Pipe()
	go func() {
		gathered := bufio.NewWriterSize(out, chunkBytes) // the driver writes row by row
		_, err := conn.CopyTo(ctx, gathered, "COPY ("+query+") TO STDOUT (FORMAT binary)")
		err = cmp.Or(err, gathered.Flush())
		_ = out.CloseWithError(err) // never fails
	}()
	account, err := digestTuples(bufio.NewReaderSize(in, chunkBytes))
	_ = in.CloseWithError(errAborted) // never fails
	return account, t.Wrap(err)
}

var errStream = errors.New("what the server sends is no COPY in binary")

// digestTuples reads a stream of COPY in binary.
func digestTuples(r *bufio.Reader) (Account, error) {
	var a Account
	header := make([]byte, len(copyHeader))
	if _, err := io.ReadFull(r, header); err != nil {
		return a, err
	}
	var tuple []byte
	for {
		tuple = append(tuple[:0], 0, 0)
		if _, err := io.ReadFull(r, tuple); err != nil {
			return a, err
		}
		fields := binary.BigEndian.Uint16(tuple)
		if fields == copyEnd {
			_, err := r.ReadByte() // what went wrong after the end, or nothing
			if errors.Is(err, io.EOF) {
				return a, nil
			}
			return a, errors.Join(errStream, err)
		}
		for range fields {
			at := len(tuple)
			tuple = append(tuple, 0, 0, 0, 0)
			if _, err := io.ReadFull(r, tuple[at:]); err != nil {
				return a, err
			}
			n := int32(binary.BigEndian.Uint32(tuple[at:]))
			if n < 0 {
				continue
			}
			at = len(tuple)
			tuple = append(tuple, make([]byte, n)...)
			if _, err := io.ReadFull(r, tuple[at:]); err != nil {
				return a, err
			}
		}
		a.Digest.add(tuple)
		a.Bytes += int64(len(tuple))
		a.Rows++
	}
}
