package parquetfile

import (
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// The registry has no lock, so this is for init.
func init() {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(err) // arrow-go registers it
	}
	compress.RegisterCodec(compress.Codecs.Zstd, zstdPages{codec})
}

// zstdPages is arrow-go's zstd codec, with libzstd in place of its encoders: as
// small, and in two thirds of the time.
type zstdPages struct{ compress.Codec }

// EncodeLevel implements compress.Codec.
func (c zstdPages) EncodeLevel(dst, src []byte, level int) []byte {
	ctx := takeZstd()
	defer giveZstd(ctx)
	out, err := ctx.CompressLevel(dst[:cap(dst)], src, level)
	if err != nil {
		panic(err) // there is room for any page, but no memory; the writer recovers
	}
	return out
}
