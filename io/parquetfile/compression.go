package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// arrow-go's zstd and snappy codecs allocate what a frame says its content
// takes, up to 64 and 4 GiB, before they look at the content; all its zstd
// decoding goes through at most 4 decoders; and its brotli codec refuses pages
// of no bytes. These take their places. LZ4 is one that it does not have. The
// registry has no lock, so this is for init.
func init() {
	for id, decode := range map[compress.Compression]func(dst, src []byte) ([]byte, error){
		compress.Codecs.Zstd:   decodeZstd,
		compress.Codecs.Snappy: decodeSnappy,
		compress.Codecs.Brotli: decodeBrotli(),
	} {
		encoder, err := compress.GetCodec(id)
		if err != nil {
			panic(err) // arrow-go registers both
		}
		codec := bounded{encoder, decode}
		compress.RegisterCodec(id, codec)
		if id == compress.Codecs.Zstd {
			compress.RegisterCodec(id, zstdPages{codec, new(zstdEncoders)})
		}
	}
	raw, err := compress.GetCodec(compress.Codecs.Lz4Raw)
	if err != nil {
		panic(err)
	}
	compress.RegisterCodec(compress.Codecs.Lz4, hadoopLZ4{raw})
}

// bounded is a codec that never decodes to more bytes than there is room for.
type bounded struct {
	compress.Codec
	decode func(dst, src []byte) ([]byte, error)
}

// DecodeWithError implements compress.ErrorCodec.
func (c bounded) DecodeWithError(dst, src []byte) ([]byte, error) {
	if dst == nil {
		return c.Decode(dst, src), nil
	}
	return c.decode(dst, src)
}

// zstdDecoder decodes as many pages at a time as there are processors. It is
// made on first use, for its buffers.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true))
})

func decodeZstd(dst, src []byte) ([]byte, error) {
	d, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	return d.DecodeAll(src, dst[:0:len(dst)])
}

func decodeSnappy(dst, src []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if n > len(dst) {
		return nil, fmt.Errorf("snappy: %d bytes where %d were announced", n, len(dst))
	}
	return snappy.Decode(dst, src)
}

func decodeBrotli() func(dst, src []byte) ([]byte, error) {
	codec, err := compress.GetCodec(compress.Codecs.Brotli)
	if err != nil {
		panic(err)
	}
	stream := codec.(compress.StreamingCodec)
	return func(dst, src []byte) ([]byte, error) {
		r := stream.NewReader(bytes.NewReader(src))
		if _, err := io.ReadFull(r, dst); err != nil {
			return nil, err
		}
		var more [1]byte
		for range 16 { // a Read of nothing is no end yet
			if n, err := r.Read(more[:]); errors.Is(err, io.EOF) {
				return dst, r.Close()
			} else if n > 0 || err != nil {
				return nil, errors.Join(fmt.Errorf("brotli: more than the %d bytes announced", len(dst)), err)
			}
		}
		return nil, io.ErrNoProgress
	}
}

// hadoopLZ4 is Parquet's deprecated LZ4 codec: blocks as Hadoop frames them,
//
//	per block: its decoded bytes u32, its encoded bytes u32 (big endian), the LZ4 block
//
// or, from Arrow before 2.0 and parquet-cpp, one bare LZ4 block.
// Source: parquet-format:Compression.md; arrow:cpp/src/arrow/util/compression_lz4.cc.
type hadoopLZ4 struct{ compress.Codec }

var errFrame = errors.New("lz4: not framed as Hadoop does")

// Decode implements compress.Codec.
func (c hadoopLZ4) Decode(dst, src []byte) []byte {
	out, err := c.DecodeWithError(dst, src)
	if err != nil {
		panic(err)
	}
	return out
}

// DecodeWithError implements compress.ErrorCodec.
func (c hadoopLZ4) DecodeWithError(dst, src []byte) ([]byte, error) {
	if out, err := c.frames(dst, src); err == nil {
		return out, nil
	}
	return compress.Decode(c.Codec, dst, src)
}

func (c hadoopLZ4) frames(dst, src []byte) ([]byte, error) {
	at := 0
	for len(src) > 0 {
		if len(src) < 8 {
			return nil, errFrame
		}
		decoded, encoded := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
		src = src[8:]
		if uint64(encoded) > uint64(len(src)) || uint64(decoded) > uint64(len(dst)-at) {
			return nil, errFrame
		}
		out, err := compress.Decode(c.Codec, dst[at:at+int(decoded)], src[:encoded])
		if err != nil || len(out) != int(decoded) {
			return nil, errFrame
		}
		at += int(decoded)
		src = src[encoded:]
	}
	return dst[:at], nil
}
