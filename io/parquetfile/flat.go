package parquetfile

import "encoding/binary"

// flat is a flatbuffer read with every offset checked. The first contradiction
// sets bad, and from then on everything reads as absent.
//
//	root:   offset u32 -> table
//	table:  offset i32 back to its vtable, then the fields
//	vtable: its bytes u16, the table's bytes u16, per field its offset u16 in the table, 0 = absent
//	vector: count u32, then the elements
type flat struct {
	b    []byte
	bad  bool
	left int // elements of vectors that may still be visited
}

type flatTable struct {
	f      *flat
	pos    int
	size   int
	vtable int
	slots  int
}

func (f *flat) root() flatTable { return f.tableAt(f.follow(0)) }

// follow returns where the offset at pos leads, or -1.
func (f *flat) follow(pos int) int {
	if f.bad || pos < 0 || pos+4 > len(f.b) {
		f.bad = true
		return -1
	}
	to := int64(pos) + int64(binary.LittleEndian.Uint32(f.b[pos:]))
	if to == int64(pos) || to+4 > int64(len(f.b)) {
		f.bad = true
		return -1
	}
	return int(to)
}

func (f *flat) tableAt(pos int) flatTable {
	none := flatTable{f: f}
	if f.bad || pos < 0 || pos+4 > len(f.b) {
		f.bad = true
		return none
	}
	vt := int64(pos) - int64(int32(binary.LittleEndian.Uint32(f.b[pos:])))
	if vt < 0 || vt+4 > int64(len(f.b)) {
		f.bad = true
		return none
	}
	vtBytes := int(binary.LittleEndian.Uint16(f.b[vt:]))
	size := int(binary.LittleEndian.Uint16(f.b[vt+2:]))
	if vtBytes < 4 || int64(vtBytes) > int64(len(f.b))-vt || size < 4 || size > len(f.b)-pos {
		f.bad = true
		return none
	}
	return flatTable{f: f, pos: pos, size: size, vtable: int(vt), slots: (vtBytes - 4) / 2}
}

// field returns where a field of width bytes lies, or -1 where it is absent.
func (t flatTable) field(slot, width int) int {
	if t.f.bad || slot >= t.slots {
		return -1
	}
	off := int(binary.LittleEndian.Uint16(t.f.b[t.vtable+4+2*slot:]))
	if off == 0 {
		return -1
	}
	if off < 4 || off+width > t.size {
		t.f.bad = true
		return -1
	}
	return t.pos + off
}

func (t flatTable) u8(slot int) uint8 {
	if p := t.field(slot, 1); p >= 0 {
		return t.f.b[p]
	}
	return 0
}

func (t flatTable) i16(slot int, absent int16) int16 {
	if p := t.field(slot, 2); p >= 0 {
		return int16(binary.LittleEndian.Uint16(t.f.b[p:]))
	}
	return absent
}

func (t flatTable) i32(slot int, absent int32) int32 {
	if p := t.field(slot, 4); p >= 0 {
		return int32(binary.LittleEndian.Uint32(t.f.b[p:]))
	}
	return absent
}

// table returns a referenced table; an absent one has no fields.
func (t flatTable) table(slot int) flatTable {
	if p := t.field(slot, 4); p >= 0 {
		return t.f.tableAt(t.f.follow(p))
	}
	return flatTable{f: t.f}
}

// vector returns where the tables of a vector lie. Vectors may share tables, so
// a flatbuffer can describe far more of them than it has bytes: the number
// visited is bounded.
func (t flatTable) vector(slot int) []int {
	start, n := t.elements(slot, 4)
	if t.f.left -= n; t.f.left < 0 {
		t.f.bad = true
	}
	if t.f.bad || n == 0 {
		return nil
	}
	at := make([]int, n)
	for i := range at {
		at[i] = t.f.follow(start + 4*i)
	}
	return at
}

func (t flatTable) text(slot int) string {
	start, n := t.elements(slot, 1)
	if t.f.left -= n; t.f.left < 0 {
		t.f.bad = true
	}
	if t.f.bad {
		return ""
	}
	return string(t.f.b[start : start+n])
}

func (t flatTable) elements(slot, width int) (start, n int) {
	p := t.field(slot, 4)
	if p < 0 {
		return 0, 0
	}
	at := t.f.follow(p)
	if at < 0 {
		return 0, 0
	}
	count := int64(binary.LittleEndian.Uint32(t.f.b[at:]))
	if count*int64(width) > int64(len(t.f.b)-at-4) {
		t.f.bad = true
		return 0, 0
	}
	return at + 4, int(count)
}
