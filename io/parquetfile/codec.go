package parquetfile

import (
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// unsupportedEncoding names an encoding in a column chunk's metadata that
// arrow-go does not decode for its physical type; "" where there is none.
func unsupportedEncoding(md *metadata.FileMetaData, group, leaf int) string {
	meta := md.RowGroups[group].Columns[leaf].MetaData
	if meta == nil {
		return ""
	}
	physical := parquet.Type(meta.Type)
	for _, e := range meta.Encodings {
		if enc := parquet.Encoding(e); !decodable(enc, physical) {
			return enc.String()
		}
	}
	return ""
}

func decodable(e parquet.Encoding, t parquet.Type) bool {
	in := func(types ...parquet.Type) bool { return slices.Contains(types, t) }
	all := parquet.Types
	switch e {
	case parquet.Encodings.Plain, parquet.Encodings.PlainDict, parquet.Encodings.RLEDict,
		parquet.Encodings.RLE, parquet.Encodings.BitPacked: // the last two encode levels too
		return true
	case parquet.Encodings.DeltaBinaryPacked:
		return in(all.Int32, all.Int64)
	case parquet.Encodings.DeltaLengthByteArray:
		return in(all.ByteArray)
	case parquet.Encodings.DeltaByteArray:
		return in(all.ByteArray, all.FixedLenByteArray)
	case parquet.Encodings.ByteStreamSplit:
		return in(all.Int32, all.Int64, all.Float, all.Double, all.FixedLenByteArray)
	}
	return false
}
