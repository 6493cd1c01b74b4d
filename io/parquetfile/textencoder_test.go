package parquetfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// Shapes of a column of texts, and the types that hold them.
var (
	textShapes = []string{"few", "one", "thousands", "unlike", "empty", "long", "alike, then unlike", "sorted"}
	textTypes  = []arrow.DataType{
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
		arrow.BinaryTypes.StringView, arrow.BinaryTypes.BinaryView,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String},
	}
)

// textOf is the text of a row.
func textOf(shape string, rng *splitmix, row int) string {
	switch shape {
	case "few":
		return "value " + strconv.Itoa(int(rng.next()%7))
	case "one":
		return "the same"
	case "thousands":
		return "customer " + strconv.Itoa(int(rng.next()%6000))
	case "empty":
		return ""
	case "long":
		return strings.Repeat(strconv.Itoa(int(rng.next()%1000)), 1+int(rng.next()%3000))
	case "alike, then unlike":
		if row < 40_000 {
			return strconv.Itoa(row % 100)
		}
	case "sorted":
		return fmt.Sprintf("%08d", row/50)
	}
	return strconv.FormatUint(rng.next(), 36) + strconv.FormatUint(rng.next(), 36)
}

// textArray is a column of texts, which begins at an offset of its buffers.
func textArray(t rapid.TB, typ arrow.DataType, rows int, shape, nulls string, rng *splitmix) arrow.Array {
	t.Helper()
	const offset = 3
	b := array.NewBuilder(memory.DefaultAllocator, typ)
	defer b.Release()
	for row := range rows + offset {
		if row >= offset && isNull(nulls, rng, row-offset) {
			b.AppendNull()
			continue
		}
		if err := appendText(b, textOf(shape, rng, row)); err != nil {
			t.Fatal(err)
		}
	}
	whole := b.NewArray()
	defer whole.Release()
	return array.NewSlice(whole, offset, int64(offset+rows))
}

func appendText(b array.Builder, v string) error {
	switch b := b.(type) {
	case *array.BinaryDictionaryBuilder:
		return b.AppendString(v)
	case interface{ Append(v string) }:
		b.Append(v)
	case interface{ Append(v []byte) }:
		b.Append([]byte(v))
	default:
		return fmt.Errorf("no texts in %T", b)
	}
	return nil
}

// textAt is the text of a row, whatever holds it.
func textAt(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.Dictionary:
		return textAt(a.Dictionary(), a.GetValueIndex(i))
	case *array.Binary:
		return string(a.Value(i))
	case *array.LargeBinary:
		return string(a.Value(i))
	case *array.BinaryView:
		return string(a.Value(i))
	case array.StringLike:
		return a.Value(i)
	}
	panic(fmt.Sprintf("no texts in %T", a))
}

// drawTexts are columns of text, and one of numbers and one of booleans among them.
func drawTexts(t *rapid.T) arrow.RecordBatch {
	rng := splitmix(rapid.Uint64().Draw(t, "seed"))
	rows := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 300), rapid.SampledFrom([]int{0, 1, 4095, 4096, 4097, 8000, 32769})).Draw(t, "rows")
	texts := rapid.IntRange(1, 3).Draw(t, "columns")
	types := append(make([]arrow.DataType, 0, 2+texts), arrow.PrimitiveTypes.Int16, arrow.FixedWidthTypes.Boolean)
	for range texts {
		types = append(types, rapid.SampledFrom(textTypes).Draw(t, "type"))
	}
	fields, arrays := make([]arrow.Field, len(types)), make([]arrow.Array, len(types))
	for i, typ := range types {
		nulls := rapid.SampledFrom(nullsOf).Draw(t, "nulls")
		fields[i] = arrow.Field{Name: strconv.Itoa(i), Type: typ, Nullable: nulls != "none" || rapid.Bool().Draw(t, "nullable")}
		switch i {
		case 0, 1:
			arrays[i] = shortArray(typ, rows, nulls, &rng)
		default:
			shape := rapid.SampledFrom(textShapes).Draw(t, "shape")
			if shape == "long" {
				nulls = "some"
				fields[i].Nullable = true
			}
			arrays[i] = textArray(t, typ, rows, shape, nulls, &rng)
		}
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	release(arrays)
	return batch
}

// shortArray is a column of short integers or booleans.
func shortArray(typ arrow.DataType, rows int, nulls string, rng *splitmix) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, typ)
	defer b.Release()
	for row := range rows {
		if isNull(nulls, rng, row) {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.BooleanBuilder:
			b.Append(rng.next()%3 == 0)
		case *array.Int16Builder:
			b.Append(int16(rng.next()))
		}
	}
	return b.NewArray()
}

