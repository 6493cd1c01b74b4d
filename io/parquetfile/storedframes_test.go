package parquetfile

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	kzstd "github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
)

// Without a codec's name, the column chunks whose first page zstd shrinks by less than an
// eighth are zstd frames of the bytes as they are: decided anew for each row group, and only
// by the rows.
func TestZstdWhereItPays(t *testing.T) {
	if testing.Short() {
		t.Skip("half a million rows, on one goroutine")
	}
	const rows = 1 << 17
	random := rand.New(rand.NewPCG(5, 6))
	all, none := []bool{true, true}, []bool{false, false}
	columns := []struct {
		name  string
		value func(i int) float32
		want  map[string][]bool // of two row groups, which shrink, by the codec that is asked for
	}{
		{"scores of much precision hardly shrink", func(int) float32 { return random.Float32() }, map[string][]bool{"": none, "zstd": all, "none": none}},
		{"labels do", func(int) float32 { return float32(random.IntN(3)) }, map[string][]bool{"": all, "zstd": all, "none": none}},
		{"each row group is a new case", func(i int) float32 { return random.Float32() * float32(i/rows) }, map[string][]bool{"": {true, false}, "zstd": all, "none": none}},
	}
	fields := make([]arrow.Field, len(columns))
	arrays := make([]arrow.Array, len(columns))
	for c, column := range columns {
		fields[c] = arrow.Field{Name: column.name, Type: arrow.PrimitiveTypes.Float32}
		b := array.NewFloat32Builder(memory.DefaultAllocator)
		for i := range 2 * rows {
			b.Append(column.value(i))
		}
		arrays[c] = b.NewArray()
		b.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, 2*rows)
	defer batch.Release()
	release(arrays)
	for _, asked := range []string{"", "zstd", "none"} {
		data := writeNumbers(t, format.WriteOptions{Compression: asked, RowGroupRows: rows}, false, batch)
		checkNumbers(t, batch, openLibrary(t, data))
		md := openLibrary(t, data).MetaData()
		for c, column := range columns {
			for g, want := range column.want[asked] {
				chunk, err := md.RowGroup(g).ColumnChunk(c)
				if err != nil {
					t.Fatal(err)
				}
				if got := chunk.Compression().String(); (got == "ZSTD") != (asked != "none") {
					t.Errorf("codec %q, row group %d: %s: %s", asked, g, column.name, got)
				}
				if shrinks := chunk.TotalCompressedSize() < chunk.TotalUncompressedSize(); shrinks != want {
					t.Errorf("codec %q, row group %d: %s: %d bytes of %d", asked, g, column.name, chunk.TotalCompressedSize(), chunk.TotalUncompressedSize())
				}
			}
		}
	}
}

// Frames of bytes as they are, are read by libzstd and by another decoder.
func TestStoredFrames(t *testing.T) {
	other, err := kzstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	random := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 255, 256, 100_000, storedBlockBytes - 1, storedBlockBytes, storedBlockBytes + 1, 3 * storedBlockBytes, 1_000_000} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		frame := appendStored([]byte("before"), data)[len("before"):]
		if len(frame) > storedBound(n) {
			t.Errorf("%d bytes: a frame of %d; want at most %d", n, len(frame), storedBound(n))
		}
		got := make([]byte, n)
		if err := decodeZstd(got, frame); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: libzstd: %v, equal: %v", n, err, bytes.Equal(got, data))
		}
		if got, err := other.DecodeAll(frame, nil); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: klauspost/compress: %v, equal: %v", n, err, bytes.Equal(got, data))
		}
	}
}
