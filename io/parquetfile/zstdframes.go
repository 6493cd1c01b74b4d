package parquetfile

import (
	"bufio"
	"encoding/binary"
	"io"
)

// zstdFrame passes a reader's bytes on up to the end of a frame. libzstd's streams by themselves
// end without an error where a frame lacks its last block or checksum, and with one after the
// first of several frames.
//
//	frame:     magic u32 | descriptor u8 | window, dictionary, size | block ... | [checksum u32]
//	block:     u24: last, 2 bits of type, size | bytes
//	skippable: magic u32 | size u32 | bytes
//
// Source: RFC 8878, section 3.1.
type zstdFrame struct {
	from *bufio.Reader

	head   []byte // what is there of the next header
	blocks bool   // which is of a block
	last   bool   // there is none
	left   int64  // bytes before it
	summed bool   // the frame ends with a checksum
}

// Read implements io.Reader.
func (z *zstdFrame) Read(p []byte) (n int, err error) {
	if z.whole() {
		return 0, io.EOF
	}
	if _, err := z.from.Peek(1); err != nil {
		return 0, err
	}
	b, err := z.from.Peek(min(len(p), z.from.Buffered()))
	n = copy(p, b[:z.follow(b)])
	_, _ = z.from.Discard(n) // which are buffered
	return n, err
}

// whole tells whether the frame was read to its end.
func (z *zstdFrame) whole() bool { return z.last && z.left == 0 }

// follow goes on in b, and gives how much of it is the frame's.
func (z *zstdFrame) follow(b []byte) (n int) {
	for n < len(b) && !z.whole() {
		if z.left > 0 {
			k := min(z.left, int64(len(b)-n))
			z.left -= k
			n += int(k)
			continue
		}
		z.head = append(z.head, b[n])
		n++
		if z.blocks {
			z.block()
		} else {
			z.frame()
		}
	}
	return n
}

// frame takes a frame's header when it is there.
func (z *zstdFrame) frame() {
	if len(z.head) < 5 {
		return
	}
	if binary.LittleEndian.Uint32(z.head) != zstdMagic {
		if len(z.head) == 8 {
			z.left, z.last = int64(binary.LittleEndian.Uint32(z.head[4:])), true
		}
		return
	}
	descriptor := z.head[4]
	single := descriptor&0x20 != 0
	z.left = int64([4]int{0, 1, 2, 4}[descriptor&3] + [4]int{0, 2, 4, 8}[descriptor>>6])
	if single && descriptor>>6 == 0 || !single {
		z.left++ // a size of one byte, or a window
	}
	z.summed, z.blocks, z.head = descriptor&4 != 0, true, z.head[:0]
}

// block takes a block's header when it is there.
func (z *zstdFrame) block() {
	if len(z.head) < 3 {
		return
	}
	h := uint32(z.head[0]) | uint32(z.head[1])<<8 | uint32(z.head[2])<<16
	z.head = z.head[:0]
	z.left = int64(h >> 3)
	if h>>1&3 == 1 { // one byte, repeated
		z.left = 1
	}
	z.last = h&1 != 0
	if z.last && z.summed {
		z.left += 4
	}
}
