package parquetfile

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	small "github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

// randomTypes is drawn from by the property tests.
var randomTypes = func() []arrow.DataType {
	flat := []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Int32,
		arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Float16,
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeBinary, &arrow.FixedSizeBinaryType{ByteWidth: 5},
		&arrow.Decimal128Type{Precision: 12, Scale: 3}, &arrow.Decimal128Type{Precision: 30, Scale: 3}, &arrow.Decimal256Type{Precision: 45, Scale: 3},
		arrow.BinaryTypes.StringView, arrow.BinaryTypes.BinaryView,
		&arrow.Decimal32Type{Precision: 9, Scale: 3}, &arrow.Decimal64Type{Precision: 15, Scale: 3},
		arrow.FixedWidthTypes.Timestamp_us, arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Time32ms,
	}
	all := slices.Clone(flat)
	for _, t := range flat {
		field := func(name string, t arrow.DataType) arrow.Field {
			return arrow.Field{Name: name, Type: t, Nullable: true}
		}
		all = append(all, arrow.ListOf(t), arrow.ListOfNonNullable(t), arrow.FixedSizeListOf(3, t),
			arrow.StructOf(field("a", t), field("b", arrow.ListOf(t)), arrow.Field{Name: "c", Type: t}),
			arrow.MapOf(arrow.BinaryTypes.String, t), arrow.ListOf(arrow.ListOf(t)),
			arrow.ListOf(arrow.StructOf(field("a", t), field("b", arrow.PrimitiveTypes.Int32))))
	}
	return all
}()

// filler appends values that a rapid test draws.
type filler struct {
	t     *rapid.T
	rng   *splitmix
	nulls float64 // share
}

// splitmix gives the many bits that one drawn seed stands for.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *splitmix) float() float64 { return float64(s.next()>>11) / (1 << 53) }

func (f *filler) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + f.rng.next()%3)
	}
	return b
}

func (f *filler) append(b array.Builder, nullable bool) {
	if nullable && f.rng.float() < f.nulls {
		b.AppendNull()
		return
	}
	x := f.rng.next()
	if x%4 == 0 {
		x %= 5 // repeats, so that dictionaries are used
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(x&1 == 1)
	case *array.Int8Builder:
		b.Append(int8(x))
	case *array.Uint16Builder:
		b.Append(uint16(x))
	case *array.Int32Builder:
		b.Append(int32(x))
	case *array.Int64Builder:
		b.Append(int64(x))
	case *array.Float16Builder:
		b.Append(float16.New(float32(int8(x))))
	case *array.Float32Builder:
		b.Append(math.Float32frombits(uint32(x)))
	case *array.Float64Builder:
		b.Append(math.Float64frombits(x))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(x))
	case *array.Date32Builder:
		b.Append(arrow.Date32(int32(x)))
	case *array.Date64Builder:
		b.Append(arrow.Date64(int64(int32(x)) * millisPerDay))
	case *array.Time32Builder:
		b.Append(arrow.Time32(int32(x % 86400000)))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(x%200000000000) - 100000000000))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromI64(int64(x)))
	case *array.Decimal32Builder:
		b.Append(small.Decimal32(int32(x%2000000000) - 1000000000 + 1))
	case *array.Decimal64Builder:
		b.Append(small.Decimal64(int64(x%200000000000) - 100000000000))
	case *array.StringViewBuilder:
		b.Append(string(f.bytes(int(x % 30))))
	case *array.BinaryViewBuilder:
		b.Append(f.bytes(int(x % 30)))
	case *array.StringBuilder:
		b.Append(string(f.bytes(int(x % 20))))
	case *array.BinaryBuilder:
		b.Append(f.bytes(int(x % 20)))
	case *array.FixedSizeBinaryBuilder:
		b.Append(f.bytes(b.Type().(*arrow.FixedSizeBinaryType).ByteWidth))
	case *array.StructBuilder:
		b.Append(true)
		for i, field := range b.Type().(*arrow.StructType).Fields() {
			f.append(b.FieldBuilder(i), field.Nullable)
		}
	case *array.MapBuilder:
		b.Append(true)
		for range x % 4 {
			f.append(b.KeyBuilder(), false)
			f.append(b.ItemBuilder(), true)
		}
	case *array.FixedSizeListBuilder:
		b.Append(true)
		t := b.Type().(*arrow.FixedSizeListType)
		for range t.Len() {
			f.append(b.ValueBuilder(), t.ElemField().Nullable)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range x % 4 {
			f.append(b.ValueBuilder(), b.Type().(*arrow.ListType).ElemField().Nullable)
		}
	default:
		f.t.Fatalf("no values for %s", b.Type())
	}
}

