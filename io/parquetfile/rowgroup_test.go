package parquetfile

import (
	"bytes"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

const footerBudget = 1 << 30

// What is read of row groups is what arrow-go reads of them, in the files of every project
// that there are.
func TestRowGroupsOfTheCorpus(t *testing.T) {
	var files []string
	for _, of := range []string{"parquet-good", "parquet-bad"} {
		dir := corporaDir(t, of)
		for _, name := range corpusFiles(t, dir) {
			files = append(files, filepath.Join(dir, name))
		}
	}
	compared := 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		compared += compareRowGroups(t, path, data)
	}
	t.Logf("%d column chunks compared", compared)
	if compared < 1000 {
		t.Errorf("%d column chunks were compared; want thousands", compared)
	}
}

// compareRowGroups compares those of a footer that is whole with arrow-go's, and says how
// many column chunks there were.
func compareRowGroups(t *testing.T, name string, data []byte) (chunks int) {
	t.Helper()
	got, err := readFooter(bytes.NewReader(data), int64(len(data)), footerBudget)
	if err != nil {
		return 0
	}
	b, err := readFooterBytes(bytes.NewReader(data), int64(len(data)), footerBudget)
	if err != nil {
		t.Fatal(err)
	}
	want, err := metadata.NewFileMetaData(b, nil)
	if err != nil { // for what is not looked at here
		return 0
	}
	if len(got.groups) != len(want.RowGroups) || got.NumRows != want.NumRows || !got.Schema.Equals(want.Schema) || got.GetCreatedBy() != want.GetCreatedBy() {
		t.Fatalf("%s: %d row groups, %d rows by %q; want %d, %d by %q", name, len(got.groups), got.NumRows, got.GetCreatedBy(), len(want.RowGroups), want.NumRows, want.GetCreatedBy())
	}
	for g, rg := range want.RowGroups {
		if got.groups[g].rows != rg.NumRows || len(got.groups[g].chunks) != len(rg.Columns) {
			t.Fatalf("%s: row group %d: %d rows, %d columns; want %d, %d", name, g, got.groups[g].rows, len(got.groups[g].chunks), rg.NumRows, len(rg.Columns))
		}
		for i, col := range rg.Columns {
			c, m := got.groups[g].chunks[i], col.MetaData
			chunks++
			if c.external != (col.GetFilePath() != "") || c.encrypted != (col.CryptoMetadata != nil) || c.missing != (m == nil) {
				t.Errorf("%s: row group %d, column %d: %+v", name, g, i, c)
			}
			if m == nil {
				continue
			}
			start := m.DataPageOffset
			if d := m.GetDictionaryPageOffset(); d > 0 && d < start {
				start = d
			}
			var encodings []int
			for left := c.encodings; left != 0; left &= left - 1 {
				encodings = append(encodings, bits.TrailingZeros64(left))
			}
			same := int(c.physical) == int(m.Type) && int(c.codec) == int(m.Codec) && c.values == m.NumValues && c.bytes == m.TotalCompressedSize &&
				c.uncompressedBytes == m.TotalUncompressedSize && c.firstPage == m.DataPageOffset && c.start == start
			for _, e := range m.Encodings {
				same = same && slices.Contains(encodings, int(e)&63)
			}
			nulls, bounded := int64(-1), false
			if s := m.Statistics; s != nil {
				if s.NullCount != nil {
					nulls = *s.NullCount
				}
				bounded = s.MinValue != nil && s.MaxValue != nil
				same = same && (!bounded || bytes.Equal(c.least, s.MinValue) && bytes.Equal(c.most, s.MaxValue))
			}
			if !same || c.nulls != nulls || c.bounded != bounded || len(encodings) > len(m.Encodings) {
				t.Errorf("%s: row group %d, column %d: %+v; want %+v", name, g, i, c, m)
			}
		}
	}
	return chunks
}

// Bytes that are flipped anywhere in a footer give an error, or row groups as arrow-go has them.
func TestRowGroupsOfFlippedBits(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	data, err := os.ReadFile("../../testdata/flights-sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	b, err := readFooterBytes(bytes.NewReader(data), int64(len(data)), footerBudget)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	const step = 211
	for bit := 0; bit < len(b)*8; bit += step {
		flipped := bytes.Clone(data)
		flipped[len(data)-tailBytes-len(b)+bit/8] ^= 1 << (bit % 8)
		compared += compareRowGroups(t, "flipped", flipped)
	}
	if compared == 0 {
		t.Error("no footer was whole")
	}
}
