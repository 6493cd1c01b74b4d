package parquetfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

// writeNumbers writes with a flatFile, or through arrow-go as files with other
// columns are.
func writeNumbers(tb rapid.TB, opts format.WriteOptions, throughArrow bool, batches ...arrow.RecordBatch) []byte {
	var out bytes.Buffer
	target := io.Writer(&out)
	if throughArrow {
		target = io.Discard
	}
	fw, err := NewWriter(target, batches[0].Schema(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	w := fw.(*Writer)
	numbers, ok := w.file.(*flatFile)
	if !ok {
		tb.Fatalf("%s: not written as numbers", batches[0].Schema())
	}
	if throughArrow {
		fields := slices.Clone(batches[0].Schema().Fields())
		for i, f := range fields {
			fields[i].Type, err = storedType(f.Type, f.Nullable)
			if err != nil {
				tb.Fatal(err)
			}
		}
		md := withStoredSchema(batches[0].Schema(), w.mem)
		w.file, err = newArrowFile(&out, arrow.NewSchema(fields, &md), numbers.props, pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(zeroed{w.mem})), w.mem)
		if err != nil {
			tb.Fatal(err)
		}
	}
	for _, b := range batches {
		err = errors.Join(err, w.Write(b))
	}
	err = errors.Join(err, w.Close())
	if throughArrow && err != nil && strings.Contains(err.Error(), "slice bounds out of range") {
		return nil // a page of nulls alone; see encodings
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// Files of numbers are read by arrow-go as they were written, bit by bit; their
// footers say what arrow-go's own writer says, and have the statistics of the
// plainest loop; and they are no larger.
func TestPropertyNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := drawNumbers(t)
		defer batch.Release()
		mem := memory.NewCheckedAllocator(&soiled{})
		opts := format.WriteOptions{
			Compression:  rapid.SampledFrom([]string{"", "zstd", "snappy", "gzip", "lz4", "none"}).Draw(t, "compression"),
			RowGroupRows: rapid.SampledFrom([]int{1 << 20, 1 << 20, 4096, 5000, 333}).Draw(t, "row group rows"),
			Allocator:    mem,
		}
		ours := writeNumbers(t, opts, false, batch)
		theirs := writeNumbers(t, opts, true, batch)
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes stay allocated", n)
		}
		pooled := opts
		pooled.Allocator = nil // buffers of the files before, with what is in them
		if !bytes.Equal(ours, writeNumbers(t, pooled, false, batch)) {
			t.Errorf("other bytes from buffers that were used before")
		}
		checkNumbers(t, batch, openLibrary(t, ours))
		if theirs != nil {
			most := len(theirs) + len(theirs)/200 + 64
			if opts.Compression == "" { // a chunk is as its first page is
				most = math.MaxInt
			}
			if len(ours) > most {
				t.Errorf("%d bytes; through arrow-go %d", len(ours), len(theirs))
			}
			checkFooters(t, openLibrary(t, ours).MetaData(), openLibrary(t, theirs).MetaData())
		}

		var pieces []arrow.RecordBatch
		for at := int64(0); at < batch.NumRows(); {
			n := min(int64(rapid.IntRange(1, 9000).Draw(t, "cut")), batch.NumRows()-at)
			pieces = append(pieces, batch.NewSlice(at, at+n))
			at += n
		}
		if len(pieces) > 0 && !bytes.Equal(ours, writeNumbers(t, opts, false, pieces...)) {
			t.Errorf("other bytes in %d batches", len(pieces))
		}
		for _, p := range pieces {
			p.Release()
		}
	})
}

