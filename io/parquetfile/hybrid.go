package parquetfile

import (
	"encoding/binary"
	"math"
)

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// hybrid decodes Parquet's mix of runs and bit-packed groups, in which levels,
// dictionary indices and some booleans are kept:
//
//	run:    count<<1 uvarint, the value in (width+7)/8 bytes
//	packed: groups<<1|1 uvarint, 8*groups values of width bits each, least
//	        significant bit first
//
// Nothing says how many values there are but the page, whose count the last
// group may exceed and the last bytes may fall short of. What is asked for
// and is not there is an error.
//
// Source: parquet-format:Encodings.md.
type hybrid struct {
	rest  []byte // runs to come
	width uint   // bits of a value, 0 to 32

	left   int    // values left of the current run
	packed []byte // bit-packed values of the current run; nil for a repeated one
	bit    int    // of packed: where the next value starts
	value  uint32 // the repeated one
}

func newHybrid(b []byte, width uint) hybrid { return hybrid{rest: b, width: width} }

// run makes left positive.
func (h *hybrid) run() error {
	for {
		var head uint64
		if len(h.rest) > 0 && h.rest[0] < 0x80 { // mostly
			head = uint64(h.rest[0])
			h.rest = h.rest[1:]
		} else {
			v, n := binary.Uvarint(h.rest)
			if n <= 0 {
				return damaged("page ends before its last value")
			}
			head = v
			h.rest = h.rest[n:]
		}
		count := int(min(head>>1, math.MaxInt32))
		if head&1 == 1 {
			bytes := count * int(h.width) // count is of groups of 8
			h.left = min(8*count, math.MaxInt32)
			if bytes > len(h.rest) {
				bytes = len(h.rest)
				h.left = bytes * 8 / int(h.width)
			}
			h.packed, h.bit = h.rest[:bytes:bytes], 0
			h.rest = h.rest[bytes:]
			if h.width == 0 {
				h.packed, h.value = nil, 0
			}
		} else {
			bytes := int(h.width+7) / 8
			if bytes > len(h.rest) {
				return damaged("page ends inside a run")
			}
			v := uint64(0)
			for i, b := range h.rest[:bytes] {
				v |= uint64(b) << (8 * i)
			}
			if v>>h.width != 0 {
				return damaged("run of %d in %d bits", v, h.width)
			}
			h.left, h.packed, h.value = count, nil, uint32(v)
			h.rest = h.rest[bytes:]
		}
		if h.left > 0 {
			return nil
		}
	}
}

// take makes the current run at least one value long and takes up to n values
// off it. packed is nil where they are all h.value, else the values start at
// its bit from.
func (h *hybrid) take(n int) (k int, packed []byte, from int, err error) {
	if h.left == 0 {
		if err := h.run(); err != nil {
			return 0, nil, 0, err
		}
	}
	k = min(n, h.left)
	h.left -= k
	packed, from = h.packed, h.bit
	h.bit += k * int(h.width)
	return k, packed, from, nil
}

// decode fills out with the next values of h.
func decode[T uint8 | int16 | uint32](h *hybrid, out []T) error {
	for len(out) > 0 {
		k, packed, from, err := h.take(len(out))
		if err != nil {
			return err
		}
		if packed == nil {
			for i := range out[:k] {
				out[i] = T(h.value)
			}
		} else {
			unpack(out[:k], packed, from, h.width)
		}
		out = out[k:]
	}
	return nil
}

// unpack reads values of width bits, 1 to 32, from bit from of packed, which
// has them all.
func unpack[T uint8 | int16 | uint32](out []T, packed []byte, from int, width uint) {
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
	tail, bit := tailOf(packed, bit)
	for ; i < len(out); i++ {
		out[i] = T(binary.LittleEndian.Uint64(tail[bit>>3&7:]) >> (bit & 7) & mask)
		bit += width
	}
}

// tailOf gives the last bytes of packed, fewer than 8 from the byte that bit is
// in, with zeros behind them, and where bit is there.
func tailOf(packed []byte, bit uint) (tail [16]byte, in uint) {
	copy(tail[:], packed[min(bit>>3, uint(len(packed))):])
	return tail, bit & 7
}

// gather fills out with the values of dict that the next indices of h stand
// for.
func gather[T uint32 | uint64](h *hybrid, out, dict []T) error {
	for len(out) > 0 {
		k, packed, from, err := h.take(len(out))
		if err != nil {
			return err
		}
		if packed == nil {
			if uint(h.value) >= uint(len(dict)) {
				return badIndex(h.value, len(dict))
			}
			v := dict[h.value]
			for i := range out[:k] {
				out[i] = v
			}
		} else if err := gatherPacked(out[:k], dict, packed, from, h.width); err != nil {
			return err
		}
		out = out[k:]
	}
	return nil
}

func badIndex(i uint32, n int) error { return damaged("index %d into a dictionary of %d values", i, n) }

// gatherPacked is unpack and the look-up in one. As many indices as one load has
// for certain are taken from it: 4 of up to 14 bits, 2 of up to 28.
func gatherPacked[T uint32 | uint64](out, dict []T, packed []byte, from int, width uint) error {
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
				return badIndex(uint32(max(a, b, c, d)), len(dict))
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
				return badIndex(uint32(max(a, b)), len(dict))
			}
			o := (*[2]T)(out)
			o[0], o[1] = dict[a], dict[b]
			out = out[2:]
			bit += 2 * width
		}
	}
	for i := range out {
		x := bitsAt(packed, bit, width)
		if x >= n {
			return badIndex(uint32(x), len(dict))
		}
		out[i] = dict[x]
		bit += width
	}
	return nil
}
