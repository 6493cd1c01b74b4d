package parquetfile

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

// listOf is a column of lists of a type, with an offset of its own and in its elements:
// size is how many elements each list has, or 0 for any number up to 40; nulls of lists
// and of elements are of the shapes of nullsOf.
func listOf(typ arrow.DataType, rows, size int, nulls, elementNulls string, rng *splitmix) arrow.Array {
	const offset = 3
	elem := typ.(arrow.ListLikeType).Elem()
	ends := make([]int64, rows+offset+1)
	for i := range rows + offset {
		n := uint64(size)
		if size == 0 {
			n = rng.next() % 41 * (rng.next() % 2) // half of them empty
		}
		ends[i+1] = ends[i] + int64(n)
	}
	elements := numberArray(elem, int(ends[len(ends)-1]), 5, "noise", elementNulls, rng)
	defer elements.Release()
	validity := make([]byte, (rows+offset+7)/8)
	count := 0
	for row := range rows + offset {
		if row < offset || !isNull(nulls, rng, row-offset) {
			validity[row/8] |= 1 << (row % 8)
		} else {
			count++
		}
	}
	buffers := []*memory.Buffer{memory.NewBufferBytes(validity)}
	switch typ.ID() {
	case arrow.LIST:
		short := make([]int32, len(ends))
		for i, end := range ends {
			short[i] = int32(end)
		}
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(short)))
	case arrow.LARGE_LIST:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(ends)))
	default:
	}
	data := array.NewData(typ, rows, buffers, []arrow.ArrayData{elements.Data()}, count, offset)
	defer data.Release()
	return array.MakeFromData(data)
}

// listTypes are lists of an element's type: of a fixed size or not, their elements
// nullable or not.
func listTypes(elem arrow.DataType, size int) []arrow.DataType {
	required := arrow.Field{Name: "item", Type: elem}
	if size > 0 {
		return []arrow.DataType{arrow.FixedSizeListOf(int32(size), elem), arrow.FixedSizeListOfField(int32(size), required)}
	}
	return []arrow.DataType{arrow.ListOf(elem), arrow.LargeListOf(elem), arrow.ListOfNonNullable(elem)}
}

func drawLists(t *rapid.T) arrow.RecordBatch {
	rng := splitmix(rapid.Uint64().Draw(t, "seed"))
	rows := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{0, 1, 700})).Draw(t, "rows")
	fields := make([]arrow.Field, rapid.IntRange(1, 3).Draw(t, "columns"))
	arrays := make([]arrow.Array, 0, len(fields))
	for i := range fields {
		elem := rapid.SampledFrom(numberTypes[:len(numberTypes)-1]).Draw(t, "elements")
		size := rapid.SampledFrom([]int{0, 0, 0, 1, 3, 3, 256, 1500}).Draw(t, "size")
		typ := rapid.SampledFrom(listTypes(elem, size)).Draw(t, "type")
		nulls, elementNulls := "none", "none"
		fields[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: typ, Nullable: rapid.Bool().Draw(t, "nullable")}
		if fields[i].Nullable {
			nulls = rapid.SampledFrom(nullsOf).Draw(t, "nulls")
		}
		if typ.(arrow.ListLikeType).ElemField().Nullable {
			elementNulls = rapid.SampledFrom(nullsOf).Draw(t, "nulls of elements")
		}
		arrays = append(arrays, listOf(typ, rows, size, nulls, elementNulls, &rng))
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	release(arrays)
	return batch
}

// listCell is a list as text, bit by bit.
func listCell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	l := a.(array.ListLike)
	from, to := l.ValueOffsets(i)
	var b strings.Builder
	b.WriteByte('[')
	for j := from; j < to; j++ {
		if l.ListValues().IsNull(int(j)) {
			b.WriteString(" null")
		} else {
			fmt.Fprintf(&b, " %x", rawBits(l.ListValues(), int(j)))
		}
	}
	return b.String()
}

