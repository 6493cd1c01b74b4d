package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// slotCursor goes through the rows of a column of batches.
type slotCursor struct {
	batches  []arrow.RecordBatch // those after the current
	column   int
	width    int
	left     int    // rows of the current
	values   []byte // of these rows
	validity []byte // nil where there are no nulls
	bit      int    // of the first row in validity
}

// next goes to the next batch with rows, unless there are rows left.
func (c *slotCursor) next() error {
	for c.left == 0 {
		data := c.batches[0].Column(c.column).Data()
		c.batches = c.batches[1:]
		if err := c.open(data); err != nil {
			return err
		}
	}
	return nil
}

// open goes to the first row of an array.
func (c *slotCursor) open(data arrow.ArrayData) error {
	at, n := data.Offset(), data.Len()
	c.left, c.bit, c.validity, c.values = n, at, nil, nil
	if n == 0 {
		return nil
	}
	validity, values := data.Buffers()[0], data.Buffers()[1]
	if data.NullN() != 0 && validity != nil {
		c.validity = validity.Bytes()
	}
	if values == nil || values.Len() < (at+n)*c.width {
		return fmt.Errorf("an array of %d rows does not have values for all of them", n)
	}
	c.values = values.Bytes()[at*c.width : (at+n)*c.width]
	return nil
}

// copyBits puts the validity of the next n rows into bits, from bit at on.
func (c *slotCursor) copyBits(bits []byte, at, n int) {
	if c.validity == nil {
		bitutil.SetBitsTo(bits, int64(at), int64(n), true)
		return
	}
	bitutil.CopyBitmap(c.validity, c.bit, n, bits, at)
}

// appendAll takes the values of the next n rows.
func (c *slotCursor) appendAll(dst []byte, n int) []byte {
	dst = append(dst, c.values[:n*c.width]...)
	c.skip(n)
	return dst
}

// appendValid takes those values of the next n rows whose bits, from bit at on,
// are set. dst has room for all.
func (c *slotCursor) appendValid(dst, bits []byte, at, n int) []byte {
	if c.validity == nil {
		return c.appendAll(dst, n)
	}
	k := len(dst) / c.width
	if c.width == 4 {
		k = compact(arrow.Uint32Traits.CastFromBytes(dst[:cap(dst)]), k, arrow.Uint32Traits.CastFromBytes(c.values)[:n], bits, at)
	} else {
		k = compact(arrow.Uint64Traits.CastFromBytes(dst[:cap(dst)]), k, arrow.Uint64Traits.CastFromBytes(c.values)[:n], bits, at)
	}
	c.skip(n)
	return dst[:k*c.width]
}

func (c *slotCursor) skip(n int) {
	c.values = c.values[n*c.width:]
	c.bit += n
	c.left -= n
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
