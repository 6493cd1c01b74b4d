package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

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
	if len(u.piece) >= 2 && binary.BigEndian.Uint16(u.piece) == evenMark {
		return u.unpackEven()
	}
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

// unpackEven makes tuples of rows that have the same lengths.
func (u *Unpacked) unpackEven() error {
	values := evenHead + 4*u.fields
	if len(u.piece) < values {
		return ErrPacked
	}
	lengths := make([]int, u.fields)
	row := 0
	for i := range lengths {
		length := u.piece[evenHead+4*i:]
		lengths[i] = fieldBytes(length)
		row += lengths[i]
		if int32(binary.BigEndian.Uint32(length)) < -1 || row > len(u.piece) {
			return ErrPacked
		}
	}
	rest := u.piece[values:]
	if rows := int64(binary.BigEndian.Uint32(u.piece[2:])); row == 0 || rows*int64(row) != int64(len(rest)) {
		return ErrPacked
	}
	// Each tuple is the one before it, with other values.
	tuple := binary.BigEndian.AppendUint16(nil, uint16(u.fields+1))
	at := make([]int, u.fields)
	for i, n := range lengths {
		tuple = append(tuple, u.piece[evenHead+4*i:][:4]...)
		at[i] = len(tuple)
		tuple = append(tuple, make([]byte, n)...)
	}
	tuple = append(tuple, u.added...)
	for len(rest) > 0 {
		for i, n := range lengths {
			if n == 8 {
				binary.NativeEndian.PutUint64(tuple[at[i]:], binary.NativeEndian.Uint64(rest))
			} else {
				copy(tuple[at[i]:at[i]+n], rest)
			}
			rest = rest[n:]
		}
		u.tuples = append(u.tuples, tuple...)
	}
	u.rest = u.tuples
	return nil
}
