package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// decompresses says whether decompress has a codec.
func decompresses(codec compress.Compression) bool {
	switch codec {
	case compress.Codecs.Uncompressed, compress.Codecs.Zstd, compress.Codecs.Snappy, compress.Codecs.Gzip,
		compress.Codecs.Brotli, compress.Codecs.Lz4, compress.Codecs.Lz4Raw:
		return true
	}
	return false
}

// decompress fills dst with what src stands for; another number of bytes is an
// error, found without making room for them. Arrow-go's own codecs allocate
// what a frame claims, or a decoder per page.
func decompress(codec compress.Compression, dst, src []byte) error {
	switch codec {
	case compress.Codecs.Zstd:
		return decodeZstd(dst, src)
	case compress.Codecs.Snappy:
		return decodeSnappy(dst, src)
	case compress.Codecs.Gzip:
		return decodeGzip(dst, src)
	case compress.Codecs.Brotli:
		return decodeBrotli(dst, src)
	case compress.Codecs.Lz4Raw:
		return decodeLZ4(dst, src)
	case compress.Codecs.Lz4:
		if decodeHadoopLZ4(dst, src) == nil {
			return nil
		}
		return decodeLZ4(dst, src)
	}
	return fmt.Errorf("no codec %s", codec)
}

// exactly returns an error unless a codec gave as many bytes as announced.
func exactly(codec string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s: %d bytes where %d were announced", codec, got, want)
	}
	return nil
}

// zstdContexts are idle: never more than pages were decoded or encoded at a time.
// Each has 160 KiB of tables to decode with, and one that has encoded a page some
// 500 KiB more, outside of Go's heap: a sync.Pool, which collections empty, would
// leave them to finalizers.
var zstdContexts struct {
	sync.Mutex
	idle []zstd.Ctx
}

func takeZstd() zstd.Ctx {
	zstdContexts.Lock()
	defer zstdContexts.Unlock()
	if n := len(zstdContexts.idle); n > 0 {
		ctx := zstdContexts.idle[n-1]
		zstdContexts.idle = zstdContexts.idle[:n-1]
		return ctx
	}
	return zstd.NewCtx()
}

func giveZstd(ctx zstd.Ctx) {
	zstdContexts.Lock()
	defer zstdContexts.Unlock()
	zstdContexts.idle = append(zstdContexts.idle, ctx)
}

// Magic numbers that a Zstandard frame starts with. Source: RFC 8878.
const (
	zstdMagic          = 0xfd2fb528
	zstdSkippableMagic = 0x184d2a50 // in the upper 28 bits
)

var errNoFrame = errors.New("zstd: no frame")

// checkZstdMagic returns an error unless a frame begins here. The library reads formats
// from before the standard too, which Parquet never had; they are not worth trusting.
func checkZstdMagic(src []byte) error {
	if len(src) < 4 {
		return errNoFrame
	}
	if magic := binary.LittleEndian.Uint32(src); magic != zstdMagic && magic&^0xf != zstdSkippableMagic {
		return fmt.Errorf("zstd: a frame does not start with %#x", magic)
	}
	return nil
}

// decodeZstd decodes with libzstd, which takes half the time of the decoders in
// Go. It writes straight into dst and allocates nothing that a frame claims.
func decodeZstd(dst, src []byte) error {
	if err := checkZstdMagic(src); err != nil {
		return err
	}
	ctx := takeZstd()
	defer giveZstd(ctx)
	n, err := ctx.DecompressInto(dst, src)
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	return exactly("zstd", n, len(dst))
}

func decodeSnappy(dst, src []byte) error {
	n, err := snappy.DecodedLen(src)
	if err == nil {
		err = exactly("snappy", n, len(dst))
	}
	if err == nil {
		_, err = snappy.Decode(dst, src)
	}
	return err
}

// gzipReaders are idle: each has 40 KiB of tables. A nil one is to be made.
var gzipReaders sync.Pool

func decodeGzip(dst, src []byte) (err error) {
	r, ok := gzipReaders.Get().(*gzip.Reader)
	if ok {
		err = r.Reset(bytes.NewReader(src))
	} else {
		r, err = gzip.NewReader(bytes.NewReader(src))
	}
	if err != nil {
		return err
	}
	defer gzipReaders.Put(r)
	return readExactly("gzip", r, dst)
}

func decodeBrotli(dst, src []byte) error {
	r, err := brotliReader(bytes.NewReader(src))
	if err != nil {
		return err
	}
	return errors.Join(readExactly("brotli", r, dst), r.Close())
}

func brotliReader(from io.Reader) (io.ReadCloser, error) {
	codec, err := compress.GetCodec(compress.Codecs.Brotli)
	if err != nil {
		return nil, err
	}
	return codec.(compress.StreamingCodec).NewReader(from), nil
}

// readExactly fills dst from r, which must then be at its end.
func readExactly(codec string, r io.Reader, dst []byte) error {
	if n, err := io.ReadFull(r, dst); err != nil {
		return errors.Join(exactly(codec, n, len(dst)), err)
	}
	var more [1]byte
	for range 16 { // a Read of nothing is no end yet
		if n, err := r.Read(more[:]); n > 0 {
			return exactly(codec, len(dst)+n, len(dst))
		} else if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func decodeLZ4(dst, src []byte) error {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return err
	}
	return exactly("lz4", n, len(dst))
}

var errFrame = errors.New("lz4: not framed as Hadoop does")

// decodeHadoopLZ4 decodes Parquet's deprecated LZ4 codec: blocks as Hadoop frames
// them,
//
//	per block: its decoded bytes u32, its encoded bytes u32 (big endian), the LZ4 block
//
// where Arrow before 2.0 and parquet-cpp wrote one bare LZ4 block.
// Source: parquet-format:Compression.md; arrow:cpp/src/arrow/util/compression_lz4.cc.
func decodeHadoopLZ4(dst, src []byte) error {
	for len(src) > 0 {
		if len(src) < 8 {
			return errFrame
		}
		decoded, encoded := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
		src = src[8:]
		if uint64(encoded) > uint64(len(src)) || uint64(decoded) > uint64(len(dst)) {
			return errFrame
		}
		if err := decodeLZ4(dst[:decoded], src[:encoded]); err != nil {
			return errFrame
		}
		dst, src = dst[decoded:], src[encoded:]
	}
	if len(dst) > 0 {
		return errFrame
	}
	return nil
}

// storedBlockBytes is the most that a block of a zstd frame has.
const storedBlockBytes = 128 << 10

// storedBound is the most that appendStored makes of n bytes.
func storedBound(n int) int { return 9 + n + 3*(n/storedBlockBytes+1) }

// appendStored appends a zstd frame of the bytes as they are: raw blocks, as zstd itself
// makes of what it cannot shrink (RFC 8878, 3.1.1).
func appendStored(to, data []byte) []byte {
	const descriptor = 2<<6 | 1<<5 // the content's size in 4 bytes, and it is the window's
	to = binary.LittleEndian.AppendUint32(to, zstdMagic)
	to = append(to, descriptor)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(data)))
	for last := false; !last; {
		n := min(len(data), storedBlockBytes)
		last = n == len(data)
		head := uint32(n) << 3
		if last {
			head |= 1
		}
		to = append(to, byte(head), byte(head>>8), byte(head>>16))
		to = append(to, data[:n]...)
		data = data[n:]
	}
	return to
}
