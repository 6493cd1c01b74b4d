package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// numberSlots are the rows of an array of values of a fixed width, from a row on.
type numberSlots struct {
	width    int
	left     int    // rows
	values   []byte // of these rows
	validity validRows
}

// numberSlotsOf are n rows of an array, from row at on.
func numberSlotsOf(data arrow.ArrayData, at, n, width int) (numberSlots, error) {
	s := numberSlots{width: width, left: n}
	if n == 0 {
		return s, nil
	}
	at += data.Offset()
	values := data.Buffers()[1]
	s.validity = validRowsOf(data, at)
	if values == nil || values.Len() < (at+n)*width {
		return s, fmt.Errorf("an array of %d rows does not have values for all of them", data.Len())
	}
	s.values = values.Bytes()[at*width : (at+n)*width]
	return s, nil
}

// take is the values of the next n rows.
func (c *numberSlots) take(n int) []byte {
	values := c.values[:n*c.width]
	c.values = c.values[n*c.width:]
	c.validity.at += n
	c.left -= n
	return values
}

// appendValid takes those values of the next n rows whose bits, from bit at on,
// are set. dst has room for all.
func (c *numberSlots) appendValid(dst, bits []byte, at, n int) []byte {
	k, values := len(dst)/c.width, c.take(n)
	switch c.width {
	case 4:
		k = compact(arrow.Uint32Traits.CastFromBytes(dst[:cap(dst)]), k, arrow.Uint32Traits.CastFromBytes(values), bits, at)
	case 8:
		k = compact(arrow.Uint64Traits.CastFromBytes(dst[:cap(dst)]), k, arrow.Uint64Traits.CastFromBytes(values), bits, at)
	default:
		for i := range n {
			if bitutil.BitIsSet(bits, at+i) {
				dst = append(dst, values[i*c.width:(i+1)*c.width]...)
			}
		}
		return dst
	}
	return dst[:k*c.width]
}

// compact puts the values whose bits are set, from bit at on, from dst[k] on and
// returns where they end. It does not branch on single bits: each value is put
// where the next valid one belongs, which overwrites it if it was none.
func compact[T uint32 | uint64](dst []T, k int, values []T, set []byte, at int) int {
	for len(values) > 0 {
		word, n := wordAt(set, at), min(64, len(values))
		if n < 64 {
			word &= 1<<n - 1
		}
		switch {
		case word == 0:
		case word == math.MaxUint64 && n == 64:
			k += copy(dst[k:], values[:64])
		default:
			out := dst[k : k+n]
			j := 0
			for i, v := range values[:n] {
				out[j] = v
				j += int(word >> (i & 63) & 1)
				if j == n {
					break
				}
			}
			k += bits.OnesCount64(word)
		}
		values, at = values[n:], at+n
	}
	return k
}

// wordAt is the 64 bits of set from bit at on; set has 9 bytes from there.
func wordAt(set []byte, at int) uint64 {
	b := set[at>>3:]
	// Go shifts by 64 to 0.
	return binary.LittleEndian.Uint64(b)>>(at&7) | uint64(b[8])<<(64-at&7)
}
