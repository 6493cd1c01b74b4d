package arrowfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/millrace/millrace/io/mapped"
)

// word says how the bytes of a buffer make numbers, for alignment and order.
type word int

// The words: 1 to 32 bytes, and the two that are made of several numbers.
const (
	bytesWord    word = 1
	monthDayNano word = -1 // i32 i32 i64
	viewWord     word = -2 // i32 length, then 12 bytes of text, or 4 of text, i32, i32
)

// align is the alignment in bytes that Go and C code expect of such numbers.
func (w word) align() int {
	switch {
	case w < 0 || w > 8:
		return 8
	default:
		return int(w)
	}
}

// emptyBuffer stands for a buffer without bytes. It counts no references.
var emptyBuffer = memory.NewBufferBytes([]byte{})

// zeroOffsets are the offsets of no values, which old writers leave out.
var zeroOffsets = memory.NewBufferBytes(make([]byte, 16))

// whole asks loader.buffer for everything that a buffer holds.
const whole = int64(-1)

// buffer gives the next buffer of the batch: its first need bytes, or all of
// it, decompressed, in the machine's byte order and aligned. The loader owns
// the reference.
func (l *loader) buffer(need int64, w word) (*memory.Buffer, error) {
	e, err := l.nextBuffer()
	if err != nil {
		return nil, err
	}
	if need == 0 || e.length == 0 && need == whole {
		return emptyBuffer, nil
	}
	raw := l.body[e.offset : e.offset+e.length]
	l.asked += e.length
	if l.meta.codec != codecNone && len(raw) > 0 {
		buf, plain, err := l.decompress(raw, need)
		if err != nil {
			return nil, err
		}
		if buf != nil {
			if err := checkLength(int64(buf.Len()), need); err != nil {
				return nil, err
			}
			if l.swap && w != bytesWord {
				swap(buf.Bytes(), w)
			}
			if need != whole && int64(buf.Len()) > need {
				buf = l.own(memory.SliceBuffer(buf, 0, int(need)))
			}
			return buf, nil
		}
		raw = plain
	}
	if err := checkLength(int64(len(raw)), need); err != nil {
		return nil, err
	}
	if need != whole {
		raw = raw[:need]
	}
	if l.swap && w != bytesWord || !mapped.Aligned(raw, w.align()) {
		buf, err := l.mem.buffer(int64(len(raw)))
		if err != nil {
			return nil, err
		}
		l.own(buf)
		copy(buf.Bytes(), raw)
		if l.swap && w != bytesWord {
			swap(buf.Bytes(), w)
		}
		return buf, nil
	}
	if l.whole != nil {
		return l.own(memory.SliceBuffer(l.whole, l.placeOf(raw), len(raw))), nil
	}
	if err := l.populate(raw); err != nil {
		return nil, err
	}
	return l.own(l.file.Buffer(raw)), nil
}

func checkLength(have, need int64) error {
	if have < need {
		return damaged("a buffer has %d bytes; its rows need %d", have, need)
	}
	return nil
}

// own notes a buffer to be released when the column is done.
func (l *loader) own(b *memory.Buffer) *memory.Buffer {
	l.buffers = append(l.buffers, b)
	return b
}

// Most bytes that one compressed byte can stand for: an LZ4 length byte adds
// 255; a zstd block of 3 bytes of header and one of content gives 128 KiB.
const (
	lz4Ratio  = 255
	zstdRatio = 128 << 10
)

// decompress reads a compressed buffer: its uncompressed length as an i64,
// then the frame; length -1 says that the bytes follow as they are, and plain
// is returned. The loader owns buf.
func (l *loader) decompress(raw []byte, need int64) (buf *memory.Buffer, plain []byte, err error) {
	n, frame, err := l.frameOf(raw, need)
	if err != nil {
		return nil, nil, err
	}
	if n < 0 {
		return nil, frame, nil
	}
	if n == 0 {
		return emptyBuffer, nil, nil
	}
	if buf, err = l.mem.buffer(n); err != nil {
		return nil, nil, err
	}
	l.own(buf)
	if l.meta.codec == codecZSTD {
		err = l.unzstd(buf.Bytes(), frame)
	} else {
		err = unlz4(buf.Bytes(), frame)
	}
	return buf, nil, err
}

