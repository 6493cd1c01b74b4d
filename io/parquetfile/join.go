package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// Joiner makes one Parquet file of several with the same schema, one after the other,
// by copying their column chunks as they are: nothing is decoded. Files that this
// package's writer wrote are what it is for; page indexes are left out.
type Joiner struct {
	out    *countingWriter
	footer *metadata.FileMetaData // of the first file, with the row groups of all
	failed bool
}

// NewJoiner begins a file.
func NewJoiner(w io.Writer) (*Joiner, error) {
	j := &Joiner{out: &countingWriter{Writer: w}}
	if _, err := io.WriteString(j.out, magic); err != nil {
		return nil, err
	}
	return j, nil
}

// Add appends the row groups of a file of size bytes, and gives its rows. After an
// error the file is not whole, and Close says so.
func (j *Joiner) Add(r io.ReaderAt, size int64) (rows int64, err error) {
	j.failed = true
	b, err := readFooterBytes(r, size, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	if _, err := parseFooter(b, size, math.MaxInt64); err != nil {
		return 0, err
	}
	footer, err := metadata.NewFileMetaData(b, nil) // whole, for it is written again
	if err != nil {
		return 0, damaged("footer: %v", err)
	}
	var tail [tailBytes]byte
	if _, err := r.ReadAt(tail[:], size-tailBytes); err != nil {
		return 0, err
	}
	end := size - tailBytes - int64(binary.LittleEndian.Uint32(tail[:]))
	shift := j.out.n - int64(len(magic))
	if _, err := io.Copy(j.out, io.NewSectionReader(r, int64(len(magic)), end-int64(len(magic)))); err != nil {
		return 0, err
	}
	move(footer, shift)
	rows = footer.NumRows
	switch {
	case j.footer == nil:
		j.footer = footer
	case !j.footer.Schema.Equals(footer.Schema):
		return 0, errors.New("files of different schemas cannot be joined")
	default:
		if err := j.footer.AppendRowGroups(footer); err != nil {
			return 0, fmt.Errorf("join row groups: %w", err)
		}
	}
	j.failed = false
	return rows, nil
}

// move adds to all places in the file that a footer names, but for those of page indexes and
// filters, which it leaves out.
func move(footer *metadata.FileMetaData, shift int64) {
	add := func(place *int64) {
		if place != nil {
			*place += shift
		}
	}
	for _, group := range footer.RowGroups {
		add(group.FileOffset)
		for _, column := range group.Columns {
			if column.FileOffset > 0 {
				column.FileOffset += shift
			}
			column.OffsetIndexOffset, column.OffsetIndexLength = nil, nil
			column.ColumnIndexOffset, column.ColumnIndexLength = nil, nil
			if m := column.MetaData; m != nil {
				m.DataPageOffset += shift
				add(m.IndexPageOffset)
				add(m.DictionaryPageOffset)
				m.BloomFilterOffset = nil
			}
		}
	}
}

// Close writes the footer. It does not close the underlying writer.
func (j *Joiner) Close() error {
	if j.failed || j.footer == nil {
		return errors.New("a file that was to be joined is not whole")
	}
	for i, group := range j.footer.RowGroups {
		group.Ordinal = nil // of 16 bits
		if i <= math.MaxInt16 {
			group.Ordinal = new(int16(i))
		}
	}
	n, err := j.footer.WriteTo(j.out, nil)
	if err != nil {
		return fmt.Errorf("write footer: %w", err)
	}
	_, err = j.out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), magic...))
	return err
}
