package parquetfile

import (
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
)

// Detail is what a file's footer says about how it is stored.
type Detail struct {
	CreatedBy string // the writer's own name; "" where it left none
	RowGroups int
	Columns   []ColumnDetail // leaf columns, depth first
}

// ColumnDetail is how one leaf column is stored, over all row groups. Values
// that differ between row groups are all listed, in order.
type ColumnDetail struct {
	Path              string // names of the groups around it, joined with dots
	Physical          string // Parquet's physical type
	Codecs            []string
	Encodings         []string // of levels and dictionaries too
	StoredBytes       int64
	UncompressedBytes int64 // encoded, before compression
	Encrypted         bool  // in some row group
}

// Detail reports how the file is stored.
func (r *Reader) Detail() Detail {
	d := Detail{CreatedBy: r.md.GetCreatedBy(), RowGroups: len(r.md.groups)}
	for i := range r.md.Schema.NumColumns() {
		col := r.md.Schema.Column(i)
		c := ColumnDetail{Path: col.Path(), Physical: col.PhysicalType().String()}
		for _, rg := range r.md.groups {
			ch := rg.chunks[i]
			c.Encrypted = c.Encrypted || ch.encrypted
			if ch.missing {
				continue
			}
			c.StoredBytes += ch.bytes
			c.UncompressedBytes += ch.uncompressedBytes
			c.Codecs = appendNew(c.Codecs, ch.codec.String())
			for left := ch.encodings; left != 0; left &= left - 1 {
				c.Encodings = appendNew(c.Encodings, parquet.Encoding(bits.TrailingZeros64(left)).String())
			}
		}
		slices.Sort(c.Codecs)
		slices.Sort(c.Encodings)
		d.Columns = append(d.Columns, c)
	}
	return d
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
