package parquetfile

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// wordBytes is the size of the words that decimals are converted by.
const wordBytes = arrow.Uint64SizeBytes

// Digits that integers of 4 and 8 bytes have room for.
// Source: parquet-format:LogicalTypes.md, DECIMAL.
const (
	digitsOf4Bytes = 9
	digitsOf8Bytes = 18
)

// decimalBytes is the width of a decimal type, 0 for others.
func decimalBytes(t arrow.DataType) int {
	if d, ok := t.(arrow.DecimalType); ok {
		return d.BitWidth() / 8
	}
	return 0
}

// decimals turns integers of from bytes, as a physical type has them, into little endian
// ones of width bytes, a multiple of wordBytes.
//
//	INT32, INT64          little endian
//	FIXED_LEN_BYTE_ARRAY  big endian, of any width
//
// Source: parquet-format:LogicalTypes.md, DECIMAL.
func decimals(out []byte, width int, src []byte, from int, physical parquet.Type) error {
	switch physical {
	case parquet.Types.Int32:
		extend(out, width, arrow.Int32Traits.CastFromBytes(src))
		return nil
	case parquet.Types.Int64:
		extend(out, width, arrow.Int64Traits.CastFromBytes(src))
		return nil
	}
	for ; len(src) > 0; out, src = out[width:], src[from:] {
		if err := decimal(out[:width], src[:from]); err != nil {
			return err
		}
	}
	return nil
}

// extend writes integers as ones of width bytes.
func extend[T int32 | int64](out []byte, width int, values []T) {
	words, each := arrow.Uint64Traits.CastFromBytes(out), width/wordBytes
	for i, v := range values {
		wide, sign := words[i*each:(i+1)*each], uint64(int64(v)>>63)
		wide[0] = uint64(v)
		for j := 1; j < len(wide); j++ {
			wide[j] = sign
		}
	}
}

// decimal writes the big endian two's complement integer in src to out, little endian.
func decimal(out, src []byte) error {
	if len(src) == 0 { // zero, as DuckDB reads it
		clear(out)
		return nil
	}
	sign := uint64(int64(int8(src[0])) >> 63)
	left, word := len(src), uint64(0)
	for at := 0; at < len(out); at += wordBytes {
		switch {
		case left >= wordBytes:
			word = binary.BigEndian.Uint64(src[left-wordBytes:])
		case left > 0:
			word = leading(src, left, sign)
		default:
			word = sign
		}
		left -= wordBytes
		binary.LittleEndian.PutUint64(out[at:], word)
	}
	// What has no place in out must repeat its sign.
	fits := left <= 0 || uint64(int64(word)>>63) == sign
	for i := 0; i < left; i++ {
		fits = fits && src[i] == byte(sign)
	}
	if !fits {
		return damaged("decimal of %d bytes does not fit %d", len(src), len(out))
	}
	return nil
}

// leading is the word that the first n bytes of src, fewer than a word has, and their sign make.
func leading(src []byte, n int, sign uint64) uint64 {
	if len(src) >= wordBytes {
		return uint64(int64(binary.BigEndian.Uint64(src)) >> (8 * (wordBytes - n)))
	}
	word := sign
	for _, b := range src[:n] {
		word = word<<8 | uint64(b)
	}
	return word
}

// decimalsOfAny is decimals for values of any length.
func (a *assembler) decimalsOfAny(v *byteArrays, dense, slots, width int) (*memory.Buffer, error) {
	out := a.buffer(width * slots)
	if dense == 0 {
		return out, nil
	}
	offsets := arrow.Int32Traits.CastFromBytes(v.offsets.Bytes())
	data := v.data.Bytes()
	for i := range dense {
		if err := decimal(out.Bytes()[i*width:(i+1)*width], data[offsets[i]:offsets[i+1]]); err != nil {
			out.Release()
			return nil, err
		}
	}
	return out, nil
}

// flatDecimal is what a flatFile encodes decimals as: integers of 4 or 8 bytes where their digits
// have room in these, as Spark does, or as few bytes as they need, big endian.
func flatDecimal(t arrow.DecimalType) arrow.FixedWidthDataType {
	switch p := t.GetPrecision(); {
	case p <= digitsOf4Bytes:
		return &arrow.Int32Type{}
	case p <= digitsOf8Bytes:
		return &arrow.Int64Type{}
	default:
		return &arrow.FixedSizeBinaryType{ByteWidth: int(pqarrow.DecimalSize(p))}
	}
}

// decimalsToFlat is an array of decimals as flatDecimal has them. A value with more digits than
// its type has room for is an error.
func decimalsToFlat(arr arrow.Array, t arrow.FixedWidthDataType, mem *budget) (arrow.Array, error) {
	from, to := decimalBytes(arr.DataType()), t.Bytes()
	if from == to && t.ID() != arrow.FIXED_SIZE_BINARY {
		return retyped(arr.Data(), t, nil), nil
	}
	slots, err := numberSlotsOf(arr.Data(), 0, arr.Len(), from)
	if err != nil {
		return nil, err
	}
	out := memory.NewResizableBuffer(mem)
	defer out.Release()
	out.Resize(to * arr.Len())
	store := storeDecimal
	switch t.ID() {
	case arrow.INT32:
		store = shortenDecimal[int32]
	case arrow.INT64:
		store = shortenDecimal[int64]
	default:
	}
	dst := out.Bytes()
	for i := range arr.Len() {
		if !store(dst[i*to:(i+1)*to], slots.values[i*from:(i+1)*from]) && arr.IsValid(i) {
			return nil, fmt.Errorf("row %d of %d: %w: it has more digits than %s", i, arr.Len(), format.ErrValue, arr.DataType())
		}
	}
	return withValidityOf(arr, t, out, mem), nil
}

// shortenDecimal writes the little endian integer in src, of one word or more, as one of 4 or 8
// bytes; fits is false where that has no room.
func shortenDecimal[T int32 | int64](dst, src []byte) (fits bool) {
	low := int64(binary.LittleEndian.Uint64(src))
	fits = int64(T(low)) == low
	for at := wordBytes; at < len(src); at += wordBytes {
		fits = fits && int64(binary.LittleEndian.Uint64(src[at:])) == low>>63
	}
	if len(dst) == wordBytes {
		binary.LittleEndian.PutUint64(dst, uint64(low))
	} else {
		binary.LittleEndian.PutUint32(dst, uint32(low))
	}
	return fits
}

// storeDecimal writes the little endian integer in src, of whole words, as a big endian one of any
// width; fits is false where that has no room.
func storeDecimal(dst, src []byte) (fits bool) {
	at, left, sign := 0, len(dst), byte(int8(src[len(src)-1])>>7)
	for ; at < len(src) && left >= wordBytes; at, left = at+wordBytes, left-wordBytes {
		binary.BigEndian.PutUint64(dst[left-wordBytes:], binary.LittleEndian.Uint64(src[at:]))
	}
	for ; left > 0; left-- {
		dst[left-1] = sign
		if at < len(src) {
			dst[left-1] = src[at]
			at++
		}
	}
	// What has no place in dst must repeat its sign.
	fits = byte(int8(dst[0])>>7) == sign
	for _, b := range src[at:] {
		fits = fits && b == sign
	}
	return fits
}
