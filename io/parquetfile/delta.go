package parquetfile

import (
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// deltas decodes DELTA_BINARY_PACKED:
//
//	block size uvarint, miniblocks per block uvarint, values uvarint, the first value varint
//	per block: the least delta varint, the bits of a delta u8 per miniblock,
//	then the miniblocks: deltas above the least, bit-packed
//
// Sums wrap around. Deltas of values of 32 bits may have more bits than these: DuckDB
// subtracts in 64 bits, where others wrap around, and both ways have the same last 32. The
// last block ends with its last miniblock that has values.
//
// Source: parquet-format:Encodings.md.
type deltas struct {
	rest  []byte
	total int  // values not yet given
	first bool // the next value is last itself

	last, least uint64
	perMini     int
	widths      []byte // of the miniblocks to come in this block; in rest's bytes
	minis       int    // per block

	left   int // values of the current miniblock not yet given
	packed []byte
	bit    int
	width  uint
}

// newDeltas reads the head of the values in b, at most n.
func newDeltas(b []byte, n int) (d deltas, err error) {
	d = deltas{rest: b, first: true}
	var head [3]uint64
	for i := range head {
		if head[i], err = d.uvarint(); err != nil {
			return d, err
		}
	}
	block, minis, total := head[0], head[1], head[2]
	if head == [3]uint64{} {
		return d, nil // what arrow-go writes where all values of a page are null
	}
	if block == 0 || minis == 0 || block > math.MaxInt32 || minis > block || block%minis != 0 || block/minis%8 != 0 {
		return d, damaged("deltas in blocks of %d values, of %d miniblocks", block, minis)
	}
	if total > uint64(n) {
		return d, damaged("%d deltas in a page of %d values", total, n)
	}
	d.minis, d.perMini, d.total = int(minis), int(block/minis), int(total)
	d.last, err = d.varint()
	return d, err
}

func (d *deltas) uvarint() (uint64, error) {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return 0, damaged("deltas end early")
	}
	d.rest = d.rest[n:]
	return v, nil
}

func (d *deltas) varint() (uint64, error) {
	v, err := d.uvarint()
	return v>>1 ^ -(v & 1), err
}

// mini starts the next miniblock.
func (d *deltas) mini() (err error) {
	if len(d.widths) == 0 {
		if d.least, err = d.varint(); err != nil {
			return err
		}
		if d.minis > len(d.rest) {
			return damaged("deltas end early")
		}
		d.widths, d.rest = d.rest[:d.minis], d.rest[d.minis:]
	}
	d.width, d.widths = uint(d.widths[0]), d.widths[1:]
	if d.width > 64 {
		return damaged("deltas of %d bits", d.width)
	}
	bytes := d.perMini / 8 * int(d.width)
	if bytes > len(d.rest) { // only the very last may be cut short
		bytes = len(d.rest)
		if bytes*8 < min(d.total, d.perMini)*int(d.width) {
			return damaged("deltas end early")
		}
	}
	d.packed, d.rest = d.rest[:bytes], d.rest[bytes:]
	d.left, d.bit = d.perMini, 0
	return nil
}

// decodeDeltas fills out with the next values.
func decodeDeltas[T uint32 | uint64](d *deltas, out []T) error {
	if len(out) > d.total {
		return damaged("page has %d deltas fewer than values", len(out)-d.total)
	}
	d.total -= len(out)
	if d.first && len(out) > 0 {
		d.first = false
		out[0] = T(d.last)
		out = out[1:]
	}
	for len(out) > 0 {
		if d.left == 0 {
			d.total += len(out) // as mini counts them
			err := d.mini()
			d.total -= len(out)
			if err != nil {
				return err
			}
		}
		k := min(len(out), d.left)
		for i := range out[:k] {
			d.last += d.least + kernel.BitsAt(d.packed, uint(d.bit), d.width)
			d.bit += int(d.width)
			out[i] = T(d.last)
		}
		d.left -= k
		out = out[k:]
	}
	return nil
}