// Lists of numbers come back as they were, read by arrow-go and by our own reader, and the
// bytes are the same however rows are cut and however many columns are encoded at a time.
func TestPropertyLists(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		batch := drawLists(t)
		defer batch.Release()
		mem := memory.NewCheckedAllocator(&soiled{})
		opts := format.WriteOptions{
			Compression:  rapid.SampledFrom([]string{"", "snappy", "none"}).Draw(t, "compression"),
			RowGroupRows: rapid.SampledFrom([]int{1 << 20, 1 << 20, 500}).Draw(t, "row group rows"),
			Allocator:    mem,
		}
		groupBytes := rapid.SampledFrom([]int64{RowGroupBytes, 300 << 10}).Draw(t, "row group bytes")
		whole := writeFlat(t, opts, groupBytes, batch)
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes stay allocated", n)
		}
		table := libraryTable(t, openLibrary(t, whole))
		defer table.Release()
		path := filepath.Join(dir, "lists.parquet")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		reader, err := Open(path, format.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		for c := range int(batch.NumCols()) {
			own, _, err := readAll(reader, []int{c}, 0, memory.DefaultAllocator)
			if err != nil {
				t.Fatal(err)
			}
			compareLists(t, "our reader", batch.Column(c), own[0])
			release(own)
			compareLists(t, "arrow-go", batch.Column(c), table.Column(c).Data().Chunks()...)
		}
		var pieces []arrow.RecordBatch
		for at := int64(0); at < batch.NumRows(); {
			n := min(int64(rapid.IntRange(1, 900).Draw(t, "cut")), batch.NumRows()-at)
			pieces = append(pieces, batch.NewSlice(at, at+n))
			at += n
		}
		opts.Allocator, opts.Encoders = nil, make(chan struct{}, 3)
		if len(pieces) > 0 && !bytes.Equal(whole, writeFlat(t, opts, groupBytes, pieces...)) {
			t.Errorf("other bytes in %d batches", len(pieces))
		}
		for _, p := range pieces {
			p.Release()
		}
	})
}

func compareLists(t rapid.TB, who string, want arrow.Array, chunks ...arrow.Array) {
	t.Helper()
	row := 0
	for _, chunk := range chunks {
		for i := range chunk.Len() {
			if got, want := listCell(chunk, i), listCell(want, row); got != want {
				t.Fatalf("%s, %s, row %d: %.80s; want %.80s", who, chunk.DataType(), row, got, want)
			}
			row++
		}
	}
	if row != want.Len() {
		t.Fatalf("%s: %d rows; want %d", who, row, want.Len())
	}
}

// pyarrow reads lists as they are.
func TestListsInPyarrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a Python process")
	}
	python, dir := pythonWithPyarrow(t), t.TempDir()
	rng := splitmix(11)
	var want, names strings.Builder
	for i, nulls := range nullsOf {
		for _, size := range []int{0, 4, 700} {
			for j, typ := range listTypes(arrow.PrimitiveTypes.Int64, size) {
				elementNulls := "none"
				if typ.(arrow.ListLikeType).ElemField().Nullable {
					elementNulls = nullsOf[(i+j)%len(nullsOf)]
				}
				arr := listOf(typ, 700, size, nulls, elementNulls, &rng)
				batch := batchOf(arr, true)
				name := fmt.Sprintf("%s-%04d-%d.parquet", nulls, size, j)
				if err := os.WriteFile(filepath.Join(dir, name), writeFlat(t, format.WriteOptions{}, 100<<10, batch), 0o600); err != nil {
					t.Fatal(err)
				}
				hash := sha256.New()
				for row := range arr.Len() {
					_, _ = io.WriteString(hash, listCell(arr, row)+"\n")
				}
				fmt.Fprintf(&want, "%s %x\n", name, hash.Sum(nil))
				names.WriteString(name + "\n")
				batch.Release()
				arr.Release()
			}
		}
	}
	const script = `
import hashlib, os, sys
import pyarrow.parquet as pq
for name in open(0).read().split():
    h = hashlib.sha256()
    for v in pq.read_table(sys.argv[1] + "/" + name).column(0).to_pylist():
        h.update(b"null\n" if v is None else ("[" + "".join(" null" if x is None else " %x" % (x & (1 << 64) - 1) for x in v) + "\n").encode())
    print(name, h.hexdigest())
`
	cmd := exec.CommandContext(t.Context(), python, "-c", script, dir)
	cmd.Stdin, cmd.Stderr = strings.NewReader(names.String()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != want.String() {
		t.Errorf("pyarrow's view:\n%s\nours:\n%s", out, want.String())
	}
}

// Elements that are null where the type says there are none, and offsets that lead out of
// the elements, are errors.
func TestListsThatAreNot(t *testing.T) {
	rng := splitmix(1)
	arr := listOf(arrow.ListOf(arrow.PrimitiveTypes.Int64), 10, 3, "none", "half", &rng)
	defer arr.Release()
	required := array.NewData(arrow.ListOfNonNullable(arrow.PrimitiveTypes.Int64), arr.Len(), arr.Data().Buffers(), arr.Data().Children(), 0, arr.Data().Offset())
	defer required.Release()
	short := array.NewData(arrow.ListOf(arrow.PrimitiveTypes.Int64), 1, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 900}))}, arr.Data().Children(), 0, 0)
	defer short.Release()
	for want, data := range map[string]arrow.ArrayData{"not nullable": required, "elements for all": short} {
		column := array.MakeFromData(data)
		batch := batchOf(column, false)
		w, err := NewWriter(io.Discard, batch.Schema(), format.WriteOptions{Allocator: checked(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(batch); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%v; want an error that says %q", err, want)
		}
		_ = w.Close()
		batch.Release()
		column.Release()
	}
}
