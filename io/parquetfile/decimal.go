package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
)

// wordBytes is the size of the words that decimals are converted by.
const wordBytes = arrow.Uint64SizeBytes

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
