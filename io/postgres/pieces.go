package postgres

import (
	"encoding/binary"
	"fmt"
)

// Rows that wait for their table are packed: a table of pieces, each of which is whole
// tuples of COPY in binary, one behind the other. To a server a piece is one value of a
// page's size, so that it keeps and gives back rows at a fraction of what they cost as rows.
//
//	piece     rows integer, bytes bytea
//	bytes     tuple, tuple, ...
//	      or  0 uint16, rows uint32, length int32 of each field, values, values, ...
//
// Rows that have the same lengths are without them, which are half of what a few numbers
// take: no tuple begins with 0, as it has fields.

// PackedDefinition is the list of columns of a table of pieces.
const PackedDefinition = "(rows integer NOT NULL, bytes bytea NOT NULL)"

// PackedColumns are the columns of a statement for NewPackedCopy.
const PackedColumns = "rows, bytes"

// pieceHead is how many bytes of a piece come before its tuples: a count of fields, the rows,
// and the length of its tuples.
const pieceHead = 2 + 4 + 4 + 4

// evenHead is what comes before the lengths of rows that have the same, and evenMark is its
// count of fields.
const (
	evenHead = 2 + 4
	evenMark = 0
)

// unevenMost is how many pieces of rows with the same lengths may end before they are half
// full: after them, rows of this COPY keep their lengths.
const unevenMost = 16

// pieces packs the tuples of a chunk.
type pieces struct {
	most   int // bytes of one; 0: tuples are not packed
	start  int // in the chunk, of the one that is open
	rows   int // of the one that is open; none is where they are 0
	widest int // of its tuples
	closed int64

	lengths []byte // of the fields of an even piece, one behind the other; nil: it is not even
	uneven  int    // even pieces that ended early
}

// open makes room for the head of a piece before its first tuple.
func (p *pieces) open(chunk []byte) []byte {
	if p.most == 0 || p.rows > 0 {
		return chunk
	}
	p.start = len(chunk)
	return append(chunk, make([]byte, pieceHead)...)
}

// took counts the tuple at the end of the chunk, and closes a piece that another like it might
// not fit into. One that was misjudged is larger, and the server keeps it elsewhere.
func (p *pieces) took(chunk []byte, tuple int) ([]byte, error) {
	if p.most == 0 {
		return chunk, nil
	}
	switch {
	case p.rows == 0:
		chunk = p.first(chunk, tuple)
	case p.lengths != nil && sameLengths(chunk[tuple:], p.lengths):
		chunk = keepValues(chunk, tuple)
	case p.lengths != nil:
		return p.turn(chunk, tuple)
	default:
		p.widest = max(p.widest, len(chunk)-tuple)
	}
	p.rows++
	bytes := len(chunk) - p.start - pieceHead
	if bytes > maxField {
		return chunk, errRow
	}
	if bytes+p.widest > p.most {
		p.close(chunk)
	}
	return chunk, nil
}

// first makes an even piece of its first tuple, where a piece has room for several.
func (p *pieces) first(chunk []byte, tuple int) []byte {
	p.widest = len(chunk) - tuple
	if p.uneven >= unevenMost || 2*p.widest > p.most {
		p.lengths = nil
		return chunk
	}
	p.lengths = lengthsOf(chunk[tuple:], p.lengths[:0])
	values := p.widest - 2 - len(p.lengths)
	if values == 0 { // there could be any number of such rows
		p.lengths = nil
		return chunk
	}
	row := len(p.lengths) + evenHead
	chunk = append(chunk, make([]byte, row)...)
	copy(chunk[tuple+row:], chunk[tuple:tuple+p.widest])
	copy(chunk[tuple:], make([]byte, evenHead))
	copy(chunk[tuple+evenHead:], p.lengths)
	chunk = keepValues(chunk, tuple+row)
	p.widest = values
	return chunk
}

// turn closes an even piece before a tuple that is not like its rows, and opens another.
func (p *pieces) turn(chunk []byte, tuple int) ([]byte, error) {
	if 2*(tuple-p.start) < p.most {
		p.uneven++
	}
	p.close(chunk[:tuple])
	p.start = tuple
	chunk = append(chunk, make([]byte, pieceHead)...)
	copy(chunk[tuple+pieceHead:], chunk[tuple:len(chunk)-pieceHead])
	return p.took(chunk, tuple+pieceHead)
}

// lengthsOf appends the lengths of a tuple's fields.
func lengthsOf(tuple, to []byte) []byte {
	for at := 2; at < len(tuple); {
		to = append(to, tuple[at:at+4]...)
		at += 4 + fieldBytes(tuple[at:])
	}
	return to
}

// fieldBytes is how many bytes of a value follow a length; null has none.
func fieldBytes(length []byte) int { return max(int(int32(binary.BigEndian.Uint32(length))), 0) }

func sameLengths(tuple, lengths []byte) bool {
	at := 2
	for ; len(lengths) > 0 && at < len(tuple); lengths = lengths[4:] {
		if binary.BigEndian.Uint32(tuple[at:]) != binary.BigEndian.Uint32(lengths) {
			return false
		}
		at += 4 + fieldBytes(lengths)
	}
	return true // a COPY's tuples have the same number of fields
}

// keepValues takes the lengths out of the tuple that ends the chunk.
func keepValues(chunk []byte, tuple int) []byte {
	to := tuple
	for at := tuple + 2; at < len(chunk); {
		n := fieldBytes(chunk[at:])
		at += 4
		if n == 8 { // as most numbers are
			binary.NativeEndian.PutUint64(chunk[to:], binary.NativeEndian.Uint64(chunk[at:]))
		} else {
			copy(chunk[to:], chunk[at:at+n])
		}
		at += n
		to += n
	}
	return chunk[:to]
}

var errRow = fmt.Errorf("its row has more than the %d bytes that can be staged", maxField)

// close fills in the head of the piece that is open, if one is.
func (p *pieces) close(chunk []byte) {
	if p.rows == 0 {
		return
	}
	head := binary.BigEndian.AppendUint16(chunk[p.start:p.start], 2)
	head = append4(head, uint32(p.rows))
	head = binary.BigEndian.AppendUint32(head, uint32(len(chunk)-p.start-pieceHead))
	if p.lengths != nil {
		head = binary.BigEndian.AppendUint16(head, evenMark)
		binary.BigEndian.AppendUint32(head, uint32(p.rows))
	}
	p.rows, p.widest = 0, 0
	p.closed++
}
