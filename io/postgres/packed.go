package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// Rows that wait for their table are packed: a table of pieces, each of which is whole
// tuples of COPY in binary, one behind the other. To a server a piece is one value of a
// page's size, so that it keeps and gives back rows at a fraction of what they cost as rows.
//
//	piece     rows integer, bytes bytea
//	bytes     tuple, tuple, ...

// PackedDefinition is the list of columns of a table of pieces.
const PackedDefinition = "(rows integer NOT NULL, bytes bytea NOT NULL)"

// PackedColumns are the columns of a statement for NewPackedCopy.
const PackedColumns = "rows, bytes"

// pieceHead is how many bytes of a piece come before its tuples: a count of fields, the rows,
// and the length of its tuples.
const pieceHead = 2 + 4 + 4 + 4

// pieces packs the tuples of a chunk.
type pieces struct {
	most   int // bytes of one; 0: tuples are not packed
	start  int // in the chunk, of the one that is open
	rows   int // of the one that is open; none is where they are 0
	widest int // of its tuples
	closed int64
}

// open makes room for the head of a piece before its first tuple.
func (p *pieces) open(chunk []byte) []byte {
	if p.most == 0 || p.rows > 0 {
		return chunk
	}
	p.start = len(chunk)
	return append(chunk, make([]byte, pieceHead)...)
}

// took counts the tuple that ends the chunk, and closes a piece that another like it might
// not fit into. One that was misjudged is larger, and the server keeps it elsewhere.
func (p *pieces) took(chunk []byte, tupleBytes int) error {
	if p.most == 0 {
		return nil
	}
	p.rows++
	p.widest = max(p.widest, tupleBytes)
	bytes := len(chunk) - p.start - pieceHead
	if bytes > maxField {
		return errRow
	}
	if bytes+p.widest > p.most {
		p.close(chunk)
	}
	return nil
}

var errRow = fmt.Errorf("its row has more than the %d bytes that can be staged", maxField)

// close fills in the head of the piece that is open, if one is.
func (p *pieces) close(chunk []byte) {
	if p.rows == 0 {
		return
	}
	head := binary.BigEndian.AppendUint16(chunk[p.start:p.start], 2)
	head = append4(head, uint32(p.rows))
	binary.BigEndian.AppendUint32(head, uint32(len(chunk)-p.start-pieceHead))
	p.rows, p.widest = 0, 0
	p.closed++
}

// Unpacked reads the stream of a COPY in binary of the bytes of pieces, and is one of their
// tuples, to each of which it adds a field of text.
type Unpacked struct {
	in     *bufio.Reader
	fields int
	added  []byte
	begun  bool
	ended  bool
	piece  []byte
	tuples []byte
	rest   []byte                // of tuples, yet to be read
	failed atomic.Pointer[error] // the driver may leave its reader behind
}

// NewUnpacked begins with a stream, of whose tuples each has so many fields.
func NewUnpacked(in io.Reader, fields int, add string) *Unpacked {
	added := binary.BigEndian.AppendUint32(nil, uint32(len(add)))
	return &Unpacked{in: bufio.NewReaderSize(in, chunkBytes), fields: fields, added: append(added, add...)}
}

// ErrPacked says that a piece is not what was staged.
var ErrPacked = errors.New("staged rows are damaged: start over with --restart")

func (u *Unpacked) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		if err := u.next(); err != nil {
			if !errors.Is(err, io.EOF) {
				u.failed.Store(&err)
			}
			return 0, err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// Err is what reading failed with: a server tells only that its client failed.
func (u *Unpacked) Err() error {
	if err := u.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// next reads the stream's header, another piece, or its end.
func (u *Unpacked) next() error {
	if u.ended {
		return io.EOF
	}
	if !u.begun {
		u.begun = true
		u.rest = copyHeader
		return u.fill(make([]byte, len(copyHeader)))
	}
	head := make([]byte, 2+4)
	if err := u.fill(head[:2]); err != nil {
		return err
	}
	switch binary.BigEndian.Uint16(head) {
	case copyEnd:
		u.ended = true
		u.rest = head[:2]
		return nil
	case 1:
	default:
		return errStream
	}
	if err := u.fill(head[2:]); err != nil {
		return err
	}
	n := int(int32(binary.BigEndian.Uint32(head[2:])))
	if n < 0 {
		return ErrPacked
	}
	if cap(u.piece) < n {
		u.piece = make([]byte, n)
	}
	u.piece = u.piece[:n]
	if err := u.fill(u.piece); err != nil {
		return err
	}
	return u.unpack()
}

// fill reads so many bytes: no stream stops before its end.
func (u *Unpacked) fill(to []byte) error {
	_, err := io.ReadFull(u.in, to)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unpack copies the tuples of a piece, each with the field that is added.
func (u *Unpacked) unpack() error {
	u.tuples = u.tuples[:0]
	for rest := u.piece; len(rest) > 0; {
		n, err := u.tupleBytes(rest)
		if err != nil {
			return err
		}
		u.tuples = binary.BigEndian.AppendUint16(u.tuples, uint16(u.fields+1))
		u.tuples = append(u.tuples, rest[2:n]...)
		u.tuples = append(u.tuples, u.added...)
		rest = rest[n:]
	}
	u.rest = u.tuples
	return nil
}

// tupleBytes is how long the tuple is that bytes begin with.
func (u *Unpacked) tupleBytes(bytes []byte) (int, error) {
	if len(bytes) < 2 || int(binary.BigEndian.Uint16(bytes)) != u.fields {
		return 0, ErrPacked
	}
	at := 2
	for range u.fields {
		if len(bytes)-at < 4 {
			return 0, ErrPacked
		}
		n := int(int32(binary.BigEndian.Uint32(bytes[at:])))
		at += 4
		if n > len(bytes)-at || n < -1 {
			return 0, ErrPacked
		}
		at += max(n, 0)
	}
	return at, nil
}
