package parquetfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/gzip"
)

var errShort = errors.New("it ends early")

// unpacks says whether unpack has a codec. Hadoop's frames around LZ4 blocks are told
// from a bare block by trying: such pages stay in memory.
func unpacks(codec compress.Compression) bool {
	return decompresses(codec) && codec != compress.Codecs.Lz4
}

// unpacked is where a page's bytes go, and can be read again.
type unpacked interface {
	io.Writer
	io.ReaderAt
}

// unpack writes the size bytes that all of from stands for; another number of bytes is an
// error. It holds no more than a codec's window of either.
func unpack(codec compress.Compression, to unpacked, from *bufio.Reader, size int) error {
	switch codec {
	case compress.Codecs.Uncompressed:
		return copyExactly("page", to, from, size)
	case compress.Codecs.Zstd:
		return unpackZstd(to, from, size)
	case compress.Codecs.Snappy:
		return unpackSnappy(to, from, size)
	case compress.Codecs.Gzip:
		r, err := gzip.NewReader(from)
		if err != nil {
			return err
		}
		return errors.Join(copyExactly("gzip", to, r, size), r.Close())
	case compress.Codecs.Brotli:
		r, err := brotliReader(from)
		if err != nil {
			return err
		}
		return errors.Join(copyExactly("brotli", to, r, size), r.Close())
	case compress.Codecs.Lz4Raw:
		return unpackLZ4(to, from, size)
	}
	return fmt.Errorf("no codec %s", codec)
}

// copyExactly writes all bytes of r, which are to be size.
func copyExactly(codec string, to io.Writer, r io.Reader, size int) error {
	n, err := io.Copy(to, io.LimitReader(r, int64(size)+1))
	if err != nil {
		return fmt.Errorf("%s: %w", codec, err)
	}
	return exactly(codec, int(n), size)
}

func unpackZstd(to io.Writer, from *bufio.Reader, size int) error {
	written := 0
	for frames := 0; ; frames++ {
		head, err := from.Peek(4)
		if len(head) == 0 && frames > 0 {
			return exactly("zstd", written, size)
		}
		if err != nil {
			return errNoFrame
		}
		if err := checkZstdMagic(head); err != nil {
			return err
		}
		frame := zstdFrame{from: from}
		r := zstd.NewReader(&frame)
		n, err := io.Copy(to, io.LimitReader(r, int64(size-written)+1))
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		if written += int(n); written > size {
			return exactly("zstd", written, size)
		}
		if !frame.whole() {
			return fmt.Errorf("zstd: %w: a frame without its end", errShort)
		}
	}
}

const (
	// historyBytes are kept of what was unpacked: as far back as LZ4 reaches, and as any
	// encoder of Snappy that is known.
	historyBytes = 64 << 10
	windowBytes  = 1 << 20
)

// window is what was unpacked last, for copies of it.
//
//	written to the file ... | history | new, to be written | room
//	                        0         written               n
type window struct {
	to      unpacked
	buf     []byte
	n       int
	written int
	base    int64 // where buf begins in what is unpacked
	left    int   // bytes that are still to come
	codec   string
}

func newWindow(codec string, to unpacked, size int) *window {
	return &window{codec: codec, to: to, buf: make([]byte, min(windowBytes, size)), left: size}
}

// flush writes what is new.
func (w *window) flush() error {
	if _, err := w.to.Write(w.buf[w.written:w.n]); err != nil {
		return err
	}
	w.written = w.n
	return nil
}

// room makes room for some of n bytes and says for how many.
func (w *window) room(n int) (int, error) {
	if n > w.left {
		return 0, fmt.Errorf("%s: more bytes than were announced", w.codec)
	}
	if w.n == len(w.buf) {
		if err := w.flush(); err != nil {
			return 0, err
		}
		from := w.n - historyBytes
		copy(w.buf, w.buf[from:])
		w.base += int64(from)
		w.n, w.written = historyBytes, historyBytes
	}
	return min(n, len(w.buf)-w.n), nil
}

// grew says that n bytes of room were filled.
func (w *window) grew(n int) {
	w.n += n
	w.left -= n
}

// literal takes n bytes as they are.
func (w *window) literal(from io.Reader, n int) error {
	for n > 0 {
		k, err := w.room(n)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(from, w.buf[w.n:w.n+k]); err != nil {
			return fmt.Errorf("%s: %w: %w", w.codec, errShort, err)
		}
		w.grew(k)
		n -= k
	}
	return nil
}

