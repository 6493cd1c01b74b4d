package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// AddRecord adds the rows of a record. What a database makes of a type does not count: a
// whole number is the same in any width, or as a float; a text in any layout; a time in any
// unit. Its error is a type that no table has.
//
// A row is a word for each column, of what it is (tag) and its value in 8 bytes, and behind
// them the bytes of those that have some:
//
//	i 60 | t 3 | r 0x40480bae | n 0 | f o o
func (d *Digest) AddRecord(record arrow.RecordBatch) error {
	words := make([]wordsOf, record.NumCols())
	var more []bytesOf
	for c, column := range record.Columns() {
		var err error
		var bytes bytesOf
		if words[c], bytes, err = encoderOf(column); err != nil {
			return fmt.Errorf("column %q: %w", record.ColumnName(c), err)
		}
		if bytes != nil {
			more = append(more, bytes)
		}
	}
	stride := len(words) * wordBytes
	tile := make([]byte, tileRows*stride)
	var row []byte
	for first, rows := 0, int(record.NumRows()); first < rows; first += tileRows {
		n := min(tileRows, rows-first)
		for c, fill := range words {
			fill(tile[c*wordBytes:], stride, first, n)
			maskNulls(record.Column(c), tile[c*wordBytes:], stride, first, n)
		}
		for r := range n {
			fixed := tile[r*stride : (r+1)*stride]
			if len(more) == 0 {
				d.Add(fixed)
				continue
			}
			row = append(row[:0], fixed...)
			for _, bytes := range more {
				row = bytes(row, first+r)
			}
			d.Add(row)
		}
	}
	return nil
}

// Encode is the i-th value of an array as rows have it for a digest; nil for a type that no
// table has.
func Encode(a arrow.Array, i int) []byte {
	words, bytes, err := encoderOf(a)
	if err != nil {
		return nil
	}
	value := make([]byte, wordBytes)
	if a.IsNull(i) {
		put(value, tagNull, 0)
		return value
	}
	words(value, wordBytes, i, 1)
	if bytes != nil {
		value = bytes(value, i)
	}
	return value
}

const (
	wordBytes = 9
	tileRows  = 512 // they stay in cache
)

// What a word is.
const (
	tagNull   = 'n'
	tagWhole  = 'i'
	tagAbove  = 'u' // 2^63 and more
	tagReal   = 'r'
	tagText   = 't'
	tagBytes  = 'b'
	tagDay    = 'd'
	tagMoment = 'm'
	tagClock  = 'c'
	tagList   = 'l'
)

// wordsOf puts the words of n rows, from first on, into a tile, a stride apart.
type wordsOf func(tile []byte, stride, first, n int)

// bytesOf appends the bytes of a row.
type bytesOf func(dst []byte, row int) []byte

func put(tile []byte, tag byte, value uint64) {
	tile[0] = tag
	binary.LittleEndian.PutUint64(tile[1:wordBytes], value)
}

// maskNulls makes words of nulls.
func maskNulls(a arrow.Array, tile []byte, stride, first, n int) {
	if a.NullN() == 0 {
		return
	}
	for r := range n {
		if a.IsNull(first + r) {
			put(tile[r*stride:], tagNull, 0)
		}
	}
}