// libraryTable is all of a file as arrow-go reads it; the caller releases it.
func libraryTable(t rapid.TB, library *file.Reader) arrow.Table {
	t.Helper()
	reader, err := pqarrow.NewFileReader(library, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func openLibrary(t rapid.TB, data []byte) *file.Reader {
	r, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkFooters compares all but sizes.
func checkFooters(t rapid.TB, a, b *metadata.FileMetaData) {
	if !a.Schema.Equals(b.Schema) || !a.KeyValueMetadata().Equals(b.KeyValueMetadata()) || a.GetCreatedBy() != b.GetCreatedBy() ||
		a.Version() != b.Version() || a.NumRows != b.NumRows || a.NumRowGroups() != b.NumRowGroups() {
		t.Fatalf("footer: %v\n%v", a, b)
	}
	for g := range a.NumRowGroups() {
		if x, y := a.RowGroup(g), b.RowGroup(g); x.NumRows() != y.NumRows() || x.Ordinal() != y.Ordinal() || x.NumColumns() != y.NumColumns() {
			t.Fatalf("row group %d: %d rows, ordinal %d; want %d, %d", g, x.NumRows(), x.Ordinal(), y.NumRows(), y.Ordinal())
		}
		for i := range a.RowGroup(g).NumColumns() {
			x, errX := a.RowGroup(g).ColumnChunk(i)
			y, errY := b.RowGroup(g).ColumnChunk(i)
			if err := errors.Join(errX, errY); err != nil {
				t.Fatal(err)
			}
			if x.NumValues() != y.NumValues() || !slices.Equal(x.Encodings(), y.Encodings()) || x.Compression() != y.Compression() || !slices.Equal(x.EncodingStats(), y.EncodingStats()) {
				t.Errorf("column %d: %v %v %v; want %v %v %v", i, x.NumValues(), x.Encodings(), x.EncodingStats(), y.NumValues(), y.Encodings(), y.EncodingStats())
			}
			s, errX := x.Statistics()
			u, errY := y.Statistics()
			if err := errors.Join(errX, errY); err != nil {
				t.Fatal(err)
			}
			if floats := x.Type() == parquet.Types.Float || x.Type() == parquet.Types.Double; floats && !s.HasMinMax() {
				continue // a NaN; see extent and checkNumbers
			}
			if s.HasMinMax() != u.HasMinMax() || s.NullCount() != u.NullCount() || !bytes.Equal(s.EncodeMin(), u.EncodeMin()) || !bytes.Equal(s.EncodeMax(), u.EncodeMax()) {
				t.Errorf("column %d: statistics %d %x %x; want %d %x %x", i, s.NullCount(), s.EncodeMin(), s.EncodeMax(), u.NullCount(), u.EncodeMin(), u.EncodeMax())
			}
		}
	}
}

// checkNumbers compares the values and the statistics of a file with a batch.
func checkNumbers(t rapid.TB, batch arrow.RecordBatch, ours *file.Reader) {
	a := ours.MetaData()
	table := libraryTable(t, ours)
	defer table.Release()
	for i, c := range batch.Columns() {
		row := 0
		for _, chunk := range table.Column(i).Data().Chunks() {
			for j := range chunk.Len() {
				if chunk.IsNull(j) != c.IsNull(row) || c.IsValid(row) && rawBits(chunk, j) != rawBits(c, row) {
					t.Fatalf("column %d (%s), row %d: %s; want %s", i, c.DataType(), row, chunk.ValueStr(j), c.ValueStr(row))
				}
				row++
			}
		}
		if row != c.Len() {
			t.Fatalf("column %d: %d rows; want %d", i, row, c.Len())
		}
	}
	at := int64(0)
	for g := range a.NumRowGroups() {
		rows := a.RowGroup(g).NumRows()
		for i := range int(batch.NumCols()) {
			x, err := a.RowGroup(g).ColumnChunk(i)
			if err != nil {
				t.Fatal(err)
			}
			s, err := x.Statistics()
			if err != nil {
				t.Fatal(err)
			}
			piece := array.NewSlice(batch.Column(i), at, at+rows)
			least, most := extentOfArray(piece)
			if !s.HasNullCount() || s.NullCount() != int64(piece.NullN()) || !bytes.Equal(s.EncodeMin(), least) || !bytes.Equal(s.EncodeMax(), most) {
				t.Errorf("column %d (%s), row group %d: statistics %d %x %x; want %d %x %x", i, piece.DataType(), g, s.NullCount(), s.EncodeMin(), s.EncodeMax(), piece.NullN(), least, most)
			}
			piece.Release()
			checkPages(t, ours.RowGroup(g), i, batch.Column(i), at)
		}
		at += rows
	}
}

// checkPages compares the statistics of the pages of a column chunk, which starts
// at a row, and their sizes.
func checkPages(t rapid.TB, group *file.RowGroupReader, i int, c arrow.Array, at int64) {
	pages, err := group.GetColumnPageReader(i)
	if err != nil {
		t.Fatal(err)
	}
	for pages.Next() {
		page := pages.Page().(*file.DataPageV1)
		rows := int64(page.NumValues())
		piece := array.NewSlice(c, at, at+rows)
		least, most := extentOfArray(piece)
		if s := page.Statistics(); s.NullCount != int64(piece.NullN()) || !bytes.Equal(s.Min, least) || !bytes.Equal(s.Max, most) {
			t.Errorf("column %d (%s), page of %d rows: statistics %d %x %x; want %d %x %x", i, c.DataType(), rows, s.NullCount, s.Min, s.Max, piece.NullN(), least, most)
		}
		levels := 4 + levelBytes(int(rows))
		if size := int(page.UncompressedSize()); rows > mostPageRows || size > pageBytes+spareBytes+levels {
			t.Errorf("column %d: page of %d rows and %d bytes", i, rows, size)
		}
		piece.Release()
		at += rows
	}
	if err := pages.Err(); err != nil {
		t.Fatal(err)
	}
}

// Pages end by their rows too, and take levels of any length.
func TestLongPagesOfNumbers(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows each, on one goroutine")
	}
	const rows = mostPageRows + 5000
	rng := splitmix(1)
	for _, nulls := range []string{"none", "half", "some", "all"} {
		arr := numberArray(arrow.PrimitiveTypes.Int64, rows, 1, "sequence", nulls, &rng)
		batch := batchOf(arr, true)
		arr.Release()
		opts := format.WriteOptions{RowGroupRows: 2 * mostPageRows, Allocator: checked(t)}
		checkNumbers(t, batch, openLibrary(t, writeNumbers(t, opts, false, batch)))
		batch.Release()
	}
}

// Integers whose last page has nulls alone, beside a column that is no number,
// come back.
func TestPagesOfNullsBesideText(t *testing.T) {
	ints, texts := array.NewInt64Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
	defer ints.Release()
	defer texts.Release()
	const rows, valid = 61_441, 30_720 // of which arrow-go's first pages take all
	rng := splitmix(1)
	for i := range rows {
		if i%2 == 1 {
			ints.Append(int64(rng.next()))
		} else {
			ints.AppendNull()
		}
		texts.Append("t")
	}
	columns := []arrow.Array{ints.NewArray(), texts.NewArray()}
	defer release(columns)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String},
	}, nil)
	batch := array.NewRecordBatch(schema, columns, rows)
	defer batch.Release()
	var out bytes.Buffer
	w, err := NewWriter(&out, schema, format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	table := libraryTable(t, openLibrary(t, out.Bytes()))
	defer table.Release()
	if got := table.Column(0).Data().NullN(); table.NumRows() != rows || got != rows-valid {
		t.Errorf("%d rows, %d nulls; want %d, %d", table.NumRows(), got, rows, rows-valid)
	}
}

