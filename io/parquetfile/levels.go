package parquetfile

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// levelReader decodes the levels of one page.
type levelReader struct {
	hybrid
	old bool // packed most significant bit first
}

// newLevelReader reads levels of width bits. Levels in the deprecated encoding
// are turned around where they lie:
//
//	BIT_PACKED   one run without a head, the first value in the highest bits
func newLevelReader(levels []byte, width uint, old bool) levelReader {
	if !old {
		return levelReader{hybrid: newHybrid(levels, width)}
	}
	for i, b := range levels {
		levels[i] = bits.Reverse8(b)
	}
	return levelReader{old: true, hybrid: hybrid{
		width: width, packed: levels, left: len(levels) * 8 / int(width),
	}}
}

// levels fills out with the next levels.
func (r *levelReader) levels(out []int16) error {
	if err := decode(&r.hybrid, out); err != nil {
		return err
	}
	if r.old {
		for i, v := range out {
			out[i] = int16(bits.Reverse16(uint16(v)) >> (16 - r.width))
		}
	}
	return nil
}

// validity collects the definition levels of a column in which they can only
// be 0 and 1, as the bitmap that they are: bit-packed levels are copied, 64 at a
// time, and runs are filled.
type validity struct {
	mem  *budget
	buf  *memory.Buffer
	bits []byte // of buf: whole words of 64 rows
	n    int    // rows
	set  int    // of them, those with a value
	word uint64 // the last n&63 of them, which need not be in bits
}

// reset makes room for rows and forgets those before.
func (v *validity) reset(rows int) {
	if v.buf == nil {
		v.buf = memory.NewResizableBuffer(v.mem)
	}
	v.buf.ResizeNoShrink((rows + 63) / 64 * 8)
	v.bits = v.buf.Bytes()
	v.n, v.set, v.word = 0, 0, 0
}

// read takes the next n levels, for which reset made room.
func (v *validity) read(r *levelReader, n int) error {
	from := v.n
	for n > 0 {
		if r.left == 0 {
			if k, bytes, word := kernel.Pairs(v.bits, v.n, n, v.word, r.rest); k > 0 {
				v.n, v.word, r.rest = v.n+k, word, r.rest[bytes:]
				n -= k
				continue
			}
			if k := v.short(r, n); k > 0 {
				n -= k
				continue
			}
		}
		k, packed, from, err := r.take(n)
		if err != nil {
			return err
		}
		n -= k
		switch {
		case packed != nil:
			v.copyBits(packed, uint(from), k)
		case r.value == 0:
			v.fill(0, k)
		default:
			v.fill(^uint64(0), k)
		}
	}
	if v.n&63 != 0 {
		binary.LittleEndian.PutUint64(v.bits[v.n>>6<<3:], v.word)
	}
	v.set += kernel.CountBits(v.bits, from, v.n)
	return nil
}

// short takes a whole run of up to 63 levels, and n at most, as most are where
// nulls are strewn in. Whether it is repeated or packed cannot be predicted, so
// there is no branch on it. It returns 0 where the run is something else.
func (v *validity) short(r *levelReader, n int) int {
	if len(r.rest) < 9 {
		return 0
	}
	head := uint64(r.rest[0])
	packed := head & 1      // 1 or 0
	count := head >> 1 & 63 // levels, or groups of 8
	k := count << (3 * packed)
	bits := binary.LittleEndian.Uint64(r.rest[1:])
	repeated := bits & 0xff
	if head > 0x7f || k-1 > 62 || k > uint64(n) || repeated&(packed-1) > 1 {
		return 0
	}
	v.push((bits&-packed|-(repeated&(packed-1)))&(1<<k-1), int(k))
	r.rest = r.rest[1+1+(count-1)*packed:]
	return int(k)
}

// push appends the low k bits of w, 1 to 64; the others are 0.
func (v *validity) push(w uint64, k int) {
	at, word := uint(v.n)&63, v.n>>6<<3
	v.word |= w << at
	v.n += k
	if at+uint(k) >= 64 {
		binary.LittleEndian.PutUint64(v.bits[word:], v.word)
		v.word = w >> (64 - at) // what did not fit; Go shifts by 64 to 0
	}
}

// fill appends k bits, all those of w.
func (v *validity) fill(w uint64, k int) {
	for ; k >= 64; k -= 64 {
		v.push(w, 64)
	}
	if k > 0 {
		v.push(w&(1<<k-1), k)
	}
}

// copyBits appends k bits of packed, from bit from on; it has as many.
func (v *validity) copyBits(packed []byte, from uint, k int) {
	for k > 0 && from>>3+8 <= uint(len(packed)) {
		w, n := binary.LittleEndian.Uint64(packed[from>>3:])>>(from&7), min(k, 64-int(from&7))
		if n < 64 {
			w &= 1<<n - 1
		}
		v.push(w, n)
		from += uint(n)
		k -= n
	}
	if k > 0 {
		tail, bit := kernel.TailOf(packed, from)
		v.push(binary.LittleEndian.Uint64(tail[:])>>bit&(1<<k-1), k)
	}
}

// take gives the bitmap of the rows up to here; the caller releases it.
func (v *validity) take() *memory.Buffer {
	out := v.buf
	v.buf, v.bits = nil, nil
	out.ResizeNoShrink(int(bitutil.BytesForBits(int64(v.n))))
	return out
}

func (v *validity) release() {
	if v.buf != nil {
		v.buf.Release()
		v.buf, v.bits = nil, nil
	}
}
