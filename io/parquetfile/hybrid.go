package parquetfile

import (
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/io/parquetfile/kernel"
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
	packed []byte // bit-packed values of the current run, the page's rest behind them; nil for a repeated one
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
			h.packed, h.bit = h.rest[:bytes], 0
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

// short takes a whole repeated run of up to 63 values, and n at most, as most are
// in columns that change now and then. It returns 0 where there is none.
func (h *hybrid) short(n int) (value uint32, count int) {
	if h.left > 0 || len(h.rest) < 9 || h.rest[0]&0x81 != 0 {
		return 0, 0
	}
	k, v := int(h.rest[0]>>1), binary.LittleEndian.Uint64(h.rest[1:])&(1<<((h.width+7)&^7)-1)
	if k > n || v>>h.width != 0 {
		return 0, 0
	}
	h.rest = h.rest[1+(h.width+7)>>3:]
	return uint32(v), k
}

// decode fills out with the next values of h.
func decode[T uint8 | int16 | uint32](h *hybrid, out []T) error {
	for len(out) > 0 {
		k, packed, from, err := h.take(len(out))
		if err != nil {
			return err
		}
		if packed == nil {
			kernel.Fill(out[:k], T(h.value))
		} else {
			kernel.Unpack(out[:k], packed, from, h.width)
		}
		out = out[k:]
	}
	return nil
}

// gather fills out with the values of dict that the next indices of h stand
// for.
func gather[T uint32 | uint64](h *hybrid, out, dict []T) error {
	for len(out) > 0 {
		if v, k := h.short(len(out)); k > 0 && uint(v) < uint(len(dict)) {
			kernel.Fill(out[:k], dict[v])
			out = out[k:]
			continue
		} else if k > 0 {
			return badIndex(v, len(dict))
		}
		k, packed, from, err := h.take(len(out))
		if err != nil {
			return err
		}
		if packed == nil {
			if uint(h.value) >= uint(len(dict)) {
				return badIndex(h.value, len(dict))
			}
			kernel.Fill(out[:k], dict[h.value])
		} else if beyond := kernel.Gather(out[:k], dict, packed, from, h.width); beyond >= 0 {
			return badIndex(uint32(beyond), len(dict))
		}
		out = out[k:]
	}
	return nil
}

func badIndex(i uint32, n int) error { return damaged("index %d into a dictionary of %d values", i, n) }