// copyBack repeats n bytes from offset bytes before the end on, which may be those that it
// makes.
func (w *window) copyBack(offset int64, n int) error {
	if offset <= 0 || offset > w.base+int64(w.n) {
		return fmt.Errorf("%s: a copy from %d bytes before, where there are %d", w.codec, offset, w.base+int64(w.n))
	}
	for n > 0 {
		k, err := w.room(n)
		if err != nil {
			return err
		}
		if at := int64(w.n) - offset; at >= 0 {
			k = copy(w.buf[w.n:w.n+k], w.buf[at:w.n])
			if k == int(offset) && 2*offset <= int64(w.n) { // what repeats now repeats from twice as far, too
				offset *= 2
			}
		} else { // written, and no longer in the window
			k = int(min(int64(k), -at))
			if _, err := w.to.ReadAt(w.buf[w.n:w.n+k], w.base+at); err != nil {
				return err
			}
		}
		w.grew(k)
		n -= k
	}
	return nil
}

// end writes the rest, of which nothing may be left over.
func (w *window) end() error {
	if w.left > 0 {
		return fmt.Errorf("%s: %d bytes fewer than announced", w.codec, w.left)
	}
	return w.flush()
}

// Kinds of elements of Snappy, in the lowest two bits of their tag.
const (
	snappyLiteral = iota
	snappyCopy1
	snappyCopy2
	snappyCopy4
)

// unpackSnappy unpacks a raw block. Source: google/snappy:format_description.txt.
func unpackSnappy(to unpacked, from *bufio.Reader, size int) error {
	announced, err := binary.ReadUvarint(from)
	if err != nil {
		return fmt.Errorf("snappy: %w: %w", errShort, err)
	}
	if announced != uint64(size) {
		return fmt.Errorf("snappy: %d bytes where %d were announced", announced, size)
	}
	w := newWindow("snappy", to, size)
	for {
		tag, err := from.ReadByte()
		if errors.Is(err, io.EOF) {
			return w.end()
		}
		if err == nil {
			err = w.snappyElement(from, int(tag>>2), tag&3)
		}
		if err != nil {
			return err
		}
	}
}

// snappyElement unpacks one element, of a kind and with the upper bits of its tag.
func (w *window) snappyElement(from *bufio.Reader, upper int, kind byte) error {
	switch kind {
	case snappyLiteral:
		length := int64(upper)
		if extra := upper - 59; extra > 0 { // so many bytes have it
			var err error
			if length, err = littleEndian(from, extra); err != nil {
				return fmt.Errorf("snappy: %w", err)
			}
		}
		return w.literal(from, int(length)+1)
	case snappyCopy1:
		low, err := littleEndian(from, 1)
		if err != nil {
			return fmt.Errorf("snappy: %w", err)
		}
		return w.copyBack(int64(upper>>3)<<8|low, 4+upper&7)
	case snappyCopy2, snappyCopy4:
		offset, err := littleEndian(from, 2*int(kind)-2)
		if err != nil {
			return fmt.Errorf("snappy: %w", err)
		}
		return w.copyBack(offset, upper+1)
	}
	return nil
}

// littleEndian reads a number of up to 4 bytes.
func littleEndian(from io.Reader, bytes int) (int64, error) {
	var b [4]byte
	if _, err := io.ReadFull(from, b[:bytes]); err != nil {
		return 0, fmt.Errorf("%w: %w", errShort, err)
	}
	return int64(binary.LittleEndian.Uint32(b[:])), nil
}

// Of an LZ4 sequence: the length in a token that goes on in the bytes after it, and the
// least that a copy has.
const (
	lz4More     = 15
	lz4LeastLen = 4
)

// unpackLZ4 unpacks a bare block. Source: lz4:doc/lz4_Block_format.md.
func unpackLZ4(to unpacked, from *bufio.Reader, size int) error {
	w := newWindow("lz4", to, size)
	for {
		token, err := from.ReadByte()
		if errors.Is(err, io.EOF) {
			return w.end()
		}
		if err != nil {
			return err
		}
		if err := w.lz4Literals(from, int(token>>4)); err != nil {
			return err
		}
		if _, err := from.Peek(1); errors.Is(err, io.EOF) {
			return w.end() // the last sequence has no copy
		}
		if err := w.lz4Copy(from, int(token&15)); err != nil {
			return err
		}
	}
}

func (w *window) lz4Literals(from *bufio.Reader, length int) error {
	length, err := lz4Length(from, length, w.left)
	if err != nil {
		return err
	}
	return w.literal(from, length)
}

func (w *window) lz4Copy(from *bufio.Reader, length int) error {
	offset, err := littleEndian(from, 2)
	if err != nil {
		return fmt.Errorf("lz4: %w", err)
	}
	if length, err = lz4Length(from, length, w.left); err != nil {
		return err
	}
	return w.copyBack(offset, length+lz4LeastLen)
}

// lz4Length is a length whose first part is given, at most most and some.
func lz4Length(from *bufio.Reader, length, most int) (int, error) {
	if length < lz4More {
		return length, nil
	}
	for {
		b, err := from.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("lz4: %w: %w", errShort, err)
		}
		length += int(b)
		if b < 255 || length > most {
			return length, nil
		}
	}
}
