package parquetfile

import (
	"sync"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow is how far back an encoder looks for repeats in a page longer than
// one block. Pages are of about one block, unless single values are large.
const zstdWindow = 1 << 20

// The registry has no lock, so this is for init.
func init() {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(err) // arrow-go registers it
	}
	compress.RegisterCodec(compress.Codecs.Zstd, zstdPages{codec, new(zstdEncoders)})
}

// zstdPages is arrow-go's zstd codec, with encoders for zstdLevel that stay: arrow-go's
// are in a sync.Pool, which every second collection empties, and a new one costs
// up to 8 MiB.
type zstdPages struct {
	compress.Codec
	encoders *zstdEncoders
}

// EncodeLevel implements compress.Codec.
func (c zstdPages) EncodeLevel(dst, src []byte, level int) []byte {
	if level != zstdLevel {
		return c.Codec.EncodeLevel(dst, src, level)
	}
	e := c.encoders.get()
	defer c.encoders.put(e)
	return e.EncodeAll(src, dst[:0])
}

// zstdEncoders are idle encoders, last used first: never more than pages were
// being encoded at a time.
type zstdEncoders struct {
	mu struct {
		sync.Mutex
		idle []*zstd.Encoder
	}
}

func (p *zstdEncoders) get() *zstd.Encoder {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.mu.idle); n > 0 {
		e := p.mu.idle[n-1]
		p.mu.idle = p.mu.idle[:n-1]
		return e
	}
	e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(zstdLevel)),
		zstd.WithEncoderConcurrency(1), zstd.WithAllLitEntropyCompression(true),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(zstdWindow))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}

func (p *zstdEncoders) put(e *zstd.Encoder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.idle = append(p.mu.idle, e)
}
