package lines

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
)

// codec is how a file of lines is compressed.
type codec string

const (
	plain     codec = ""
	gzipped   codec = "gzip"
	zstandard codec = "zstd"
)

// codecOf is the codec that a last extension promises.
func codecOf(ext string) codec {
	switch strings.ToLower(ext) {
	case ".gz", ".gzip":
		return gzipped
	case ".zst", ".zstd":
		return zstandard
	}
	return plain
}

// Compressed says that a name promises compressed text.
func Compressed(path string) bool { return codecOf(filepath.Ext(path)) != plain }

const gzipMagic = "\x1f\x8b"

// codecIn is the codec of a file by its first bytes; zstd's may be a skippable frame's,
// whose last four bits say anything (RFC 8878, section 3.1.2).
func codecIn(head []byte) codec {
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		return gzipped
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return zstandard
	}
	return plain
}

// maxWindow is the most memory that a zstd frame may ask for: the window of
// zstd --long=27, which is the most that its own program takes unasked.
const maxWindow = 128 << 20

// openText opens a file, and keeps its text where that is not as it lies there: its first
// bytes say that it is compressed, or it has an encoding, which is nil for UTF-8. name is
// what it stands in for, if anything. stop is asked meanwhile.
func openText(path, name string, e *encoding, scratch *scratch, stop func() error) (_ *textFile, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	f := &textFile{path: cmp.Or(name, path), standIn: name != ""}
	if f.seen, err = file.Stat(); err != nil {
		return nil, err
	}
	head := make([]byte, codecBytes)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if err := f.tell(head[:n]); err != nil {
		return nil, err
	}
	if f.codec == plain && e == nil {
		f.size = f.seen.Size()
		return f, nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return f, f.keep(file, e, scratch, stop)
}

// codecBytes are the first bytes that tell a codec.
const codecBytes = 4

// tell finds the codec by the file's first bytes.
func (f *textFile) tell(head []byte) error {
	f.codec = codecIn(head)
	want := codecOf(filepath.Ext(f.path))
	if want != plain && len(head) == 0 {
		return fmt.Errorf("%w: its name says %s, and it is empty, which no compressed file is: it may not have been written yet", format.ErrDamaged, want)
	}
	if want != plain && want != f.codec {
		return fmt.Errorf("%w: its name says %s, and its first bytes (%q) do not", format.ErrDamaged, want, head)
	}
	return nil
}

// keep keeps the text of a stream in the scratch file, as UTF-8.
func (f *textFile) keep(from io.Reader, e *encoding, scratch *scratch, stop func() error) error {
	f.text = &extents{scratch: scratch}
	err := decompress(f.text, bufio.NewReaderSize(from, 1<<20), f.codec, e, stop)
	f.size = f.text.size
	if err != nil && f.codec != plain {
		return fmt.Errorf("%s text: %w", f.codec, err)
	}
	return err
}

// decompress writes all members or frames of a stream, one after the other, as UTF-8.
func decompress(to io.Writer, from *bufio.Reader, c codec, e *encoding, stop func() error) error {
	var text io.Reader
	switch c {
	case plain:
		text = from
	case gzipped:
		z, err := gzip.NewReader(from)
		if err != nil {
			return damaged(err)
		}
		text = &members{from: from, z: z}
	default:
		z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return damaged(err)
		}
		defer z.Close()
		text = z
	}
	if e != nil {
		text = e.reader(text)
	}
	buffer := make([]byte, 1<<20)
	for {
		n, err := text.Read(buffer)
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
		if err := stop(); err != nil {
			return err
		}
	}
}

func damaged(err error) error {
	switch {
	case errors.Is(err, format.ErrDamaged), errors.Is(err, format.ErrUnsupported):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: a frame asks for a window of more than %d MiB; compress it again without --long above 27", format.ErrUnsupported, maxWindow>>20)
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return fmt.Errorf("%w: a frame needs a dictionary; compress it again without one", format.ErrUnsupported)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it is cut off", format.ErrDamaged)
	}
	return fmt.Errorf("%w: %w", format.ErrDamaged, err)
}
