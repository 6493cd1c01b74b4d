package parquetfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/millrace/millrace/io/format"
)

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
	tailBytes      = 8 // footer's length u32, magic
)

// footer is what a file says of itself.
type footer struct {
	*metadata.FileMetaData // without its row groups

	groups []rowGroup
}

// readFooter reads and checks the metadata at the end of a file of size bytes.
func readFooter(r io.ReaderAt, size, budgetBytes int64) (*footer, error) {
	b, err := readFooterBytes(r, size, budgetBytes)
	if err != nil {
		return nil, err
	}
	return parseFooter(b, size, budgetBytes)
}

// parseFooter checks the metadata of a file of size bytes.
func parseFooter(b []byte, size, budgetBytes int64) (*footer, error) {
	walk, err := walkFooter(b, budgetBytes)
	if err != nil {
		return nil, err
	}
	f := &footer{}
	rest := b
	if from, to := walk.rowGroups.from, walk.rowGroups.to; to > 0 {
		if f.groups, err = readRowGroups(b[from:to]); err != nil {
			return nil, err
		}
		rest = slices.Concat(b[:from], []byte{thriftStruct}, b[to:]) // a list of none
	}
	if f.FileMetaData, err = metadata.NewFileMetaData(rest, nil); err != nil {
		return nil, damaged("footer: %v", err)
	}
	return f, f.check(size)
}

// readFooterBytes reads the metadata at the end of a file of size bytes.
//
//	PAR1 | column chunks ... | FileMetaData | its length u32 | PAR1
func readFooterBytes(r io.ReaderAt, size, budgetBytes int64) ([]byte, error) {
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
		return nil, fmt.Errorf("%w: footer of %d bytes, %d allowed; write the file with larger row groups, or as several files", format.ErrBudget, length, budgetBytes)
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, size-tailBytes-length); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return b, nil
}

// check returns an error unless the counts and places in a footer agree
// with each other and with a file of size bytes.
func (f *footer) check(size int64) error {
	leaves := f.Schema.NumColumns()
	if f.NumRows < 0 {
		return damaged("footer says %d rows", f.NumRows)
	}
	rows := int64(0)
	for g, rg := range f.groups {
		if rg.rows < 0 || rg.rows > math.MaxInt64-rows {
			return damaged("row group %d has %d rows", g, rg.rows)
		}
		rows += rg.rows
		if len(rg.chunks) != leaves {
			return damaged("row group %d has %d columns, the schema %d", g, len(rg.chunks), leaves)
		}
		for i := range rg.chunks {
			c := &rg.chunks[i]
			if c.external || c.encrypted {
				continue // refused when the column is read
			}
			if err := c.check(f.Schema.Column(i), rg.rows, size); err != nil {
				return fmt.Errorf("row group %d, column %q: %w", g, f.Schema.Column(i).Path(), err)
			}
		}
	}
	if rows != f.NumRows {
		return damaged("footer says %d rows, its row groups have %d", f.NumRows, rows)
	}
	return nil
}

func (c *chunk) check(descr *schema.Column, rows, size int64) error {
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