// writeFlat writes batches with a flatFile, whose row groups end at so many bytes.
func writeFlat(t rapid.TB, opts format.WriteOptions, groupBytes int64, batches ...arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	fw, err := NewWriter(&out, batches[0].Schema(), opts)
	if err != nil {
		t.Fatal(err)
	}
	w := fw.(*Writer)
	if _, ok := w.file.(*flatFile); !ok {
		t.Fatalf("%s: written by %T", batches[0].Schema(), w.file)
	}
	w.groupBytes = groupBytes
	for _, b := range batches {
		err = errors.Join(err, w.Write(b))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Texts, booleans and short integers come back as they were, read by arrow-go; footers have
// the least and the greatest of each column chunk by the plainest loop; and neither how rows
// are cut nor how many columns are encoded at a time changes a byte.
func TestPropertyTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	rapid.Check(t, func(t *rapid.T) {
		batch := drawTexts(t)
		defer batch.Release()
		mem := memory.NewCheckedAllocator(&soiled{})
		opts := format.WriteOptions{
			Compression:  rapid.SampledFrom([]string{"", "zstd", "snappy", "none"}).Draw(t, "compression"),
			RowGroupRows: rapid.SampledFrom([]int{1 << 20, 1 << 20, 5000}).Draw(t, "row group rows"),
			Allocator:    mem,
		}
		groupBytes := rapid.SampledFrom([]int64{RowGroupBytes, 1 << 20}).Draw(t, "row group bytes")
		whole := writeFlat(t, opts, groupBytes, batch)
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes stay allocated", n)
		}
		checkTexts(t, batch, whole, groupBytes)

		var pieces []arrow.RecordBatch
		for at := int64(0); at < batch.NumRows(); {
			n := min(int64(rapid.IntRange(1, 9000).Draw(t, "cut")), batch.NumRows()-at)
			pieces = append(pieces, batch.NewSlice(at, at+n))
			at += n
		}
		opts.Allocator = nil // buffers of the files before, with what is in them
		opts.Encoders = make(chan struct{}, 3)
		if len(pieces) > 0 && !bytes.Equal(whole, writeFlat(t, opts, groupBytes, pieces...)) {
			t.Errorf("other bytes in %d batches", len(pieces))
		}
		for _, p := range pieces {
			p.Release()
		}
	})
}

// checkTexts compares a file with the rows that were written.
func checkTexts(t rapid.TB, batch arrow.RecordBatch, data []byte, groupBytes int64) {
	t.Helper()
	library := openLibrary(t, data)
	table := libraryTable(t, library)
	defer table.Release()
	if table.NumRows() != batch.NumRows() {
		t.Fatalf("%d rows; want %d", table.NumRows(), batch.NumRows())
	}
	for c := range int(batch.NumCols()) {
		row := 0
		for _, chunk := range table.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				if want, got := cell(batch.Column(c), row), cell(chunk, i); want != got {
					t.Fatalf("column %d, row %d: %.60q; want %.60q", c, row, got, want)
				}
				row++
			}
		}
	}
	at := 0
	for g := range library.NumRowGroups() {
		group := library.MetaData().RowGroup(g)
		rows := int(group.NumRows())
		checkBounds(t, group, batch, at, rows)
		bound := groupBytes
		if rows-1 < wideGroupRows {
			bound /= 2
		}
		if bytes := textBytes(batch, at, rows-1); bytes >= bound {
			t.Errorf("row group %d has %d bytes in all but the last of %d rows; %d end it", g, bytes, rows, bound)
		}
		at += rows
	}
}

// cell is a value as text.
func cell(a arrow.Array, i int) string {
	switch {
	case a.IsNull(i):
		return "null"
	case a.DataType().ID() == arrow.BOOL || a.DataType().ID() == arrow.INT16:
		return a.ValueStr(i)
	}
	return "=" + textAt(a, i)
}

// textBytes is what the rows of a batch take: two columns of one and two bytes, and
// texts with their lengths.
func textBytes(batch arrow.RecordBatch, at, rows int) (total int64) {
	for row := at; row < at+rows; row++ {
		total += 1 + 4 // as it is stored
		for _, a := range batch.Columns()[2:] {
			total += 4
			if a.IsValid(row) {
				total += int64(len(textAt(a, row)))
			}
		}
	}
	return total
}

