package parquetfile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// textSlots are the rows of an array of texts or bytes, from a row on.
type textSlots struct {
	short    []int32 // where the rows begin, and the last ends; nil where long says it
	long     []int64
	values   []byte
	validity validRows
}

// textSlotsOf are n rows of an array, from row at on.
func textSlotsOf(data arrow.ArrayData, at, n int) (s textSlots, err error) {
	if n == 0 {
		return s, nil
	}
	at += data.Offset()
	s.validity = validRowsOf(data, at)
	offsets, width := data.Buffers()[1], 4
	if id := data.DataType().ID(); id == arrow.LARGE_STRING || id == arrow.LARGE_BINARY {
		width = 8
	}
	if offsets == nil || offsets.Len() < (at+n+1)*width {
		return s, fmt.Errorf("an array of %d rows does not have offsets for all of them", data.Len())
	}
	if width == 4 {
		s.short = arrow.Int32Traits.CastFromBytes(offsets.Bytes())[at : at+n+1]
	} else {
		s.long = arrow.Int64Traits.CastFromBytes(offsets.Bytes())[at : at+n+1]
	}
	if values := data.Buffers()[2]; values != nil {
		s.values = values.Bytes()
	}
	from, _ := s.span(0)
	_, to := s.span(n - 1)
	if from < 0 || from > to || to > int64(len(s.values)) {
		return s, fmt.Errorf("an array of %d rows does not have values for all of them", data.Len())
	}
	return s, nil
}

// span is where the value of a row lies.
func (s *textSlots) span(row int) (from, to int64) {
	if s.short != nil {
		return int64(s.short[row]), int64(s.short[row+1])
	}
	return s.long[row], s.long[row+1]
}

// value is that of a row.
func (s *textSlots) value(row int) []byte {
	from, to := s.span(row)
	return s.values[from:to]
}

// bytes is the size of all n rows with their lengths.
func (s *textSlots) bytes(n int) int64 {
	if n == 0 {
		return 0
	}
	from, _ := s.span(0)
	_, to := s.span(n - 1)
	return to - from + 4*int64(n)
}
