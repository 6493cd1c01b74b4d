package parquetfile

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/recycle"
)

const (
	// mostDictionaryBytes are the most that the values of a column chunk's dictionary take
	// with their lengths, as long as fileDictionaryBytes are not more for all columns, and
	// leastDictionaryBytes are enough for each.
	mostDictionaryBytes  = 1 << 20
	fileDictionaryBytes  = 16 << 20
	leastDictionaryBytes = 64 << 10
	// dictionaryValueBytes is the least that a value counts in that: what the table has
	// of it.
	dictionaryValueBytes = 16
	leastTableSlots      = 1 << 9
)

// textDictionary are the distinct values of a column chunk, in the order in which they came.
type textDictionary struct {
	mem    *budget
	limit  int    // of bytes
	values []byte // as the dictionary page has them: length u32, bytes
	ends   []byte // of each value, in values, u32
	hashes []byte // of each value, u32
	table  []byte // slots of hash tables: a value's number and 1, u32; 0 is free
	n      int
}

// ofTexts keeps who chooses texts from knowing which share a slot.
var ofTexts = maphash.MakeSeed()

// number is that of a value, which is added if it is new; ok is false if there is no room.
func (d *textDictionary) number(v []byte) (number uint32, added, ok bool) {
	hash := uint32(maphash.Bytes(ofTexts, v))
	if d.n > 0 {
		slots, hashes := arrow.Uint32Traits.CastFromBytes(d.table), arrow.Uint32Traits.CastFromBytes(d.hashes)
		mask := uint32(len(slots) - 1)
		for at := hash & mask; slots[at] != 0; at = (at + 1) & mask {
			if i := slots[at] - 1; hashes[i] == hash && bytes.Equal(d.value(i), v) {
				return i, false, true
			}
		}
	}
	if max(len(d.values)+4+len(v), (d.n+1)*dictionaryValueBytes) > d.limit {
		return 0, false, false
	}
	if 2*(d.n+1) > len(d.table)/4 {
		d.grow()
	}
	if len(d.values)+4+len(v) > cap(d.values) {
		d.values = roomFor(d.mem, d.values, min(max(4+len(v), cap(d.values)), d.limit-len(d.values)))
	}
	d.values = append(binary.LittleEndian.AppendUint32(d.values, uint32(len(v))), v...)
	d.ends = binary.LittleEndian.AppendUint32(d.ends, uint32(len(d.values)))
	d.hashes = binary.LittleEndian.AppendUint32(d.hashes, hash)
	d.n++
	arrow.Uint32Traits.CastFromBytes(d.table)[d.free(hash)] = uint32(d.n)
	return uint32(d.n - 1), true, true
}

// free is the first free slot for a hash.
func (d *textDictionary) free(hash uint32) uint32 {
	slots := arrow.Uint32Traits.CastFromBytes(d.table)
	mask := uint32(len(slots) - 1)
	at := hash & mask
	for slots[at] != 0 {
		at = (at + 1) & mask
	}
	return at
}

// grow makes a table of twice the slots.
func (d *textDictionary) grow() {
	slots := max(leastTableSlots, 2*len(d.table)/4)
	d.mem.Free(d.table)
	d.table = d.mem.Allocate(4 * slots)
	clear(d.table)
	table := arrow.Uint32Traits.CastFromBytes(d.table)
	for i, hash := range arrow.Uint32Traits.CastFromBytes(d.hashes) {
		table[d.free(hash)] = uint32(i + 1)
	}
	more := 4 * (slots/2 - d.n)
	d.ends, d.hashes = roomFor(d.mem, d.ends, more), roomFor(d.mem, d.hashes, more)
}

// roomFor makes room for n more bytes behind b, in b or in another buffer of mem.
func roomFor(mem *budget, b []byte, n int) []byte {
	if len(b)+n <= cap(b) {
		return b
	}
	grown := mem.Allocate(max(len(b)+n, recycle.MinBytes))[:len(b)]
	copy(grown, b)
	mem.Free(b[:cap(b)])
	return grown
}

// value is that of a number.
func (d *textDictionary) value(i uint32) []byte {
	from := uint32(0)
	if i > 0 {
		from = binary.LittleEndian.Uint32(d.ends[4*i-4:])
	}
	return d.values[from+4 : binary.LittleEndian.Uint32(d.ends[4*i:])]
}

// drop forgets all values and gives the buffers back.
func (d *textDictionary) drop() {
	for _, b := range [][]byte{d.values, d.ends, d.hashes, d.table} {
		d.mem.Free(b[:cap(b)])
	}
	d.values, d.ends, d.hashes, d.table, d.n = nil, nil, nil, nil, 0
}
