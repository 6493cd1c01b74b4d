package rowtext

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// nestedCell renders arrays that are made of other arrays.
func (s style) nestedCell(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case *array.Dictionary:
		values, err := s.cellOf(a.Dictionary())
		return values.through(func(i int) (int, bool) { return a.GetValueIndex(i), a.IsNull(i) }), err
	case *array.RunEndEncoded:
		values, err := s.cellOf(a.Values())
		return values.through(func(i int) (int, bool) { return a.GetPhysicalIndex(i), false }), err
	case *array.Struct:
		return s.structCell(a)
	case array.Union:
		return s.unionCell(a)
	case array.ListLike: // lists and list views of any width, and maps
		values, err := s.cellOf(a.ListValues())
		value := values.json()
		return cell{kind: jsonKind, null: nulls(a), value: func(dst []byte, i int) []byte {
			start, end := a.ValueOffsets(i)
			dst = append(dst, '[')
			for k := start; k < end; k++ {
				if k > start {
					dst = append(dst, ',')
				}
				dst = value(dst, int(k))
			}
			return append(dst, ']')
		}}, err
	default:
		return cell{}, columnType(a.DataType())
	}
}

// through is the cell of an array whose rows stand for rows of this one; at says for
// which, or that there is none. at is not asked for a row that is null.
func (c cell) through(at func(row int) (int, bool)) cell {
	out := cell{kind: c.kind, null: func(row int) bool {
		i, null := at(row)
		return null || c.isNull(i)
	}}
	index := func(row int) int { i, _ := at(row); return i }
	if c.text != nil {
		out.text = func(row int) string { return c.text(index(row)) }
	}
	if c.value != nil {
		out.value = func(dst []byte, row int) []byte { return c.value(dst, index(row)) }
	}
	return out
}

func (s style) structCell(a *array.Struct) (cell, error) {
	fields := a.DataType().(*arrow.StructType).Fields()
	names, values := make([][]byte, len(fields)), make([]Append, len(fields))
	for i, f := range fields {
		names[i] = append(AppendString(nil, f.Name), ':')
		c, err := s.cellOf(a.Field(i))
		if err != nil {
			return cell{}, err
		}
		values[i] = c.json()
	}
	return cell{kind: jsonKind, null: nulls(a), value: func(dst []byte, row int) []byte {
		dst = append(dst, '{')
		for i := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, names[i]...)
			dst = values[i](dst, row)
		}
		return append(dst, '}')
	}}, nil
}

func (s style) unionCell(a array.Union) (cell, error) {
	cells, values := make([]cell, a.NumFields()), make([]Append, a.NumFields())
	for i := range cells {
		var err error
		if cells[i], err = s.cellOf(a.Field(i)); err != nil {
			return cell{}, err
		}
		values[i] = cells[i].json()
	}
	at := func(row int) int { return row }
	if dense, ok := a.(*array.DenseUnion); ok {
		at = func(row int) int { return int(dense.ValueOffset(row)) }
	}
	return cell{
		kind:  jsonKind,
		null:  func(row int) bool { return cells[a.ChildID(row)].isNull(at(row)) },
		value: func(dst []byte, row int) []byte { return values[a.ChildID(row)](dst, at(row)) },
	}, nil
}