// encoderOf says how the values of an array are encoded; bytes is nil where they have none
// but their words.
func encoderOf(a arrow.Array) (words wordsOf, bytes bytesOf, err error) {
	switch a := a.(type) {
	case array.ExtensionArray:
		return encoderOf(a.Storage())
	case *array.Null:
		return each(func(int) (byte, uint64) { return tagNull, 0 }), nil, nil
	case *array.Boolean:
		return each(func(i int) (byte, uint64) {
			if a.Value(i) {
				return tagWhole, 1
			}
			return tagWhole, 0
		}), nil, nil
	case *array.Int8:
		return whole(a.Int8Values()), nil, nil
	case *array.Int16:
		return whole(a.Int16Values()), nil, nil
	case *array.Int32:
		return whole(a.Int32Values()), nil, nil
	case *array.Int64:
		return whole(a.Int64Values()), nil, nil
	case *array.Uint8:
		return whole(a.Uint8Values()), nil, nil
	case *array.Uint16:
		return whole(a.Uint16Values()), nil, nil
	case *array.Uint32:
		return whole(a.Uint32Values()), nil, nil
	case *array.Uint64:
		return each(func(i int) (byte, uint64) { return above(a.Value(i)) }), nil, nil
	case *array.Float32:
		return reals(a.Float32Values()), nil, nil
	case *array.Float64:
		return reals(a.Float64Values()), nil, nil
	}
	if words := timesOf(a); words != nil {
		return words, nil, nil
	}
	return longOf(a)
}

func each(of func(i int) (tag byte, value uint64)) wordsOf {
	return func(tile []byte, stride, first, n int) {
		for r := range n {
			tag, value := of(first + r)
			put(tile[r*stride:], tag, value)
		}
	}
}

func above(v uint64) (tag byte, value uint64) {
	if v > math.MaxInt64 {
		return tagAbove, v
	}
	return tagWhole, v
}

func whole[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](values []T) wordsOf {
	return func(tile []byte, stride, first, n int) {
		for r, v := range values[first : first+n] {
			put(tile[r*stride:], tagWhole, uint64(int64(v)))
		}
	}
}

func reals[T float32 | float64](values []T) wordsOf {
	return func(tile []byte, stride, first, n int) {
		for r, v := range values[first : first+n] {
			tag, value := real64(float64(v))
			put(tile[r*stride:], tag, value)
		}
	}
}

// real64 is a number as a word: a whole one is that, but for a zero with a sign.
func real64(v float64) (tag byte, value uint64) {
	if n := int64(v); float64(n) == v && n > -1<<53 && n < 1<<53 && (n != 0 || !math.Signbit(v)) {
		return tagWhole, uint64(n)
	}
	if v != v {
		return tagReal, math.Float64bits(math.NaN()) // of many
	}
	return tagReal, math.Float64bits(v)
}

// timesOf encodes days, times of day, and moments in nanoseconds, modulo 2^64; nil for what
// is none.
func timesOf(a arrow.Array) wordsOf {
	switch a := a.(type) {
	case *array.Date32:
		return each(func(i int) (byte, uint64) { return tagDay, uint64(a.Value(i)) })
	case *array.Date64:
		return each(func(i int) (byte, uint64) { return tagDay, uint64(arrow.Date32FromTime(a.Value(i).ToTime())) })
	case *array.Timestamp:
		unit := uint64(a.DataType().(*arrow.TimestampType).Unit.Multiplier())
		return each(func(i int) (byte, uint64) { return tagMoment, uint64(a.Value(i)) * unit })
	case *array.Time32:
		unit := uint64(a.DataType().(*arrow.Time32Type).Unit.Multiplier())
		return each(func(i int) (byte, uint64) { return tagClock, uint64(a.Value(i)) * unit })
	case *array.Time64:
		unit := uint64(a.DataType().(*arrow.Time64Type).Unit.Multiplier())
		return each(func(i int) (byte, uint64) { return tagClock, uint64(a.Value(i)) * unit })
	}
	return nil
}

