package lines

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members reads the members of a gzip stream, one after the other. Zeros behind the last are
// none, as they are for gzip(1): what pads a file to whole blocks leaves some.
type members struct {
	from *bufio.Reader // of the stream
	z    *gzip.Reader
}

var errBehind = errors.New("bytes that are no member of it follow the last one")

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	m.z.Multistream(false)
	n, err := m.z.Read(p)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = m.next()
	}
	return n, err
}

// next begins another member; io.EOF where there is none.
func (m *members) next() error {
	zeros := 0
	for {
		c, err := m.from.ReadByte()
		switch {
		case err != nil:
			return err
		case c == 0:
			zeros++
			continue
		case zeros > 0:
			return errBehind
		}
		if err := m.from.UnreadByte(); err != nil {
			return err
		}
		break
	}
	if head, err := m.from.Peek(len(gzipMagic)); err == nil && string(head) != gzipMagic {
		return errBehind
	}
	switch err := m.z.Reset(m.from); {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.EOF):
		return errBehind
	default:
		return err
	}
}