// frameOf takes a compressed buffer apart: its size uncompressed, or -1 where the frame
// is the bytes as they are.
func (l *loader) frameOf(raw []byte, need int64) (size int64, frame []byte, err error) {
	if len(raw) < 8 {
		return 0, nil, damaged("a compressed buffer of %d bytes", len(raw))
	}
	size, frame = int64(binary.LittleEndian.Uint64(raw)), raw[8:]
	if size == -1 {
		return -1, frame, nil
	}
	ratio := int64(lz4Ratio)
	if l.meta.codec == codecZSTD {
		ratio = zstdRatio
	}
	if size < 0 || size/ratio > int64(len(frame)) {
		return 0, nil, damaged("%d bytes cannot hold %d compressed ones", len(frame), size)
	}
	return size, frame, checkLength(size, need)
}

// announced is the size of the buffers from first to end-1, decompressed as they say
// themselves; where that cannot be, as they are stored.
func (l *loader) announced(first, end int) (total int64) {
	if l.meta.codec == codecNone {
		return l.meta.bytesOf(first, end)
	}
	for _, e := range l.meta.buffers[first:end] {
		size, frame, err := l.frameOf(l.body[e.offset:e.offset+e.length], 0)
		switch {
		case err != nil:
			size = e.length
		case size < 0:
			size = int64(len(frame))
		}
		total = min(total+size, maxRows)
		if e.offset-l.dropped >= flowDropBytes { // a fault may map 2 MiB for each buffer
			l.file.DropUnused(l.meta.bodyOffset()+l.dropped, l.meta.bodyOffset()+e.offset)
			l.dropped = e.offset
		}
	}
	return total
}

// unzstd decompresses frame, which must give len(dst) bytes.
func (l *loader) unzstd(dst, frame []byte) error {
	d, err := l.zstd()
	if err != nil {
		return err
	}
	got, err := d.DecodeAll(frame, dst[:0:len(dst)])
	switch {
	case err != nil:
		return damaged("zstd: %v", err)
	case len(got) != len(dst):
		return damaged("zstd gives %d bytes; %d were announced", len(got), len(dst))
	}
	return nil
}

// newZstd makes a decoder for DecodeAll: safe for concurrent use, without
// goroutines, and never beyond the capacity it is given.
func newZstd() (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return d, nil
}

// unlz4 decompresses frame, which must give len(dst) bytes and end there.
func unlz4(dst, frame []byte) error {
	r := lz4.NewReader(bytes.NewReader(frame))
	if n, err := io.ReadFull(r, dst); err != nil {
		return damaged("lz4 gives %d bytes; %d were announced: %v", n, len(dst), err)
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return damaged("lz4 goes on after %d bytes: %v", len(dst), err)
	}
	return nil
}

// swap reverses the bytes of every number in b.
func swap(b []byte, w word) {
	switch w {
	case monthDayNano:
		for ; len(b) >= 16; b = b[16:] {
			slices.Reverse(b[:4])
			slices.Reverse(b[4:8])
			slices.Reverse(b[8:16])
		}
	case viewWord:
		for ; len(b) >= 16; b = b[16:] {
			slices.Reverse(b[:4])
			if int32(binary.LittleEndian.Uint32(b)) > inlineBytes {
				slices.Reverse(b[8:12])
				slices.Reverse(b[12:16])
			}
		}
	default:
		for n := int(w); len(b) >= n; b = b[n:] {
			slices.Reverse(b[:n])
		}
	}
}

// populateMost is how many bytes of a span are read in before it is given out.
// A larger one would be out of the page cache again before it is used; the
// kernel is only asked to read ahead.
const populateMost = 256 << 20

// populate brings a view's pages in, so that a file that has shrunk is found
// out here and not by whoever reads the view.
func (l *loader) populate(view []byte) error {
	off := l.bodyAt(view)
	if l.populated += int64(len(view)); l.populated > populateMost {
		return l.file.Advise(off, int64(len(view)), mapped.WillNeed)
	}
	return l.file.Populate(off, int64(len(view)))
}

// bodyAt is a view's offset in the file; the view is a part of l.body.
func (l *loader) bodyAt(view []byte) int64 { return l.meta.bodyOffset() + int64(l.placeOf(view)) }

// placeOf is a view's offset in l.body.
func (l *loader) placeOf(view []byte) int { return cap(l.body) - cap(view) }