// Numbers are encoded as they come: no batch is held until its row group ends.
func TestNumbersAreNotHeld(t *testing.T) {
	mem := memory.NewCheckedAllocator(&soiled{})
	b := array.NewInt64Builder(mem)
	defer b.Release()
	for i := range int64(5000) {
		b.Append(i * i)
	}
	squares := b.NewArray()
	schema := arrow.NewSchema([]arrow.Field{{Name: "square", Type: arrow.PrimitiveTypes.Int64}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{squares}, int64(squares.Len()))
	squares.Release()
	w, err := NewWriter(io.Discard, schema, format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	batch.Release()
	if n := mem.CurrentAlloc(); n != 0 {
		t.Errorf("%d bytes of the batch are held before its row group ends", n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Columns of numbers, lists of them, decimals, times, texts, booleans and bytes are written by our own
// encoders, any other column leads to arrow-go's; what a flatFile refuses is an error.
func TestWhoEncodes(t *testing.T) {
	for _, c := range []struct {
		types []arrow.DataType
		want  string
	}{
		{numberTypes, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.FixedWidthTypes.Timestamp_s}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.FixedWidthTypes.Time32s}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Uint16}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.FixedWidthTypes.Date64}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.FixedWidthTypes.Boolean}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.ListOf(arrow.PrimitiveTypes.Int64), arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32)}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.ListOf(arrow.BinaryTypes.String)}, "*parquetfile.arrowFile"},
		{[]arrow.DataType{arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32))}, "*parquetfile.arrowFile"},
		{[]arrow.DataType{arrow.MapOf(arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64)}, "*parquetfile.arrowFile"},
		{[]arrow.DataType{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Int64}}, "*parquetfile.flatFile"},
		{[]arrow.DataType{&arrow.Decimal128Type{Precision: 12, Scale: 2}, arrow.BinaryTypes.String}, "*parquetfile.flatFile"},
		{[]arrow.DataType{&arrow.Decimal256Type{Precision: 50, Scale: 2}, arrow.FixedWidthTypes.Float16, &arrow.FixedSizeBinaryType{ByteWidth: 5}, extensions.NewUUIDType()}, "*parquetfile.flatFile"},
		{[]arrow.DataType{arrow.ListOf(&arrow.Decimal128Type{Precision: 12, Scale: 2})}, "*parquetfile.arrowFile"},
	} {
		fields := make([]arrow.Field, 0, len(c.types))
		for i, typ := range c.types {
			fields = append(fields, arrow.Field{Name: strconv.Itoa(i), Type: typ})
		}
		w, err := NewWriter(io.Discard, arrow.NewSchema(fields, nil), format.WriteOptions{Allocator: checked(t)})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%T", w.(*Writer).file); got != c.want {
			t.Errorf("%v: written by %s; want %s", c.types, got, c.want)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An array that lacks values is an error, with the column, and so is all that
// comes after it.
func TestNumbersWithoutValues(t *testing.T) {
	data := array.NewData(arrow.PrimitiveTypes.Int64, 10, []*memory.Buffer{nil, nil}, nil, 0, 0)
	defer data.Release()
	arr := array.MakeFromData(data)
	batch := batchOf(arr, false)
	arr.Release()
	defer batch.Release()
	w, err := NewWriter(io.Discard, batch.Schema(), format.WriteOptions{RowGroupRows: 10, Allocator: checked(t)})
	if err != nil {
		t.Fatal(err)
	}
	first := w.Write(batch)
	if first == nil || !strings.Contains(first.Error(), `"x"`) || strings.Contains(first.Error(), "panic") {
		t.Errorf("10 rows without values: %v; want an error with the column", first)
	}
	if err := w.Write(batch); !errors.Is(err, first) {
		t.Errorf("Write after an error = %v; want %v", err, first)
	}
	if err := w.Close(); !errors.Is(err, first) {
		t.Errorf("Close after an error = %v; want %v", err, first)
	}
}

// pyarrow reads files of numbers of every type, share of nulls and codec as they
// are, and finds the encodings and the statistics.
func TestNumbersInPyarrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a Python process")
	}
	python, dir := pythonWithPyarrow(t), t.TempDir()
	var want strings.Builder
	rng := splitmix(5)
	codecs := []string{"zstd", "snappy", "gzip", "lz4", "none"}
	for n, nulls := range append([]string{"required"}, nullsOf...) {
		for _, rows := range []int{0, 1, 129, 21000} {
			for _, shape := range shapesOf64 {
				fields, arrays := make([]arrow.Field, 0, len(numberTypes)), make([]arrow.Array, 0, len(numberTypes))
				for i, typ := range numberTypes {
					fields = append(fields, arrow.Field{Name: strconv.Itoa(i), Type: typ, Nullable: nulls != "required"})
					arrays = append(arrays, numberArray(typ, rows, 3, shape, nulls, &rng))
				}
				batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
				name := fmt.Sprintf("%s-%d-%s.parquet", nulls, rows, shape)
				opts := format.WriteOptions{Compression: codecs[n%len(codecs)], RowGroupRows: 20000}
				if err := os.WriteFile(filepath.Join(dir, name), writeNumbers(t, opts, false, batch), 0o600); err != nil {
					t.Fatal(err)
				}
				for i, a := range arrays {
					want.WriteString(name + "\t" + numbersLine(i, a, 20000) + "\n")
				}
				release(arrays)
				batch.Release()
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/number_files.py", dir)
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(got), "\n")
	slices.Sort(lines)
	wanted := strings.Split(want.String(), "\n")
	slices.Sort(wanted)
	if diff := cmp.Diff(wanted, lines); diff != "" {
		t.Errorf("pyarrow's view, - ours, + pyarrow's:\n%s", diff[:min(len(diff), 4000)])
	}
	t.Logf("%d columns compared", len(lines)-1)
}

// numbersLine is what testdata/number_files.py prints of a column.
func numbersLine(i int, a arrow.Array, groupRows int) string {
	encoding := parquet.Encodings.DeltaBinaryPacked
	if id := a.DataType().ID(); id == arrow.FLOAT32 || id == arrow.FLOAT64 {
		encoding = parquet.Encodings.Plain
	}
	line := fmt.Appendf(nil, "%d\t%d\t%s", i, a.NullN(), checksum(a))
	for at := 0; at < a.Len(); at += groupRows {
		group := array.NewSlice(a, int64(at), int64(min(at+groupRows, a.Len())))
		least, most := extentOfArray(group)
		line = fmt.Appendf(line, "\t%s %d %x %x", encoding, group.NullN(), least, most)
		group.Release()
	}
	return string(line)
}
