package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// footerBytes is the footer of a file that is being written. Of the row groups so far it
// has the bytes alone: what the library builds for one takes ten times as much, and a file
// of thousands of columns comes to hundreds of thousands of column chunks.
type footerBytes struct {
	before, between, after []byte // what stands around the number of rows and the row groups
	rows                   int64
	groups                 [][]byte // of each footer that was added: joined they would be copied as they grow
	count                  int
}

// add adds the row groups of a footer; what else it says holds for the file if it is the first.
func (f *footerBytes) add(footer *metadata.FileMetaData) error {
	for i, group := range footer.RowGroups {
		group.Ordinal = nil // of 16 bits
		if f.count+i <= math.MaxInt16 {
			group.Ordinal = new(int16(f.count + i))
		}
	}
	var out bytes.Buffer
	if _, err := footer.WriteTo(&out, nil); err != nil {
		return err
	}
	b := out.Bytes()
	w, err := walkInOrder(b)
	if err != nil {
		return err
	}
	if f.before == nil {
		f.before = bytes.Clone(b[:w.rows.from])
		f.between = bytes.Clone(b[w.rows.to:w.rowGroups.from])
		f.after = bytes.Clone(b[w.rowGroups.to:])
	}
	f.rows += footer.NumRows
	f.count += len(w.groups)
	if len(w.groups) > 0 { // one after the other
		f.groups = append(f.groups, bytes.Clone(b[w.groups[0].from:w.groups[len(w.groups)-1].to]))
	}
	return nil
}

// walkInOrder walks a footer, in which the number of rows must come before the row groups.
func walkInOrder(b []byte) (*thriftWalk, error) {
	w, err := walkFooter(b, math.MaxInt64)
	if err == nil && (w.rows.to == 0 || w.rowGroups.from < w.rows.to) {
		err = errors.New("the number of rows does not come before the row groups")
	}
	return w, err
}

// writeTo writes the footer and what follows it in the file.
func (f *footerBytes) writeTo(w io.Writer) error {
	head := footerHead(f.before, f.rows, f.between, f.count)
	size := int64(len(head) + len(f.after))
	for _, g := range f.groups {
		size += int64(len(g))
	}
	if size > math.MaxUint32 {
		return errors.New("the footer is larger than a Parquet file can have; write fewer columns, or several files (--target-file-size)")
	}
	tail := append(binary.LittleEndian.AppendUint32(slices.Clone(f.after), uint32(size)), magic...)
	for _, piece := range slices.Concat([][]byte{head}, f.groups, [][]byte{tail}) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// footerHead is what a footer of so many row groups, one at least, has before them.
func footerHead(before []byte, rows int64, between []byte, count int) []byte {
	b := binary.AppendUvarint(slices.Clone(before), uint64(rows)<<1) // as Thrift has a number that is not negative
	b = append(b, between...)
	if count < 15 {
		return append(b, byte(count)<<4|thriftStruct)
	}
	return binary.AppendUvarint(append(b, 15<<4|thriftStruct), uint64(count))
}

// eachGroup gives a footer of each of a footer's row groups, by itself; one of none, if there
// are none.
func eachGroup(b []byte, give func(*metadata.FileMetaData) error) error {
	w, err := walkInOrder(b)
	if err != nil {
		return err
	}
	groups := w.groups
	if len(groups) == 0 {
		groups = []walked{{}}
	}
	for _, g := range groups {
		head := footerHead(b[:w.rows.from], 0, b[w.rows.to:w.rowGroups.from], min(len(w.groups), 1))
		one := slices.Concat(head, b[g.from:g.to], b[w.rowGroups.to:])
		footer, err := metadata.NewFileMetaData(one, nil)
		if err != nil {
			return damaged("footer: %v", err)
		}
		footer.NumRows = 0
		for _, group := range footer.RowGroups {
			footer.NumRows += group.NumRows
		}
		if err := give(footer); err != nil {
			return err
		}
	}
	return nil
}
