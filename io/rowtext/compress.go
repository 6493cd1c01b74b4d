package rowtext

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// ErrCodec says that a format does not have a compression codec.
var ErrCodec = errors.New("codec cannot be used in this format")

// Compression of text, measured on scores (docs/performance.md): the next levels take
// twice the time for 3% fewer bytes.
const (
	gzipLevel = 2
	zstdLevel = zstd.SpeedFastest
	// gzipBlock is compressed at a time. Bytes depend on it, and not on how many are
	// at the same time.
	gzipBlock  = 1 << 20
	gzipBlocks = 4
	// zstdSteps run at the same time, which changes no byte: one block is searched
	// while the one before it is coded.
	zstdSteps = 2
	// zstdWindow bounds the memory of whoever reads, too.
	zstdWindow = 4 << 20
)

// Compressed puts a codec (none, which is the default, gzip or zstd) in front of a
// stream; its Close does not close that. Each makes one member or frame, since some
// readers stop at the first. The error of another codec wraps ErrCodec.
func Compressed(w io.Writer, codec string) (io.WriteCloser, error) {
	switch codec {
	case "", "none":
		return plain{w}, nil
	case "gzip":
		zw, err := pgzip.NewWriterLevel(w, gzipLevel)
		if err == nil {
			err = zw.SetConcurrency(gzipBlock, gzipBlocks)
		}
		return zw, err
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(zstdSteps), zstd.WithWindowSize(zstdWindow))
	default:
		return nil, fmt.Errorf("%w: %q; there are none, gzip and zstd", ErrCodec, codec)
	}
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }
