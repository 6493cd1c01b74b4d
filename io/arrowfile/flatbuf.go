package arrowfile

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/io/format"
)

// Limits on metadata, far above what writers produce.
const (
	maxMetadataBytes = 64 << 20 // one footer or message
	maxStringBytes   = 64 << 20 // names and custom metadata of one schema, which may share bytes
	maxVisits        = 1 << 20  // fields and metadata entries of one schema
	maxDepth         = 32       // nested fields
)

// damaged returns an error that wraps format.ErrDamaged.
func damaged(message string, args ...any) error {
	return fmt.Errorf("%w: %s", format.ErrDamaged, fmt.Sprintf(message, args...))
}

// unsupported returns an error that wraps format.ErrUnsupported.
func unsupported(message string, args ...any) error {
	return fmt.Errorf("%w: %s", format.ErrUnsupported, fmt.Sprintf(message, args...))
}

// flat is one flatbuffer under a checked walk. The first contradiction is kept
// in err, which names no file and wraps no sentinel; from then on every access gives a zero, so that callers check once
// after a group of accesses. A walk ends because tables refer only forward
// within bytes and because the caller counts visits.
//
//	root:   uoffset u32 -> table
//	table:  soffset i32 -> vtable (backwards), then the fields
//	vtable: its bytes u16, table bytes u16, then per field the offset u16 in the table, 0 = default;
//	        the table bytes are not looked at, for Go's builder lets tables of
//	        different sizes share a vtable
//	vector: count u32, then the elements
type flat struct {
	b       []byte
	err     error
	visits  int // tables in vectors seen so far
	strings int // bytes of strings copied so far
}

// table is a checked table of a flat.
type table struct {
	f      *flat
	pos    int // of the table in f.b
	vtable int // position of the vtable
	fields int // entries in the vtable
}

func (f *flat) fail(message string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(message, args...)
	}
}

func (f *flat) root() table { return f.tableAt(f.follow(0)) }

// follow returns the position that the uoffset at pos leads to, or -1.
func (f *flat) follow(pos int) int {
	if f.err != nil {
		return -1
	}
	if pos < 0 || len(f.b) < 4 || pos > len(f.b)-4 {
		f.fail("offset at byte %d of %d", pos, len(f.b))
		return -1
	}
	off := int64(binary.LittleEndian.Uint32(f.b[pos:]))
	if off == 0 || int64(pos)+off > int64(len(f.b))-4 {
		f.fail("offset %d at byte %d leads outside of %d bytes", off, pos, len(f.b))
		return -1
	}
	return pos + int(off)
}

func (f *flat) tableAt(pos int) table {
	if f.err != nil || pos < 0 {
		return table{f: f}
	}
	vt := int64(pos) - int64(int32(binary.LittleEndian.Uint32(f.b[pos:])))
	if vt < 0 || vt > int64(len(f.b))-4 {
		f.fail("table at byte %d has its vtable at byte %d of %d", pos, vt, len(f.b))
		return table{f: f}
	}
	size := int(binary.LittleEndian.Uint16(f.b[vt:]))
	if size < 4 || size%2 != 0 || int64(size) > int64(len(f.b))-vt {
		f.fail("table at byte %d of %d: vtable of %d bytes", pos, len(f.b), size)
		return table{f: f}
	}
	return table{f: f, pos: pos, vtable: int(vt), fields: (size - 4) / 2}
}

// field returns the position of a field of width bytes, or -1 for the default.
func (t table) field(slot, width int) int {
	if t.f.err != nil || slot >= t.fields {
		return -1
	}
	off := int(binary.LittleEndian.Uint16(t.f.b[t.vtable+4+2*slot:]))
	if off == 0 {
		return -1
	}
	if off < 4 || off+width > len(t.f.b)-t.pos {
		t.f.fail("field %d of the table at byte %d lies %d bytes on, of %d", slot, t.pos, off, len(t.f.b)-t.pos)
		return -1
	}
	return t.pos + off
}

func (t table) u8(slot int) uint8 {
	if p := t.field(slot, 1); p >= 0 {
		return t.f.b[p]
	}
	return 0
}

func (t table) boolean(slot int) bool { return t.u8(slot) != 0 }

func (t table) i16(slot int, def int16) int16 {
	if p := t.field(slot, 2); p >= 0 {
		return int16(binary.LittleEndian.Uint16(t.f.b[p:]))
	}
	return def
}

func (t table) i32(slot int, def int32) int32 {
	if p := t.field(slot, 4); p >= 0 {
		return int32(binary.LittleEndian.Uint32(t.f.b[p:]))
	}
	return def
}

func (t table) i64(slot int) int64 {
	if p := t.field(slot, 8); p >= 0 {
		return int64(binary.LittleEndian.Uint64(t.f.b[p:]))
	}
	return 0
}

// table returns a referenced table; ok is false where it is absent.
func (t table) table(slot int) (sub table, ok bool) {
	p := t.field(slot, 4)
	if p < 0 {
		return table{f: t.f}, false
	}
	sub = t.f.tableAt(t.f.follow(p))
	return sub, t.f.err == nil
}

// elements returns where the elements of a vector of the given width start and
// how many there are.
func (t table) elements(slot, width int) (start, n int) {
	p := t.field(slot, 4)
	if p < 0 {
		return 0, 0
	}
	at := t.f.follow(p)
	if at < 0 {
		return 0, 0
	}
	count := int64(binary.LittleEndian.Uint32(t.f.b[at:]))
	if count > int64((len(t.f.b)-at-4)/width) {
		t.f.fail("vector of %d elements at byte %d of %d", count, at, len(t.f.b))
		return 0, 0
	}
	return at + 4, int(count)
}

// vector returns the bytes of a vector's elements and their number.
func (t table) vector(slot, width int) (elements []byte, n int) {
	start, n := t.elements(slot, width)
	return t.f.b[start : start+n*width], n
}

// tables returns the positions of a vector of tables. The total over a walk is
// bounded by the bytes there are, for several vectors may name one table.
func (t table) tables(slot int) []int {
	start, n := t.elements(slot, 4)
	if n == 0 {
		return nil
	}
	t.f.visits += n
	if t.f.visits > maxVisits {
		t.f.fail("more than %d fields and metadata entries", maxVisits)
		return nil
	}
	if t.f.visits > len(t.f.b)/4 {
		t.f.fail("tables are referred to more often than its bytes allow")
		return nil
	}
	at := make([]int, n)
	for i := range at {
		at[i] = t.f.follow(start + 4*i)
	}
	if t.f.err != nil {
		return nil
	}
	return at
}

// text returns a copy of a string.
func (t table) text(slot int) string {
	elements, n := t.vector(slot, 1)
	t.f.strings += n
	if t.f.strings > maxStringBytes {
		t.f.fail("more than %d bytes of names and values", maxStringBytes)
		return ""
	}
	return string(elements)
}
