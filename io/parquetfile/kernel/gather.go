package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Gather fills out with the values of dict that indices of width bits, 0 to 32,
// stand for, from bit of packed on, which has them all. It returns -1, or an
// index that is beyond dict; what is in out then means nothing. The bytes behind
// packed, up to its capacity, may be read.
func Gather[T uint32 | uint64](out, dict []T, packed []byte, bit int, width uint) (beyond int) {
	return gather(best, out, dict, packed, bit, width)
}

// shortRun is how many indices are looked up as fast by a plain loop.
const shortRun = 8

func gather[T uint32 | uint64](l *level, out, dict []T, packed []byte, bit int, width uint) (beyond int) {
	n := l.unpackable(len(out), packed, bit, width)
	if n >= shortRun && len(dict) > 0 {
		for _, k := range l.gathers[sizeOf[T]()] {
			if k.entries != 0 && len(dict) > k.entries {
				continue
			}
			if k.run(pointer(out), n, pointer(dict), len(dict), &packed[bit>>3], bit&7, int(width)) != 0 {
				break // the plain loop finds which
			}
			out = out[n:]
			bit += n * int(width)
			break
		}
	}
	return gatherPlain(out, dict, packed, bit, width)
}

// unpackable is how many of the first n values of packed the level's kernels can
// take.
func (l *level) unpackable(n int, packed []byte, bit int, width uint) int {
	if width == 0 || width > maxWidth || l.unpack == nil {
		return 0
	}
	packed = packed[bit>>3 : (bit+n*int(width)+7)>>3] // or it panics
	if !l.eights {
		return n
	}
	// The last load of a step of eight, width bytes, ends at end.
	w := int(width)
	end := (bit&7+4*w)>>3 + 16
	if cap(packed) < end {
		return 0
	}
	return 8 * min(n/8, (cap(packed)-end)/w+1)
}

// gatherPlain is unpackPlain and the look-up in one. As many indices as one load
// has for certain are taken from it: 4 of up to 14 bits, 2 of up to 28.
func gatherPlain[T uint32 | uint64](out, dict []T, packed []byte, from int, width uint) (beyond int) {
	mask, n := uint64(1)<<(width&63)-1, uint64(len(dict))
	bit, w := uint(from), width&63
	if width <= 14 {
		for len(out) >= 4 && bit>>3+8 <= uint(len(packed)) {
			x := binary.LittleEndian.Uint64(packed[bit>>3:]) >> (bit & 7)
			a := x & mask
			x >>= w
			b := x & mask
			x >>= w
			c := x & mask
			x >>= w
			d := x & mask
			if a >= n || b >= n || c >= n || d >= n {
				return int(max(a, b, c, d))
			}
			o := (*[4]T)(out)
			o[0], o[1], o[2], o[3] = dict[a], dict[b], dict[c], dict[d]
			out = out[4:]
			bit += 4 * width
		}
	} else if width <= 28 {
		for len(out) >= 2 && bit>>3+8 <= uint(len(packed)) {
			x := binary.LittleEndian.Uint64(packed[bit>>3:]) >> (bit & 7)
			a, b := x&mask, x>>w&mask
			if a >= n || b >= n {
				return int(max(a, b))
			}
			o := (*[2]T)(out)
			o[0], o[1] = dict[a], dict[b]
			out = out[2:]
			bit += 2 * width
		}
	}
	for i := range out {
		x := BitsAt(packed, bit, width)
		if x >= n {
			return int(x)
		}
		out[i] = dict[x]
		bit += width
	}
	return -1
}

// Unpack reads values of width bits, 1 to 32, from bit of packed on, which has
// them all. The bytes behind packed, up to its capacity, may be read.
func Unpack[T uint8 | int16 | uint32](out []T, packed []byte, bit int, width uint) {
	unpack(best, out, packed, bit, width)
}

func unpack[T uint8 | int16 | uint32](l *level, out []T, packed []byte, bit int, width uint) {
	if sizeOf[T]() == 4 {
		if n := l.unpackable(len(out), packed, bit, width); n >= shortRun {
			l.unpack(pointer(out), n, &packed[bit>>3], bit&7, int(width))
			out = out[n:]
			bit += n * int(width)
		}
	}
	if bytes, ok := any(out).([]uint8); ok && width == 1 {
		n := unpackBits(bytes, packed, uint(bit))
		out = out[n:]
		bit += n
	}
	unpackPlain(out, packed, bit, width)
}

// unpackBits unpacks values of one bit, eight at a time, and returns how many.
func unpackBits(out, packed []byte, bit uint) (n int) {
	const each, carry = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f
	for ; len(out)-n >= 8 && bit>>3+2 <= uint(len(packed)); n += 8 {
		b := uint64(binary.LittleEndian.Uint16(packed[bit>>3:]) >> (bit & 7) & 0xff)
		// Byte i keeps bit i, which is then moved to the top and down again.
		x := b * each & 0x8040201008040201
		binary.LittleEndian.PutUint64(out[n:], (x+carry)>>7&each)
		bit += 8
	}
	return n
}

func unpackPlain[T uint8 | int16 | uint32](out []T, packed []byte, from int, width uint) {
	mask := uint64(1)<<(width&63) - 1
	bit := uint(from)
	i := 0
	// A value and the bits before it in its first byte take 39 bits at most,
	// so that one load has it.
	for ; i < len(out); i++ {
		at := bit >> 3
		if at+8 > uint(len(packed)) {
			break
		}
		out[i] = T(binary.LittleEndian.Uint64(packed[at:]) >> (bit & 7) & mask)
		bit += width
	}
	if i == len(out) {
		return
	}
	tail, bit := TailOf(packed, bit)
	for ; i < len(out); i++ {
		out[i] = T(binary.LittleEndian.Uint64(tail[bit>>3&7:]) >> (bit & 7) & mask)
		bit += width
	}
}

// TailOf gives the last bytes of packed, fewer than 8 from the byte that bit is
// in, with zeros behind them, and where bit is there.
func TailOf(packed []byte, bit uint) (tail [16]byte, in uint) {
	copy(tail[:], packed[min(bit>>3, uint(len(packed))):])
	return tail, bit & 7
}

// BitsAt reads width bits, up to 64, from bit on; b has them.
func BitsAt(b []byte, bit, width uint) uint64 {
	if width == 0 {
		return 0
	}
	at, shift := bit>>3, bit&7
	var lo uint64
	var hi byte
	if at+9 <= uint(len(b)) {
		lo, hi = binary.LittleEndian.Uint64(b[at:]), b[at+8]
	} else {
		var tail [9]byte
		copy(tail[:], b[at:])
		lo, hi = binary.LittleEndian.Uint64(tail[:]), tail[8]
	}
	v := lo>>shift | uint64(hi)<<(64-shift)
	return v & (math.MaxUint64 >> (64 - width))
}

// Fill writes v to all of out.
func Fill[T uint8 | int16 | uint32 | uint64](out []T, v T) { fill(best, out, v) }

func fill[T uint8 | int16 | uint32 | uint64](l *level, out []T, v T) {
	size := sizeOf[T]()
	if l.fill == nil || len(out)*size < 32 {
		for i := range out {
			out[i] = v
		}
		return
	}
	value := uint64(v) << (64 - 8*size) >> (64 - 8*size)
	for ; size < 8; size *= 2 {
		value |= value << (8 * size)
	}
	l.fill(pointer(out), len(out)*sizeOf[T](), value)
}

// pointer is where a slice's memory begins, for a kernel.
func pointer[T any](s []T) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(s))) }

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}
