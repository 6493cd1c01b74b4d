package parquetfile

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

func TestNewWriterRefusesTypes(t *testing.T) {
	field := func(t arrow.DataType) arrow.Field { return arrow.Field{Name: "bad", Type: t, Nullable: true} }
	cases := []arrow.Field{
		field(arrow.SparseUnionOf([]arrow.Field{field(arrow.PrimitiveTypes.Int8)}, []arrow.UnionTypeCode{0})),
		field(arrow.DenseUnionOf([]arrow.Field{field(arrow.PrimitiveTypes.Int8)}, []arrow.UnionTypeCode{0})),
		field(arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64)),
		field(arrow.ListViewOf(arrow.PrimitiveTypes.Int8)),
		field(arrow.FixedWidthTypes.MonthInterval),
		field(arrow.FixedWidthTypes.DayTimeInterval),
		field(arrow.FixedWidthTypes.MonthDayNanoInterval),
		field(arrow.StructOf()),
		field(arrow.ListOf(arrow.FixedWidthTypes.MonthInterval)),
		field(&arrow.FixedSizeBinaryType{}),
		field(&arrow.Decimal32Type{Precision: 10}),
		field(&arrow.Decimal32Type{Precision: 5, Scale: 6}),
		field(&arrow.Decimal64Type{Precision: 5, Scale: -1}),
		field(&arrow.Decimal128Type{Precision: 40}),
		{Name: "bad", Type: arrow.Null},
	}
	for _, f := range cases {
		_, err := NewWriter(io.Discard, arrow.NewSchema([]arrow.Field{{Name: "ok", Type: arrow.PrimitiveTypes.Int8}, f}, nil), format.WriteOptions{})
		if !errors.Is(err, format.ErrColumnType) || !strings.Contains(err.Error(), `"bad"`) || !strings.Contains(err.Error(), f.Type.String()) {
			t.Errorf("%s: NewWriter = %v; want ErrColumnType with column and type", f.Type, err)
		}
	}
	if _, err := NewWriter(io.Discard, arrow.NewSchema(nil, nil), format.WriteOptions{}); !errors.Is(err, format.ErrColumnType) {
		t.Errorf("no columns: NewWriter = %v; want ErrColumnType", err)
	}
	for _, opts := range []format.WriteOptions{{Compression: "lzma"}, {RowGroupRows: -1}} {
		if _, err := NewWriter(io.Discard, arrow.NewSchema(cases[:0:0], nil), opts); err == nil || errors.Is(err, format.ErrColumnType) {
			t.Errorf("%+v: NewWriter = %v; want an error about the option", opts, err)
		}
	}
}

func TestFileWithoutRows(t *testing.T) {
	batch := numbers(2, 0)
	defer batch.Release()
	r := open(t, write(t, format.WriteOptions{}, batch), format.ReadOptions{})
	if len(r.Spans()) != 0 || r.Schema().NumFields() != 2 {
		t.Errorf("%d spans, schema %s", len(r.Spans()), r.Schema())
	}
}

