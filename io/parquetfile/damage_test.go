package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// samples are small files of every layout that the decoders tell apart.
func samples(tb testing.TB, rows int) map[string][]byte {
	tb.Helper()
	out := make(map[string][]byte)
	path := filepath.Join(tb.TempDir(), "sample")
	types := []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float32, arrow.BinaryTypes.String,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String},
		arrow.ListOf(arrow.PrimitiveTypes.Int32), arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32),
		arrow.StructOf(arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}),
		arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int8),
		&arrow.Decimal32Type{Precision: 9, Scale: 2}, &arrow.Decimal128Type{Precision: 15}, &arrow.Decimal128Type{Precision: 25}, &arrow.Decimal256Type{Precision: 50},
		arrow.FixedWidthTypes.Date64, arrow.ListOf(&arrow.Decimal128Type{Precision: 14, Scale: 2}),
	}
	for _, codec := range []string{"none", "snappy", "zstd", "gzip", "lz4"} {
		rng := splitmix(7)
		f := &filler{rng: &rng, nulls: 0.1}
		fields := make([]arrow.Field, len(types))
		arrays := make([]arrow.Array, len(types))
		for i, typ := range types {
			b := array.NewBuilder(memory.DefaultAllocator, typ)
			for row := range rows {
				if d, ok := b.(*array.BinaryDictionaryBuilder); ok {
					if err := d.AppendString(strconv.Itoa(row % 5)); err != nil {
						tb.Fatal(err)
					}
					continue
				}
				f.append(b, true)
			}
			arrays[i] = b.NewArray()
			b.Release()
			fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: typ, Nullable: true}
		}
		batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
		release(arrays)
		if err := writeTo(path, format.WriteOptions{Compression: codec, RowGroupRows: rows/2 - 1}, batch); err != nil {
			tb.Fatal(err)
		}
		batch.Release()
		data, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		out[codec] = data
	}
	return out
}

// tryDamaged reads a damaged file. An escaped panic, a hang, a leak or rows
// short of what the file announces fail the test. So does another outcome where, if asked for,
// every page goes through a file.
func tryDamaged(tb testing.TB, path, what string, alsoLong bool) error {
	tb.Helper()
	err := tryPages(tb, path, what, 0)
	if !alsoLong {
		return err
	}
	if long := tryPages(tb, path, what+", every page through a file", 1); (long == nil) != (err == nil) {
		tb.Errorf("%s: %v, and %v with every page through a file", what, err, long)
	}
	return err
}

// tryPages is tryDamaged with pages from a size on through files.
func tryPages(tb testing.TB, path, what string, longBytes int) (err error) {
	tb.Helper()
	mem := memory.NewCheckedAllocator(&soiled{})
	start := time.Now()
	o := readColumns(path, format.ReadOptions{Allocator: mem, ChunkRows: 64, BudgetBytes: 64 << 20, LongPageBytes: longBytes})
	if took := time.Since(start); took > fileTime {
		tb.Errorf("%s: took %s", what, took)
	}
	if n := mem.CurrentAlloc(); n != 0 {
		tb.Errorf("%s: %d bytes stay allocated", what, n)
	}
	if o.err == nil {
		return nil
	}
	if !strings.Contains(o.err.Error(), path) {
		tb.Errorf("%s: error %q does not name the file", what, o.err)
	}
	known := errors.Is(o.err, format.ErrDamaged) || errors.Is(o.err, format.ErrUnsupported) || errors.Is(o.err, format.ErrBudget)
	if !known || strings.Contains(o.err.Error(), "SILENT") || strings.Contains(o.err.Error(), "PANIC") {
		tb.Errorf("%s: %v", what, o.err)
	}
	return o.err
}

func TestFlippedBits(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	path := filepath.Join(t.TempDir(), "flipped")
	read, refused, caught := 0, 0, 0
	for name, data := range samples(t, 300) {
		rng := splitmix(11)
		for range 80 {
			bit := rng.next() % uint64(8*len(data))
			if rng.next()%4 == 0 { // the footer is small and matters more
				footer := uint64(binary.LittleEndian.Uint32(data[len(data)-8:])) + 8
				bit = uint64(8*len(data)) - 1 - rng.next()%(8*footer)
			}
			bad := bytes.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			switch err := tryDamaged(t, path, fmt.Sprintf("%s, bit %d", name, bit), bit%4 == 0); {
			case err == nil:
				read++
			case strings.Contains(err.Error(), "panicked"):
				caught++
				refused++
			default:
				refused++
			}
		}
	}
	t.Logf("flipped bits: %d files: read=%d refused=%d (caught panics=%d)", read+refused, read, refused, caught)
}

func TestTruncatedFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut")
	data := samples(t, 300)["zstd"]
	for n := 0; n < len(data); n += 1 + len(data)/97 {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tryDamaged(t, path, fmt.Sprintf("%d of %d bytes", n, len(data)), n%8 == 0); err == nil {
			t.Errorf("%d of %d bytes were read without an error", n, len(data))
		}
	}
}

// A file that shrinks or is replaced while it is open gives ErrChanged, not
// damage and not a signal.
func TestChangedFile(t *testing.T) {
	data := samples(t, 300)["none"]
	cases := map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 100) },
		"replaced": func(path string) error {
			if err := os.WriteFile(path+".new", data, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"removed":  os.Remove,
		"modified": func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.parquet")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, path, format.ReadOptions{Allocator: checked(t)})
			if err := r.Changed(); err != nil {
				t.Fatalf("Changed before = %v", err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if err := r.Changed(); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), path) {
				t.Errorf("Changed = %v; want ErrChanged with the path", err)
			}
			if name != "truncated" {
				return
			}
			err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(arrow.RecordBatch) error { return nil })
			if !errors.Is(err, format.ErrChanged) {
				t.Errorf("ReadSpan = %v; want ErrChanged", err)
			}
		})
	}
}

// A footer that claims what its bytes cannot hold is refused before anything
// is allocated for it.
func TestFooterWalk(t *testing.T) {
	nested := func(depth int) []byte {
		b := []byte{byte(2<<4 | thriftList)}
		b = append(b, 0xf0|thriftStruct)
		b = binary.AppendUvarint(b, uint64(depth+1))
		for range depth {
			b = append(b, 5<<4|thriftI32, 2, 0) // one child
		}
		return append(b, 0, 0)
	}
	cases := []struct {
		name   string
		footer []byte
		budget int64
		want   error
	}{
		{"no bytes", nil, 1 << 20, format.ErrDamaged},
		{"no schema", []byte{0}, 1 << 20, format.ErrDamaged},
		{"list of 2^31 structures in 8 bytes", []byte{2<<4 | thriftList, 0xf0 | thriftStruct, 0xff, 0xff, 0xff, 0xff, 0x07, 0}, 1 << 20, format.ErrDamaged},
		{"string of 2^40 bytes", []byte{6<<4 | thriftBinary, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20}, 1 << 20, format.ErrDamaged},
		{"structures without end", bytes.Repeat([]byte{1<<4 | thriftStruct}, 100_000), 1 << 30, format.ErrDamaged},
		{"lists without end", append([]byte{1<<4 | thriftList}, bytes.Repeat([]byte{1<<4 | thriftList}, 100_000)...), 1 << 30, format.ErrDamaged},
		{"schema of 10 groups", nested(10), 1 << 20, nil},
		{"schema of 10,000 groups", nested(10_000), 1 << 30, format.ErrUnsupported},
		{"more structures than the budget", nested(60), 10 * bytesPerThriftStruct, format.ErrBudget},
		{"child count of -1", []byte{2<<4 | thriftList, 1<<4 | thriftStruct, 5<<4 | thriftI32, 1, 0, 0}, 1 << 20, format.ErrDamaged},
		{"missing children", []byte{2<<4 | thriftList, 1<<4 | thriftStruct, 5<<4 | thriftI32, 4, 0, 0}, 1 << 20, format.ErrDamaged},
	}
	for _, c := range cases {
		if _, err := walkFooter(c.footer, c.budget); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
	}
}

// FuzzReader reads whatever bytes there are: an error or all rows, never both,
// never neither.
//
//	go test -fuzz FuzzReader -fuzztime 60s -fuzzminimizetime 1s ./io/parquetfile
func FuzzReader(f *testing.F) {
	for _, data := range samples(f, 8) {
		f.Add(data)
	}
	path := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = tryDamaged(t, path, "fuzzed", true)
	})
}

// FuzzOrigin walks whatever stands in the file as the writer's schema.
func FuzzOrigin(f *testing.F) {
	fields := make([]arrow.Field, len(everyType))
	for i, c := range everyType {
		fields[i] = arrow.Field{Name: c.name, Type: c.typ, Nullable: true}
	}
	md := withStoredSchema(arrow.NewSchema(fields, nil), memory.DefaultAllocator)
	stored, _ := md.GetValue(arrowSchemaKey)
	f.Add(stored)
	f.Fuzz(func(_ *testing.T, stored string) { _ = decodeOrigin(stored) })
}
