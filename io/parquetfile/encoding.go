package parquetfile

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
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
		return in(all.ByteArray)
	case parquet.Encodings.ByteStreamSplit:
		return in(all.Int32, all.Int64, all.Float, all.Double, all.FixedLenByteArray)
	}
	return false
}

// checkFirstPage refuses version 2 data pages of Arrow before 3.0, which are
// compressed although their headers say that they are not: the library would
// take the compressed bytes for values (ARROW-10353, ARROW-17100).
func (s *spanReader) checkFirstPage(c chunk) error {
	if c.codec == compress.Codecs.Uncompressed || c.values == 0 || !strings.HasPrefix(s.r.md.GetCreatedBy(), "parquet-cpp version ") {
		return nil
	}
	var header [2]byte
	if _, err := s.source.ReadAt(header[:], c.firstPage); err != nil {
		return damaged("first page: %v", err)
	}
	// Field 1 of PageHeader, an i32: the type, 3 (zigzag 6) is DATA_PAGE_V2.
	if header == [2]byte{1<<4 | thriftI32, 6} {
		return unsupported("version 2 data pages of Arrow before 3.0")
	}
	return nil
}
