package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/io/format"
)

// maxThriftDepth bounds structures within structures in a footer; the format
// needs 8.
const maxThriftDepth = 32

// maxSchemaDepth bounds nested groups in a Parquet schema. A list or map takes
// two groups, so this allows 32 levels of Arrow types.
const maxSchemaDepth = 64

// bytesPerThriftStruct is what one decoded structure is taken to cost in
// memory when it is checked against the budget.
const bytesPerThriftStruct = 256

// Wire types of Thrift's compact protocol.
// Source: apache/thrift:doc/specs/thrift-compact-protocol.md.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

// Fields of parquet.thrift that the walk looks at.
const (
	fileMetaDataSchema       = 2
	fileMetaDataRows         = 3
	fileMetaDataRowGroups    = 4
	schemaElementNumChildren = 5
)

// thriftWalk steps over structures in Thrift's compact protocol without building
// anything. The footer's decoder behind it allocates what a length field claims and
// recurses as deep as the schema's child counts say; this walk refuses what
// the bytes cannot hold before the decoder sees it.
type thriftWalk struct {
	what       string // what is walked, for errors
	b          []byte
	pos        int
	structs    int64
	maxStructs int64
	children   []int32  // num_children of each schema element, in order
	rowGroups  walked   // the list of row groups; empty where there is none
	groups     []walked // each of them
	rows       walked   // the number of rows
}

// walked is from where to where something stands in the bytes that are walked.
type walked struct{ from, to int }

// walkFooter returns an error unless footer is one well-formed structure
// with a schema no deeper than maxSchemaDepth, and decoding it takes at most
// budget bytes.
func walkFooter(footer []byte, budget int64) (*thriftWalk, error) {
	w := &thriftWalk{what: "footer", b: footer, maxStructs: budget / bytesPerThriftStruct}
	if err := w.structure(0, 0); errors.Is(err, format.ErrBudget) {
		return nil, fmt.Errorf("%w; write the file with larger row groups, or as several files", err)
	} else if err != nil {
		return nil, err
	}
	return w, checkSchemaDepth(w.children)
}

// checkSchemaDepth takes the child counts of a schema's elements in depth-first
// order, the root first.
func checkSchemaDepth(children []int32) error {
	if len(children) == 0 {
		return damaged("footer has no schema")
	}
	var open []int32 // children still to come, per open group
	for i, n := range children {
		switch {
		case n < 0:
			return damaged("schema element %d has %d children", i, n)
		case i > 0 && len(open) == 0:
			return damaged("schema has %d elements after its root's last child", len(children)-i)
		}
		if len(open) > 0 {
			open[len(open)-1]--
		}
		if n > 0 || i == 0 {
			if len(open) == maxSchemaDepth {
				return fmt.Errorf("%w: schema is nested deeper than %d groups", format.ErrUnsupported, maxSchemaDepth)
			}
			open = append(open, n)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return damaged("schema ends %d elements early", open[len(open)-1])
	}
	return nil
}

func (w *thriftWalk) fail(what string) error {
	return damaged("%s: %s at byte %d of %d", w.what, what, w.pos, len(w.b))
}

func (w *thriftWalk) left() int { return len(w.b) - w.pos }

func (w *thriftWalk) byte() (byte, error) {
	if w.left() < 1 {
		return 0, w.fail("ends early")
	}
	w.pos++
	return w.b[w.pos-1], nil
}

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(w.left()) {
		return w.fail(fmt.Sprintf("%d bytes claimed", n))
	}
	w.pos += int(n)
	return nil
}

func (w *thriftWalk) uvarint() (uint64, error) {
	v, n := binary.Uvarint(w.b[w.pos:])
	if n <= 0 {
		return 0, w.fail("bad varint")
	}
	w.pos += n
	return v, nil
}

func (w *thriftWalk) varint() (int64, error) {
	v, err := w.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

// structure steps over one structure. at is the path of field numbers that led
// here, most recent in the low bits, 8 bits each; 0 is the root.
func (w *thriftWalk) structure(at uint32, depth int) error {
	if depth > maxThriftDepth {
		return w.fail("nested too deep")
	}
	if w.structs++; w.structs > w.maxStructs {
		return fmt.Errorf("%w: the %s has more than %d parts", format.ErrBudget, w.what, w.maxStructs)
	}
	inSchemaElement := at == fileMetaDataSchema && depth == 1
	if inSchemaElement {
		w.children = append(w.children, 0)
	}
	field := int16(0)
	for {
		kind, err := w.field(&field)
		if err != nil || kind == thriftStop {
			return err
		}
		if inSchemaElement && field == schemaElementNumChildren && kind == thriftI32 {
			n, err := w.varint()
			if err != nil {
				return err
			}
			w.children[len(w.children)-1] = int32(n)
			continue
		}
		from := w.pos
		if err := w.value(kind, at<<8|uint32(uint8(field)), depth, false); err != nil {
			return err
		}
		switch {
		case depth > 0:
		case field == fileMetaDataRows && kind == thriftI64:
			w.rows = walked{from, w.pos}
		case field == fileMetaDataRowGroups && kind == thriftList:
			if w.rowGroups.to > 0 {
				return w.fail("a second list of row groups")
			}
			w.rowGroups = walked{from, w.pos}
		}
	}
}

// field reads the head of the next field of a structure: its type, and its id
// into id, which holds the one before. thriftStop ends the structure.
func (w *thriftWalk) field(id *int16) (kind byte, err error) {
	head, err := w.byte()
	if err != nil {
		return 0, err
	}
	kind = head & 0x0f
	if kind == thriftStop {
		return thriftStop, nil
	}
	if delta := head >> 4; delta != 0 {
		*id += int16(delta)
		return kind, nil
	}
	long, err := w.varint()
	*id = int16(long)
	return kind, err
}

// value steps over one value. Booleans take a byte inside collections only.
func (w *thriftWalk) value(kind byte, at uint32, depth int, element bool) error {
	switch kind {
	case thriftTrue, thriftFalse:
		if element {
			return w.skip(1)
		}
		return nil
	case thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.uvarint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftUUID:
		return w.skip(16)
	case thriftBinary:
		n, err := w.uvarint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		return w.list(at, depth)
	case thriftMap:
		return w.dict(at, depth)
	case thriftStruct:
		return w.structure(at, depth+1)
	}
	return w.fail(fmt.Sprintf("unknown type %d", kind))
}

func (w *thriftWalk) list(at uint32, depth int) error {
	if depth > maxThriftDepth {
		return w.fail("nested too deep")
	}
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.uvarint(); err != nil {
			return err
		}
	}
	if n > uint64(w.left()) { // an element takes at least a byte
		return w.fail(fmt.Sprintf("list of %d elements", n))
	}
	for range n {
		from := w.pos
		if kind := head & 0x0f; kind == thriftList || kind == thriftSet || kind == thriftMap {
			err = w.value(kind, at, depth+1, true)
		} else {
			err = w.value(kind, at, depth, true)
		}
		if err != nil {
			return err
		}
		if depth == 0 && at == fileMetaDataRowGroups {
			w.groups = append(w.groups, walked{from, w.pos})
		}
	}
	return nil
}

func (w *thriftWalk) dict(at uint32, depth int) error {
	n, err := w.uvarint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	if depth > maxThriftDepth || n > uint64(w.left()) {
		return w.fail(fmt.Sprintf("map of %d entries", n))
	}
	for range n {
		if err := w.value(kinds>>4, at, depth+1, true); err != nil {
			return err
		}
		if err := w.value(kinds&0x0f, at, depth+1, true); err != nil {
			return err
		}
	}
	return nil
}