// randomBatch draws a batch.
func randomBatch(t *rapid.T, mem memory.Allocator) arrow.RecordBatch {
	rows := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 3000)).Draw(t, "rows")
	n := rapid.IntRange(1, 4).Draw(t, "columns")
	fields := make([]arrow.Field, n)
	arrays := make([]arrow.Array, n)
	defer release(arrays)
	for c := range n {
		typ := rapid.SampledFrom(randomTypes).Draw(t, "type")
		nullable := rapid.Bool().Draw(t, "nullable")
		rng := splitmix(rapid.Uint64().Draw(t, "seed"))
		f := &filler{t: t, rng: &rng, nulls: rapid.SampledFrom([]float64{0, 0.05, 0.5, 1}).Draw(t, "nulls")}
		b := array.NewBuilder(mem, typ)
		for range rows {
			f.append(b, nullable)
		}
		arrays[c] = b.NewArray()
		b.Release()
		fields[c] = arrow.Field{Name: fmt.Sprintf("c%d", c), Type: typ, Nullable: nullable}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
}

// writeAnyWay writes a batch with arrow-go's own writer, with drawn encodings,
// codecs, page sizes and page versions.
func writeAnyWay(t *rapid.T, path string, batch arrow.RecordBatch, mem memory.Allocator) {
	props := make([]parquet.WriterProperty, 0, 32)
	props = append(props,
		parquet.WithAllocator(mem),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDictionaryDefault(rapid.Bool().Draw(t, "dictionary")),
		parquet.WithDictionaryPageSizeLimit(rapid.SampledFrom([]int64{64, 1 << 20}).Draw(t, "dictionary bytes")),
		parquet.WithDataPageSize(rapid.SampledFrom([]int64{1, 100, 1 << 20}).Draw(t, "page bytes")),
		parquet.WithBatchSize(rapid.SampledFrom([]int64{1, 7, 1024}).Draw(t, "batch")),
		parquet.WithDataPageVersion(rapid.SampledFrom([]parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2}).Draw(t, "page version")),
		parquet.WithCompression(rapid.SampledFrom([]compress.Compression{
			compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip, compress.Codecs.Lz4Raw, compress.Codecs.Brotli,
		}).Draw(t, "codec")),
		parquet.WithStats(rapid.Bool().Draw(t, "statistics")),
	)
	arrowProps := pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema(), pqarrow.WithAllocator(mem))
	// The library's writer has neither views nor small decimals.
	fields := make([]arrow.Field, batch.NumCols())
	for i, f := range batch.Schema().Fields() {
		fields[i] = keptField(f)
	}
	schema := arrow.NewSchema(fields, nil)
	ps, err := pqarrow.ToParquet(schema, nil, arrowProps)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ps.NumColumns() {
		col := ps.Column(i)
		encodings := []parquet.Encoding{parquet.Encodings.Plain}
		switch col.PhysicalType() {
		case parquet.Types.Int32, parquet.Types.Int64:
			encodings = append(encodings, parquet.Encodings.DeltaBinaryPacked, parquet.Encodings.ByteStreamSplit)
		case parquet.Types.Float, parquet.Types.Double, parquet.Types.FixedLenByteArray:
			encodings = append(encodings, parquet.Encodings.ByteStreamSplit)
		case parquet.Types.ByteArray:
			encodings = append(encodings, parquet.Encodings.DeltaByteArray, parquet.Encodings.DeltaLengthByteArray)
		case parquet.Types.Boolean:
			// Not RLE: arrow-go's encoder repeats its first page in every page
			// (pyarrow reads the same). The corpora have booleans in RLE.
		}
		props = append(props, parquet.WithEncodingPath(col.ColumnPath(), rapid.SampledFrom(encodings).Draw(t, "encoding")))
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(props...), arrowProps)
	if err != nil {
		t.Fatal(err)
	}
	group := int64(rapid.IntRange(1, 4000).Draw(t, "row group rows"))
	for at := int64(0); at < batch.NumRows(); at += group {
		cut := batch.NewSlice(at, min(at+group, batch.NumRows()))
		// The library's writer takes no values below a null list, and ours puts
		// lists into shape before it.
		err := writeStored(w, cut, mem)
		cut.Release()
		if err != nil {
			// Its delta encoder overruns a buffer with pages of one value.
			t.Skipf("arrow-go's writer: %v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeStored(w *pqarrow.FileWriter, batch arrow.RecordBatch, mem memory.Allocator) error {
	if err := w.NewRowGroupChecked(); err != nil {
		return err
	}
	for _, c := range batch.Columns() {
		stored, err := storedType(c.DataType(), true)
		if err != nil {
			return err
		}
		arr, err := toStored(c, stored, mem)
		if err != nil {
			return err
		}
		err = w.WriteColumnData(arr)
		arr.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Whatever encoding, codec, page size, row group size and chunk size: the
// values read are the values written, columns come in the order asked for, and
// nothing stays allocated.
func TestPropertyReadGivesWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.parquet")
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(&soiled{})
		batch := randomBatch(t, memory.DefaultAllocator)
		defer batch.Release()
		if rapid.Bool().Draw(t, "our writer") {
			opts := format.WriteOptions{
				Compression:  rapid.SampledFrom([]string{"", "snappy", "gzip", "lz4", "none"}).Draw(t, "compression"),
				RowGroupRows: rapid.IntRange(1, 4000).Draw(t, "row group rows"),
				Allocator:    mem,
			}
			if err := writeTo(path, opts, batch); err != nil {
				t.Fatal(err)
			}
		} else {
			writeAnyWay(t, path, batch, memory.DefaultAllocator)
		}
		opts := format.ReadOptions{ChunkRows: rapid.SampledFrom([]int{1, 7, 64, 1000, 1 << 16}).Draw(t, "chunk rows"), Allocator: mem}
		if rapid.Bool().Draw(t, "columns concurrently") {
			opts.Decoders = make(chan struct{}, 3)
		}
		r, err := Open(path, opts)
		if err != nil {
			t.Fatal(err)
		}
		columns := rapid.SliceOfN(rapid.IntRange(0, int(batch.NumCols())-1), 0, 5).Draw(t, "asked")
		got, rows, err := readAll(r, columns, opts.ChunkRows, mem)
		if err != nil {
			t.Fatal(err)
		}
		if rows != batch.NumRows() {
			t.Fatalf("%d rows; want %d", rows, batch.NumRows())
		}
		for i, c := range columns {
			want := batch.Column(c)
			if g, w := checksum(got[i]), checksum(want); g != w {
				t.Fatalf("column %d (%s): checksum %s; want %s\n%s\n%s", c, want.DataType(), g, w, short(got[i]), short(want))
			}
			if n, ok := r.NullCount(c); ok && n != int64(want.NullN()) {
				t.Fatalf("column %d: NullCount = %d; want %d", c, n, want.NullN())
			}
		}
		release(got)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes stay allocated", n)
		}
	})
}

func short(a arrow.Array) string {
	s := fmt.Sprint(a)
	return s[:min(len(s), 2000)]
}

// The bytes of a file do not depend on how its rows were cut into batches.
func TestPropertyFileBytesAreAFunctionOfTheRows(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		batch := randomBatch(t, memory.DefaultAllocator)
		defer batch.Release()
		opts := format.WriteOptions{RowGroupRows: rapid.IntRange(1, 5000).Draw(t, "row group rows")}
		whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
		if err := writeTo(whole, opts, batch); err != nil {
			t.Fatal(err)
		}
		var pieces []arrow.RecordBatch
		for at := int64(0); at < batch.NumRows(); {
			n := min(int64(rapid.IntRange(1, 2000).Draw(t, "cut")), batch.NumRows()-at)
			pieces = append(pieces, batch.NewSlice(at, at+n))
			at += n
		}
		if len(pieces) == 0 {
			pieces = append(pieces, batch.NewSlice(0, 0))
		}
		if err := writeTo(cut, opts, pieces...); err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			p.Release()
		}
		a, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(cut)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) {
			t.Fatalf("%d and %d bytes that differ", len(a), len(b))
		}
	})
}