// longOf encodes values that have bytes.
func longOf(a arrow.Array) (words wordsOf, bytes bytesOf, err error) {
	long := func(tag byte, of func(i int) string) (wordsOf, bytesOf, error) {
		return each(func(i int) (byte, uint64) {
				if a.IsNull(i) {
					return tagNull, 0
				}
				return tag, uint64(len(of(i)))
			}), func(dst []byte, row int) []byte {
				if a.IsNull(row) {
					return dst
				}
				return append(dst, of(row)...)
			}, nil
	}
	switch a := a.(type) {
	case array.StringLike:
		return long(tagText, a.Value)
	case *array.Binary:
		return long(tagBytes, a.ValueString)
	case *array.LargeBinary:
		return long(tagBytes, a.ValueString)
	case *array.BinaryView:
		return long(tagBytes, a.ValueString)
	case *array.FixedSizeBinary:
		return long(tagBytes, func(i int) string { return string(a.Value(i)) })
	case *array.Dictionary:
		return dictionary(a)
	case array.ListLike:
		return lists(a)
	}
	if t, ok := a.DataType().(arrow.DecimalType); ok {
		return decimals(a, t.GetScale())
	}
	if a.NullN() == a.Len() { // a column of any type may have been given nulls
		return each(func(int) (byte, uint64) { return tagNull, 0 }), nil, nil
	}
	return nil, nil, fmt.Errorf("%s has no digest", a.DataType())
}

// dictionary encodes the values that indices stand for.
func dictionary(a *array.Dictionary) (wordsOf, bytesOf, error) {
	words, bytes, err := encoderOf(a.Dictionary())
	if err != nil {
		return nil, nil, err
	}
	of := func(tile []byte, stride, first, n int) {
		for r := range n {
			put(tile[r*stride:], tagNull, 0)
			if at := first + r; !a.IsNull(at) && !a.Dictionary().IsNull(a.GetValueIndex(at)) {
				words(tile[r*stride:], stride, a.GetValueIndex(at), 1)
			}
		}
	}
	if bytes == nil {
		return of, nil, nil
	}
	return of, func(dst []byte, row int) []byte {
		if a.IsNull(row) {
			return dst
		}
		return bytes(dst, a.GetValueIndex(row))
	}, nil
}

// lists encode each element as a row of its own.
func lists(a array.ListLike) (wordsOf, bytesOf, error) {
	values := a.ListValues()
	words, bytes, err := encoderOf(values)
	if err != nil {
		return nil, nil, err
	}
	return each(func(i int) (byte, uint64) {
			from, to := a.ValueOffsets(i)
			return tagList, uint64(to - from)
		}), func(dst []byte, row int) []byte {
			if a.IsNull(row) {
				return dst
			}
			from, to := a.ValueOffsets(row)
			for i := int(from); i < int(to); i++ {
				dst = append(dst, make([]byte, wordBytes)...)
				word := dst[len(dst)-wordBytes:]
				if values.IsNull(i) {
					put(word, tagNull, 0)
					continue
				}
				words(word, wordBytes, i, 1)
				if bytes != nil {
					dst = bytes(dst, i)
				}
			}
			return dst
		}, nil
}

// decimals encode whole numbers that 64 bits hold as such, and others by their digits.
func decimals(a arrow.Array, scale int32) (wordsOf, bytesOf, error) {
	text := func(i int) string { return decimalText(a, i, scale) }
	small := func(i int) (n int64, ok bool) {
		n, err := strconv.ParseInt(text(i), 10, 64)
		return n, err == nil
	}
	return each(func(i int) (byte, uint64) {
			if a.IsNull(i) {
				return tagNull, 0
			}
			if n, ok := small(i); ok {
				return tagWhole, uint64(n)
			}
			return tagText, uint64(len(text(i)))
		}), func(dst []byte, row int) []byte {
			if a.IsNull(row) {
				return dst
			}
			if _, ok := small(row); ok {
				return dst
			}
			return append(dst, text(row)...)
		}, nil
}

// decimalText has no zeros behind the last digit of a fraction.
func decimalText(a arrow.Array, i int, scale int32) string {
	text := decimalDigits(a, i, scale)
	if scale > 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func decimalDigits(a arrow.Array, i int, scale int32) string {
	switch a := a.(type) {
	case *array.Decimal32:
		return a.Value(i).ToString(scale)
	case *array.Decimal64:
		return a.Value(i).ToString(scale)
	case *array.Decimal128:
		return a.Value(i).ToString(scale)
	case *array.Decimal256:
		return a.Value(i).ToString(scale)
	}
	return a.ValueStr(i)
}