func TestWriteRefusesOtherBatches(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w, err := NewWriter(io.Discard, schema, format.WriteOptions{Allocator: checked(t)})
	if err != nil {
		t.Fatal(err)
	}
	two, nulls, floats := numbers(2, 3), numbers(1, 10), floats(1, 3, 0)
	for name, b := range map[string]arrow.RecordBatch{"two columns": two, "nulls": nulls, "another type": floats} {
		if err := w.Write(b); err == nil {
			t.Errorf("%s: no error", name)
		}
		b.Release()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := w.Write(two); err == nil {
		t.Error("Write after Close: no error")
	}
}

// failAfter fails every write after n bytes.
type failAfter struct {
	n      int
	closed bool
}

var errDisk = errors.New("disk full")

func (f *failAfter) Write(p []byte) (int, error) {
	if len(p) > f.n {
		n := f.n
		f.n = 0
		return n, errDisk
	}
	f.n -= len(p)
	return len(p), nil
}

func (f *failAfter) Close() error { f.closed = true; return nil }

// Wherever the output fails, the error comes out, nothing leaks, and the
// output is not closed: with our encoder as with arrow-go's.
func TestWriterFaults(t *testing.T) {
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	for row := range 500 {
		texts.Append(strconv.Itoa(row))
	}
	text := texts.NewArray()
	texts.Release()
	for _, batch := range []arrow.RecordBatch{numbers(2, 500), batchOf(text, true)} {
		testWriterFaults(t, batch)
		batch.Release()
	}
	text.Release()
}

func testWriterFaults(t *testing.T, batch arrow.RecordBatch) {
	t.Helper()
	for n := 0; ; n += 37 {
		mem := memory.NewCheckedAllocator(&soiled{})
		out := &failAfter{n: n}
		err := func() error {
			w, err := NewWriter(out, batch.Schema(), format.WriteOptions{RowGroupRows: 100, Allocator: mem})
			if err != nil {
				return err
			}
			err = w.Write(batch)
			return errors.Join(err, w.Close())
		}()
		if out.closed {
			t.Fatal("the writer closed its output")
		}
		if left := mem.CurrentAlloc(); left != 0 {
			t.Errorf("failing after %d bytes: %d bytes stay allocated", n, left)
		}
		if err == nil {
			if n == 0 {
				t.Error("no error from an output that takes nothing")
			}
			return
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("failing after %d bytes: %v; want the output's error", n, err)
		}
	}
}

// A row group ends by its bytes too, at the same row however batches are cut; by half of them
// where its rows are few, for they are long then.
func TestRowGroupEndsByBytes(t *testing.T) {
	const rowBytes = 16 // twelve bytes with their offset
	for _, c := range []struct {
		rows, groupBytes int
		want             []int64
	}{
		{3*blockRows + 5, 4 * blockRows * rowBytes, []int64{2 * blockRows, blockRows + 5}},
		{2*wideGroupRows + 5, 2 * wideGroupRows * rowBytes, []int64{2 * wideGroupRows, 5}},
	} {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		for range c.rows {
			b.Append("twelve bytes")
		}
		arr := b.NewArray()
		b.Release()
		batch := batchOf(arr, true)
		arr.Release()
		for _, step := range []int{c.rows, 1000, blockRows + 1} {
			var pieces []arrow.RecordBatch
			for at := 0; at < c.rows; at += step {
				pieces = append(pieces, batch.NewSlice(int64(at), int64(min(at+step, c.rows))))
			}
			library := openLibrary(t, writeFlat(t, format.WriteOptions{Allocator: checked(t)}, int64(c.groupBytes), pieces...))
			got := make([]int64, library.NumRowGroups())
			for g := range got {
				got[g] = library.MetaData().RowGroup(g).NumRows()
			}
			if !cmp.Equal(got, c.want) {
				t.Errorf("batches of %d rows: row groups of %v rows; want %v", step, got, c.want)
			}
			for _, p := range pieces {
				p.Release()
			}
		}
		batch.Release()
	}
}

// The same rows give the same bytes.
func TestDeterministicBytes(t *testing.T) {
	batch := floats(3, 5000, 0.1)
	defer batch.Release()
	var files [2]bytes.Buffer
	for i := range files {
		w, err := NewWriter(&files[i], batch.Schema(), format.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("two files of the same rows differ")
	}
}

// Arrow-go has no builder for dictionaries of views, so they are made here.
func TestDictionariesOfViews(t *testing.T) {
	for _, values := range []arrow.Array{
		fromJSON(t, memory.DefaultAllocator, arrow.BinaryTypes.StringView, `["longer than twelve bytes", "b", null]`),
		fromJSON(t, memory.DefaultAllocator, arrow.BinaryTypes.BinaryView, `["AQIDAQIDAQIDAQIDAQIDAQID", "Yg==", null]`),
		fromJSON(t, memory.DefaultAllocator, &arrow.Decimal64Type{Precision: 12, Scale: 2}, `["-1.25", "7.00", null]`),
	} {
		indices := fromJSON(t, memory.DefaultAllocator, arrow.PrimitiveTypes.Uint16, `[1, null, 0, 2, 1]`)
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: values.DataType()}
		arr := array.NewDictionaryArray(dt, indices, values)
		batch := batchOf(arr, true)
		got, rows, err := readAll(open(t, write(t, format.WriteOptions{RowGroupRows: 4, Allocator: checked(t)}, batch), format.ReadOptions{}), []int{0}, 0, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i := range int(rows) {
			out = append(out, got[0].ValueStr(i))
		}
		text := values.ValueStr
		if want := []string{text(1), array.NullValueStr, text(0), array.NullValueStr, text(1)}; !cmp.Equal(out, want) {
			t.Errorf("%s: read = %q; want %q", dt, out, want)
		}
	}
}
