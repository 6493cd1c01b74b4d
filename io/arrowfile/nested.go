package arrowfile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// offsets reads rows+1 offsets of a width and checks that they ascend. It
// returns the last one.
func (l *loader) offsets(rows int64, width int) (*memory.Buffer, int64, error) {
	if rows == 0 {
		// Some writers leave the one offset out.
		_, err := l.nextBuffer()
		return zeroOffsets, 0, err
	}
	b, err := l.fixed(rows+1, width, word(width))
	if err != nil {
		return nil, 0, err
	}
	last, err := checkOffsets(b.Bytes(), width)
	return b, last, err
}

// text reads strings and binaries: offsets, then bytes.
func (l *loader) text(p parts, width int) (*array.Data, error) {
	offsets, last, err := l.offsets(p.rows, width)
	if err != nil {
		return nil, err
	}
	data, err := l.buffer(last, bytesWord)
	if err != nil {
		return nil, err
	}
	return l.data(p, []*memory.Buffer{p.validity, offsets, data}, nil, nil), nil
}

// views reads string and binary views: the views, then a number of buffers
// that they point into.
func (l *loader) views(p parts) (*array.Data, error) {
	views, err := l.fixed(p.rows, viewBytes, viewWord)
	if err != nil {
		return nil, err
	}
	n, err := l.nextVariadic()
	if err != nil {
		return nil, err
	}
	buffers, sizes := []*memory.Buffer{p.validity, views}, make([]int64, n)
	for i := range sizes {
		b, err := l.buffer(whole, bytesWord)
		if err != nil {
			return nil, err
		}
		buffers = append(buffers, b)
		sizes[i] = int64(b.Len())
	}
	if err := checkViews(&p, views.Bytes(), sizes); err != nil {
		return nil, err
	}
	return l.data(p, buffers, nil, nil), nil
}

// child reads the only child of a column.
func (l *loader) child(p parts, dtype arrow.DataType) (*array.Data, error) {
	return l.column(&p.children[0], dtype)
}

// list reads lists and maps: offsets into the child.
func (l *loader) list(p parts, width int, elem arrow.DataType) (*array.Data, error) {
	offsets, last, err := l.offsets(p.rows, width)
	if err != nil {
		return nil, err
	}
	child, err := l.child(p, elem)
	if err != nil {
		return nil, err
	}
	if last > int64(child.Len()) {
		return nil, damaged("lists end at value %d of %d", last, child.Len())
	}
	if p.storage.ID() == arrow.MAP {
		if nulls := child.NullN() + child.Children()[0].NullN(); nulls > 0 {
			return nil, damaged("a map with %d null entries or keys", nulls)
		}
	}
	return l.data(p, []*memory.Buffer{p.validity, offsets}, []*array.Data{child}, nil), nil
}

// listView reads list views: offsets and lengths into the child.
func (l *loader) listView(p parts, width int, elem arrow.DataType) (*array.Data, error) {
	offsets, err := l.fixed(p.rows, width, word(width))
	if err != nil {
		return nil, err
	}
	sizes, err := l.fixed(p.rows, width, word(width))
	if err != nil {
		return nil, err
	}
	child, err := l.child(p, elem)
	if err != nil {
		return nil, err
	}
	if err := checkListViews(offsets.Bytes(), sizes.Bytes(), width, int64(child.Len())); err != nil {
		return nil, err
	}
	return l.data(p, []*memory.Buffer{p.validity, offsets, sizes}, []*array.Data{child}, nil), nil
}

func (l *loader) fixedSizeList(p parts, dt *arrow.FixedSizeListType) (*array.Data, error) {
	child, err := l.child(p, dt.Elem())
	if err != nil {
		return nil, err
	}
	// Neither factor exceeds 2^48 and 2^31; compare without multiplying.
	if int64(child.Len())/int64(dt.Len()) < p.rows {
		return nil, damaged("%d lists of %d values have %d values", p.rows, dt.Len(), child.Len())
	}
	return l.data(p, []*memory.Buffer{p.validity}, []*array.Data{child}, nil), nil
}

// fieldsOf reads the children of a struct or union, whose types are fields.
func (l *loader) fieldsOf(p parts, fields []arrow.Field, rows int64) ([]*array.Data, error) {
	children := make([]*array.Data, len(p.children))
	for i := range p.children {
		child, err := l.column(&p.children[i], fields[i].Type)
		if err != nil {
			return nil, err
		}
		if int64(child.Len()) < rows {
			return nil, damaged("field %q has %d values for %d rows", fields[i].Name, child.Len(), rows)
		}
		children[i] = child
	}
	return children, nil
}

func (l *loader) structure(p parts, dt *arrow.StructType) (*array.Data, error) {
	children, err := l.fieldsOf(p, dt.Fields(), p.rows)
	if err != nil {
		return nil, err
	}
	return l.data(p, []*memory.Buffer{p.validity}, children, nil), nil
}

// union reads the type of each row and, when dense, its place in that child.
func (l *loader) union(p parts, dt arrow.UnionType) (*array.Data, error) {
	if p.nulls != 0 {
		return nil, damaged("a union with %d nulls of its own", p.nulls)
	}
	codes, err := l.fixed(p.rows, 1, bytesWord)
	if err != nil {
		return nil, err
	}
	buffers, rows := []*memory.Buffer{nil, codes}, p.rows
	if dt.Mode() == arrow.DenseMode {
		offsets, err := l.fixed(p.rows, 4, 4)
		if err != nil {
			return nil, err
		}
		buffers, rows = append(buffers, offsets), 0
	}
	children, err := l.fieldsOf(p, dt.Fields(), rows)
	if err != nil {
		return nil, err
	}
	var offsets []byte
	if len(buffers) == 3 {
		offsets = buffers[2].Bytes()
	}
	if err := checkUnion(dt.TypeCodes(), codes.Bytes(), offsets, children); err != nil {
		return nil, err
	}
	return l.data(p, buffers, children, nil), nil
}

// runs reads a run-end encoded column.
func (l *loader) runs(p parts, dt *arrow.RunEndEncodedType) (*array.Data, error) {
	if p.nulls != 0 {
		return nil, damaged("a run-end encoded column with %d nulls of its own", p.nulls)
	}
	ends, err := l.column(&p.children[0], dt.RunEnds())
	if err != nil {
		return nil, err
	}
	values, err := l.column(&p.children[1], dt.Encoded())
	if err != nil {
		return nil, err
	}
	if ends.NullN() > 0 || values.Len() < ends.Len() {
		return nil, damaged("%d runs, %d of them null, of %d values", ends.Len(), ends.NullN(), values.Len())
	}
	if err := checkRuns(ends.Buffers()[1].Bytes(), dt.RunEnds().(arrow.FixedWidthDataType).Bytes(), p.rows); err != nil {
		return nil, err
	}
	return l.data(p, []*memory.Buffer{nil}, []*array.Data{ends, values}, nil), nil
}
