package parquetfile

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
)

// lengths decodes the values of DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY
// pages, which keep the lengths apart from the bytes:
//
//	DELTA_LENGTH_BYTE_ARRAY  lengths as deltas, bytes
//	DELTA_BYTE_ARRAY         per value how many bytes it shares with the front of
//	                         the one before, as deltas; the rest of the values, as
//	                         DELTA_LENGTH_BYTE_ARRAY
//
// Source: parquet-format:Encodings.md.
type lengths struct {
	mem    *budget
	shared []uint32 // nil for DELTA_LENGTH_BYTE_ARRAY
	own    []uint32 // after the shared ones
	next   int      // value
	bytes  []byte   // of the values from next on
	prev   []byte   // the value before next, where bytes are shared
}

// open starts a page of at most n values. A page of nulls may have no bytes.
func (l *lengths) open(enc parquet.Encoding, data []byte, n int) (err error) {
	l.freeLengths()
	l.next, l.prev, l.bytes = 0, l.prev[:0], nil
	if len(data) == 0 {
		return nil
	}
	if enc == parquet.Encodings.DeltaByteArray {
		if l.shared, data, err = readLengths(data, n, l.mem); err != nil {
			return err
		}
	}
	if l.own, l.bytes, err = readLengths(data, n, l.mem); err != nil {
		return err
	}
	if l.shared != nil && len(l.shared) != len(l.own) {
		return damaged("%d prefixes for %d suffixes", len(l.shared), len(l.own))
	}
	return nil
}

// readLengths decodes all the deltas at the front of data, at most n, into
// memory from mem. It also gives the bytes behind them.
func readLengths(data []byte, n int, mem *budget) (lengths []uint32, rest []byte, err error) {
	d, err := newDeltas(data, n)
	if err != nil {
		return nil, nil, err
	}
	lengths = arrow.Uint32Traits.CastFromBytes(mem.Allocate(4 * max(d.total, 1)))[:d.total]
	err = decodeDeltas(&d, lengths)
	return lengths, d.rest, err
}

// total is how many bytes the next n values have.
func (l *lengths) total(n int) (bytes int64, err error) {
	if n > len(l.own)-l.next {
		return 0, noValues(n - (len(l.own) - l.next))
	}
	own := int64(0)
	for _, b := range l.own[l.next : l.next+n] {
		own += int64(b)
	}
	if own > int64(len(l.bytes)) {
		return 0, damaged("values of %d bytes where the page has %d", own, len(l.bytes))
	}
	bytes = own
	if l.shared != nil {
		for _, b := range l.shared[l.next : l.next+n] {
			bytes += int64(b)
		}
	}
	return bytes, nil
}

// value writes the next value to the front of out and returns its length.
// total has said that it is there and that out has room.
func (l *lengths) value(out []byte) (int, error) {
	own, shared := int(l.own[l.next]), 0
	if l.shared != nil {
		if shared = int(l.shared[l.next]); shared > len(l.prev) {
			return 0, damaged("value shares %d bytes with one of %d", shared, len(l.prev))
		}
		copy(out, l.prev[:shared])
	}
	copy(out[shared:], l.bytes[:own])
	l.bytes = l.bytes[own:]
	l.next++
	if l.shared != nil {
		l.keep(out[:shared+own])
	}
	return shared + own, nil
}

// exactly writes the next value to out, which has its size.
func (l *lengths) exactly(out []byte) error {
	size, err := l.total(1)
	if err != nil {
		return err
	}
	if size != int64(len(out)) {
		return damaged("value of %d bytes in a column of %d", size, len(out))
	}
	_, err = l.value(out)
	return err
}

// keep copies a value as the one before the next.
func (l *lengths) keep(value []byte) {
	if len(value) > cap(l.prev) {
		l.mem.Free(l.prev)
		l.prev = nil
		l.prev = l.mem.Allocate(min(2*len(value), math.MaxInt32))
	}
	l.prev = l.prev[:copy(l.prev[:cap(l.prev)], value)]
}

func (l *lengths) freeLengths() {
	for _, b := range [][]uint32{l.shared, l.own} {
		if cap(b) > 0 {
			l.mem.Free(arrow.Uint32Traits.CastToBytes(b[:cap(b)]))
		}
	}
	l.shared, l.own = nil, nil
}

func (l *lengths) release() {
	if l.mem == nil {
		return // never used
	}
	l.freeLengths()
	l.mem.Free(l.prev)
	l.prev, l.bytes = nil, nil
}
