package arrowfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// fixedWidths has columns of every kind of fixed width, all with nulls but the second,
// and then as many of float32 as make up columns.
func fixedWidths(columns, rows int) arrow.RecordBatch {
	types := []arrow.DataType{
		arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int8, &arrow.Decimal128Type{Precision: 30, Scale: 2},
		arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32), arrow.FixedWidthTypes.Timestamp_us, &arrow.FixedSizeBinaryType{ByteWidth: 5},
	}
	for len(types) < columns {
		types = append(types, arrow.PrimitiveTypes.Float32)
	}
	random := rand.New(rand.NewPCG(3, 4))
	fields := make([]arrow.Field, 0, columns)
	arrays := make([]arrow.Array, 0, columns)
	for i, t := range types[:columns] {
		b := array.NewBuilder(memory.DefaultAllocator, t)
		for range rows {
			if i != 1 && random.IntN(10) == 0 {
				b.AppendNull()
				continue
			}
			switch b := b.(type) {
			case *array.BooleanBuilder:
				b.Append(random.IntN(2) == 0)
			case *array.Int64Builder:
				b.Append(int64(random.Uint64()))
			case *array.Int8Builder:
				b.Append(int8(random.Uint64()))
			case *array.Decimal128Builder:
				b.Append(decimal128.FromU64(random.Uint64()))
			case *array.FixedSizeListBuilder:
				b.Append(true)
				b.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{random.Float32(), 0, random.Float32()}, []bool{true, random.IntN(2) == 0, true})
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(random.Uint64()))
			case *array.FixedSizeBinaryBuilder:
				b.Append(fmt.Appendf(nil, "%05d", random.IntN(100_000)))
			case *array.Float32Builder:
				b.Append(random.Float32())
			}
		}
		arrays = append(arrays, b.NewArray())
		b.Release()
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("c%d", i), Type: t, Nullable: true})
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	for _, a := range arrays {
		a.Release()
	}
	return batch
}

func ipcFile(tb testing.TB, batch arrow.RecordBatch, options ...ipc.Option) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := ipc.NewFileWriter(&out, append(options, ipc.WithSchema(batch.Schema()))...)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// A record batch that is given in pieces has the rows that were written, however they
// are stored and whatever columns are asked for.
func TestLargeBatchesComeInPieces(t *testing.T) {
	const rows = 1003
	for _, c := range []struct {
		what    string
		columns int
		options []ipc.Option
	}{
		{"views of the mapping", 9, nil},
		{"zstd", 9, []ipc.Option{ipc.WithZstd()}},
		{"lz4", 9, []ipc.Option{ipc.WithLZ4()}},
		{"read from the file, since columns are many", manyPieceColumns, nil},
		{"zstd of many", manyPieceColumns, []ipc.Option{ipc.WithZstd()}},
	} {
		want := fixedWidths(c.columns, rows)
		path := file(t, ipcFile(t, want, c.options...))
		r := mustOpen(t, path, format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: 1})
		asked := all(r)
		slices.Reverse(asked)
		for _, columns := range [][]int{asked, {4, 1}} {
			at := int64(0)
			if err := r.ReadSpan(t.Context(), 0, columns, func(b arrow.RecordBatch) error {
				if b.NumRows() > 1 {
					t.Errorf("%s: %d rows in one piece", c.what, b.NumRows())
				}
				for i, from := range columns {
					piece := array.NewSlice(want.Column(from), at, at+b.NumRows())
					if got := b.Column(i); !array.Equal(got, piece) || got.NullN() != piece.NullN() {
						t.Errorf("%s: column %d from row %d: %v; want %v", c.what, from, at, got, piece)
					}
					piece.Release()
				}
				at += b.NumRows()
				return nil
			}); err != nil || at != rows {
				t.Errorf("%s: %d rows, %v; want %d", c.what, at, err, rows)
			}
		}
		want.Release()
	}
}

// A flipped bit gives rows or an error that names the file, in pieces too.
func TestBitFlipsInPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	batch := fixedWidths(9, 300)
	defer batch.Release()
	path := filepath.Join(t.TempDir(), "flipped.arrow")
	random := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for _, options := range [][]ipc.Option{nil, {ipc.WithZstd()}, {ipc.WithLZ4()}} {
		data := ipcFile(t, batch, options...)
		for range flips {
			broken := slices.Clone(data)
			broken[random.IntN(len(broken))] ^= 1 << random.IntN(8)
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := readInPieces(t, path); err != nil {
				refused++
				known := errors.Is(err, format.ErrDamaged) || errors.Is(err, format.ErrUnsupported) || errors.Is(err, format.ErrBudget)
				if !known || !bytes.Contains([]byte(err.Error()), []byte(path)) {
					t.Errorf("error %q is of no known kind or does not name the file", err)
				}
			}
		}
	}
	if refused < flips/4 {
		t.Errorf("%d damaged files of %d were refused: the flips hit nothing", refused, 3*flips)
	}
}

// readInPieces reads a file to its end.
func readInPieces(t *testing.T, path string) error {
	t.Helper()
	r, err := Open(path, format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: 2 << 10, BudgetBytes: 64 << 20})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.ReadSpan(t.Context(), 0, all(r), func(b arrow.RecordBatch) error {
		look(b)
		return nil
	})
}

// Rows come late where a large record batch is decompressed before its first piece.
func TestUpfrontRows(t *testing.T) {
	const rows = 1000
	batch := fixedWidths(7, rows)
	defer batch.Release()
	for _, c := range []struct {
		about   string
		options []ipc.Option
		held    int64
		columns []int
		want    int64
	}{
		{"large and compressed", []ipc.Option{ipc.WithZstd()}, 1, []int{0, 1}, rows},
		{"large", nil, 1, []int{0, 1}, 0},
		{"compressed", []ipc.Option{ipc.WithZstd()}, 1 << 20, []int{0, 1}, 0},
		{"of a column that is not there", []ipc.Option{ipc.WithZstd()}, 1, []int{99}, 0},
	} {
		r := mustOpen(t, file(t, ipcFile(t, batch, c.options...)), format.ReadOptions{HeldBytes: c.held})
		if got := r.UpfrontRows(t.Context(), 0, c.columns); got != c.want {
			t.Errorf("%s: %d rows; want %d", c.about, got, c.want)
		}
	}
}