// checkBounds compares a row group's statistics with its rows, of texts.
func checkBounds(t rapid.TB, group *metadata.RowGroupMetaData, batch arrow.RecordBatch, at, rows int) {
	t.Helper()
	for c := 2; c < int(batch.NumCols()); c++ {
		var texts []string
		for row := at; row < at+rows; row++ {
			if a := batch.Column(c); a.IsValid(row) {
				texts = append(texts, textAt(a, row))
			}
		}
		chunk, err := group.ColumnChunk(c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := chunk.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		if s.NullCount() != int64(rows-len(texts)) {
			t.Errorf("column %d: %d nulls; want %d", c, s.NullCount(), rows-len(texts))
		}
		some := len(texts) > 0 && len(slices.Min(texts)) <= mostBoundBytes && len(slices.Max(texts)) <= mostBoundBytes
		if s.HasMinMax() != some {
			t.Fatalf("column %d: bounds %v; want %v", c, s.HasMinMax(), some)
		}
		if some && (string(s.EncodeMin()) != slices.Min(texts) || string(s.EncodeMax()) != slices.Max(texts)) {
			t.Errorf("column %d: bounds %.40q, %.40q; want %.40q, %.40q", c, s.EncodeMin(), s.EncodeMax(), slices.Min(texts), slices.Max(texts))
		}
	}
}

// Texts are encoded as they come: no batch is held until its row group ends.
func TestTextsAreNotHeld(t *testing.T) {
	rng := splitmix(1)
	arr := textArray(t, arrow.BinaryTypes.String, 5000, "unlike", "some", &rng)
	batch := batchOf(arr, true)
	arr.Release()
	w, err := NewWriter(io.Discard, batch.Schema(), format.WriteOptions{Allocator: checked(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	values := batch.Column(0).Data().Buffers()[2]
	batch.Release()
	if values.Bytes() != nil {
		t.Error("the batch is held before its row group ends")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// An array whose offsets lead out of its values is an error, with the column.
func TestTextsWithoutValues(t *testing.T) {
	offsets := memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 5, 9}))
	for name, buffers := range map[string][]*memory.Buffer{
		"no offsets":     {nil, nil, nil},
		"too few":        {nil, memory.NewBufferBytes(offsets.Bytes()[:8]), memory.NewBufferBytes(make([]byte, 9))},
		"values too few": {nil, offsets, memory.NewBufferBytes(make([]byte, 8))},
	} {
		data := array.NewData(arrow.BinaryTypes.Binary, 2, buffers, nil, 0, 0)
		f := &flatFile{names: []string{"x"}, mem: newBudget(recycle.New(memory.NewGoAllocator(), 0), 1<<20), texts: 1}
		_, err := newTextEncoder(f, flatColumn{physical: parquet.Types.ByteArray}).bytes(data, 0, 2)
		if err == nil || !strings.Contains(err.Error(), "2 rows") {
			t.Errorf("%s: %v; want an error", name, err)
		}
		data.Release()
	}
}

// pyarrow reads texts of every type, shape and share of nulls as they are.
func TestTextsInPyarrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a Python process")
	}
	python, dir := pythonWithPyarrow(t), t.TempDir()
	rng := splitmix(7)
	want := make([]string, 0, len(textShapes)*len(nullsOf))
	for n, nulls := range nullsOf {
		for _, shape := range textShapes {
			const rows = 20_000
			name := fmt.Sprintf("%s-%s.parquet", nulls, shape)
			count := rows
			if shape == "long" {
				count = 900
			}
			arr := textArray(t, textTypes[n%4], count, shape, nulls, &rng)
			batch := batchOf(arr, true)
			if err := os.WriteFile(filepath.Join(dir, name), writeFlat(t, format.WriteOptions{}, 1<<20, batch), 0o600); err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			for i := range arr.Len() {
				_, _ = io.WriteString(hash, cell(arr, i)+"\n")
			}
			want = append(want, fmt.Sprintf("%s %x", name, hash.Sum(nil)))
			batch.Release()
			arr.Release()
		}
	}
	const script = `
import glob, hashlib, os, sys
import pyarrow.parquet as pq
for path in glob.glob(sys.argv[1] + "/*"):
    h = hashlib.sha256()
    for v in pq.read_table(path).column(0).to_pylist():
        h.update(b"null\n" if v is None else b"=" + (v if isinstance(v, bytes) else v.encode()) + b"\n")
    print(os.path.basename(path), h.hexdigest())
`
	cmd := exec.CommandContext(t.Context(), python, "-c", script, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pyarrow's view, - ours, + pyarrow's:\n%s", diff)
	}
}
