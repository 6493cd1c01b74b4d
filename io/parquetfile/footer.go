package parquetfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/millrace/millrace/io/format"
)

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
	tailBytes      = 8 // footer's length u32, magic
)

// readFooter reads and checks the metadata at the end of a file of size bytes.
//
//	PAR1 | column chunks ... | FileMetaData | its length u32 | PAR1
func readFooter(r io.ReaderAt, size, budgetBytes int64) (*metadata.FileMetaData, error) {
	if size < int64(len(magic))+tailBytes {
		return nil, damaged("%d bytes are too few for a Parquet file", size)
	}
	var tail [tailBytes]byte
	if _, err := r.ReadAt(tail[:], size-tailBytes); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	switch m := string(tail[4:]); m {
	case magic:
	case magicEncrypted:
		return nil, unsupported("encrypted footer")
	default:
		return nil, damaged("file ends in %q, not %q", m, magic)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-tailBytes-int64(len(magic)) {
		return nil, damaged("footer of %d bytes in a file of %d", length, size)
	}
	if length > budgetBytes {
		return nil, fmt.Errorf("%w: footer of %d bytes", format.ErrBudget, length)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-tailBytes-length); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	if err := checkFooterBytes(footer, budgetBytes); err != nil {
		return nil, err
	}
	md, err := metadata.NewFileMetaData(footer, nil)
	if err != nil {
		return nil, damaged("footer: %v", err)
	}
	md.SetSourceFileSize(size)
	if err := checkFooter(md, size); err != nil {
		return nil, err
	}
	return md, nil
}

// checkFooter returns an error unless the counts and places in a footer agree
// with each other and with a file of size bytes. It removes the references to
// page indexes, which nothing here needs and which would be read unchecked, and
// what else nothing here needs: a file may have a million column chunks.
func checkFooter(md *metadata.FileMetaData, size int64) error {
	leaves := md.Schema.NumColumns()
	if md.NumRows < 0 {
		return damaged("footer says %d rows", md.NumRows)
	}
	rows := int64(0)
	for g, rg := range md.RowGroups {
		if rg.NumRows < 0 || rg.NumRows > math.MaxInt64-rows {
			return damaged("row group %d has %d rows", g, rg.NumRows)
		}
		rows += rg.NumRows
		if len(rg.Columns) != leaves {
			return damaged("row group %d has %d columns, the schema %d", g, len(rg.Columns), leaves)
		}
		for i, col := range rg.Columns {
			col.OffsetIndexOffset, col.OffsetIndexLength = nil, nil
			col.ColumnIndexOffset, col.ColumnIndexLength = nil, nil
			if m := col.MetaData; m != nil {
				m.EncodingStats, m.SizeStatistics, m.GeospatialStatistics, m.KeyValueMetadata, m.PathInSchema = nil, nil, nil, nil, nil
			}
			c := chunkOf(md, g, i)
			if c.external || c.encrypted {
				continue // refused when the column is read
			}
			if err := c.check(md, rg.NumRows, i, size); err != nil {
				return fmt.Errorf("row group %d, column %q: %w", g, md.Schema.Column(i).Path(), err)
			}
		}
	}
	if rows != md.NumRows {
		return damaged("footer says %d rows, its row groups have %d", md.NumRows, rows)
	}
	return nil
}

// chunk is what the footer says about one column of one row group.
type chunk struct {
	external  bool // kept in another file
	encrypted bool
	missing   bool // no metadata

	physical          parquet.Type
	codec             compress.Compression
	values            int64 // levels: rows, nulls and empty lists included
	start             int64 // first byte in the file
	firstPage         int64 // first byte of the first data page
	bytes             int64 // stored
	uncompressedBytes int64
	nulls             int64 // -1 where statistics do not say
}

func chunkOf(md *metadata.FileMetaData, group, leaf int) chunk {
	col := md.RowGroups[group].Columns[leaf]
	c := chunk{
		external:  col.GetFilePath() != "",
		encrypted: col.CryptoMetadata != nil,
		missing:   col.MetaData == nil,
		nulls:     -1,
	}
	if m := col.MetaData; m != nil {
		c.physical, c.codec = parquet.Type(m.Type), compress.Compression(m.Codec)
		c.values, c.bytes, c.uncompressedBytes = m.NumValues, m.TotalCompressedSize, m.TotalUncompressedSize
		c.start, c.firstPage = m.DataPageOffset, m.DataPageOffset
		if d := m.DictionaryPageOffset; d != nil && *d > 0 && *d < c.start {
			c.start = *d
		}
		if s := m.Statistics; s != nil && s.NullCount != nil {
			c.nulls = *s.NullCount
		}
	}
	return c
}

func (c chunk) check(md *metadata.FileMetaData, rows int64, leaf int, size int64) error {
	descr := md.Schema.Column(leaf)
	switch {
	case c.missing:
		return damaged("no metadata")
	case c.physical != descr.PhysicalType():
		return damaged("stored as %s, the schema says %s", c.physical, descr.PhysicalType())
	case c.values < 0 || c.bytes < 0:
		return damaged("%d values in %d bytes", c.values, c.bytes)
	case c.start < 0 || c.start > size || c.bytes > size-c.start:
		return damaged("%d bytes at byte %d of %d", c.bytes, c.start, size)
	case descr.MaxRepetitionLevel() == 0 && c.values != rows:
		return damaged("%d values for %d rows", c.values, rows)
	case descr.MaxRepetitionLevel() > 0 && c.values < rows:
		return damaged("%d values for %d rows", c.values, rows)
	}
	return nil
}
