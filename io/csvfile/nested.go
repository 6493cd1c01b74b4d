package csvfile

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// nestedCell renders arrays that are made of other arrays.
func nestedCell(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case *array.Dictionary:
		values, err := cellOf(a.Dictionary())
		return cell{
			values.kind,
			func(i int) bool { return a.IsNull(i) || values.null(a.GetValueIndex(i)) },
			func(dst []byte, i int) []byte { return values.value(dst, a.GetValueIndex(i)) },
		}, err
	case *array.RunEndEncoded:
		values, err := cellOf(a.Values())
		return cell{
			values.kind,
			func(i int) bool { return values.null(a.GetPhysicalIndex(i)) },
			func(dst []byte, i int) []byte { return values.value(dst, a.GetPhysicalIndex(i)) },
		}, err
	case *array.Struct:
		return structCell(a)
	case array.Union:
		return unionCell(a)
	case array.ListLike: // lists and list views of any width, and maps
		values, err := cellOf(a.ListValues())
		return cell{jsonKind, a.IsNull, func(dst []byte, i int) []byte {
			start, end := a.ValueOffsets(i)
			dst = append(dst, '[')
			for k := start; k < end; k++ {
				if k > start {
					dst = append(dst, ',')
				}
				dst = values.appendJSON(dst, int(k))
			}
			return append(dst, ']')
		}}, err
	default:
		return cell{}, columnType(a.DataType())
	}
}

func structCell(a *array.Struct) (cell, error) {
	fields := a.DataType().(*arrow.StructType).Fields()
	names, cells := make([][]byte, len(fields)), make([]cell, len(fields))
	for i, f := range fields {
		names[i] = append(appendString(nil, f.Name), ':')
		var err error
		if cells[i], err = cellOf(a.Field(i)); err != nil {
			return cell{}, err
		}
	}
	return cell{jsonKind, a.IsNull, func(dst []byte, row int) []byte {
		dst = append(dst, '{')
		for i := range cells {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, names[i]...)
			dst = cells[i].appendJSON(dst, row)
		}
		return append(dst, '}')
	}}, nil
}

func unionCell(a array.Union) (cell, error) {
	cells := make([]cell, a.NumFields())
	for i := range cells {
		var err error
		if cells[i], err = cellOf(a.Field(i)); err != nil {
			return cell{}, err
		}
	}
	at := func(row int) int { return row }
	if dense, ok := a.(*array.DenseUnion); ok {
		at = func(row int) int { return int(dense.ValueOffset(row)) }
	}
	return cell{
		jsonKind,
		func(row int) bool { return cells[a.ChildID(row)].null(at(row)) },
		func(dst []byte, row int) []byte { return cells[a.ChildID(row)].appendJSON(dst, at(row)) },
	}, nil
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, since JSON cannot hold them.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
