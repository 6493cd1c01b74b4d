package parquetfile

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// Joiner makes one Parquet file of several with the same schema, one after the other,
// by copying their column chunks as they are: nothing is decoded. Files that this
// package's writer wrote are what it is for; page indexes are left out.
type Joiner struct {
	out    *countingWriter
	footer footerBytes
	first  *metadata.FileMetaData // of the first file, for its schema
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
	var tail [tailBytes]byte
	if _, err := r.ReadAt(tail[:], size-tailBytes); err != nil {
		return 0, err
	}
	end := size - tailBytes - int64(binary.LittleEndian.Uint32(tail[:]))
	shift := j.out.n - int64(len(magic))
	if _, err := io.Copy(j.out, io.NewSectionReader(r, int64(len(magic)), end-int64(len(magic)))); err != nil {
		return 0, err
	}
	err = eachGroup(b, func(footer *metadata.FileMetaData) error {
		if j.first == nil {
			j.first = footer
		} else if !j.first.Schema.Equals(footer.Schema) {
			return errors.New("files of different schemas cannot be joined")
		}
		move(footer, shift)
		rows += footer.NumRows
		return j.footer.add(footer)
	})
	j.failed = err != nil
	return rows, err
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
	if j.failed || j.first == nil {
		return errors.New("a file that was to be joined is not whole")
	}
	return j.footer.writeTo(j.out)
}
