package arrowfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// compareCut reads each column of a file alone, in pieces where its type lets it, and
// compares it with what pyarrow read. It gives the types that came in pieces. times is how
// often the column is asked for: as often as columns are many, it is read from the file.
func compareCut(t *testing.T, path string, chunk int64, times int, want [][]string) (cut []arrow.Type) {
	t.Helper()
	if len(want[0]) < 6 { // no columns
		return nil
	}
	r := mustOpen(t, path, format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: chunk})
	for c, line := range want {
		digest, nulls, rows, batches := sha256.New(), 0, int64(0), 0
		for span := range r.Spans() {
			if err := r.ReadSpan(t.Context(), span, slices.Repeat([]int{c}, times), func(b arrow.RecordBatch) error {
				batches++
				rows += b.NumRows()
				nulls += b.Column(0).NullN()
				for _, text := range rowsOf(b.Column(0)) {
					digest.Write([]byte(text + "\n"))
				}
				if err := array.ValidateFull(b.Column(0)); err != nil {
					t.Errorf("column %d: arrow-go's own validation: %v", c, err)
				}
				return nil
			}); err != nil {
				t.Errorf("column %d of type %s: %v", c, r.Schema().Field(c).Type, err)
			}
		}
		if got := hex.EncodeToString(digest.Sum(nil)); strconv.FormatInt(rows, 10) != line[1] || strconv.Itoa(nulls) != line[4] || got != line[5] {
			t.Errorf("column %d of type %s, pieces of %d bytes: rows, nulls, digest = %d, %d, %s; pyarrow has %q", c, r.Schema().Field(c).Type, chunk, rows, nulls, got, line)
		}
		if batches > len(r.Spans()) {
			cut = append(cut, r.Schema().Field(c).Type.ID())
		}
	}
	return cut
}

// Columns that pyarrow wrote have pyarrow's values where they are read in pieces: of one
// row, which begin anywhere in a byte of bits, and of some.
func TestExpectedInPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	files := expected(t, "testdata/pyarrow.tsv")
	cut := map[string][]arrow.Type{}
	for name := range seeds(t) {
		path := filepath.Join("testdata/pyarrow", name)
		for _, chunk := range []int64{1, 60, 300} {
			cut[name] = append(cut[name], compareCut(t, path, chunk, 1, files[name])...)
		}
		compareCut(t, path, 60, manyPieceColumns, files[name])
	}
	for _, name := range []string{"all.arrow", "all-lz4.arrow", "all-zstd.stream"} {
		for _, kind := range []arrow.Type{
			arrow.BOOL, arrow.FLOAT32, arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST,
			arrow.STRUCT, arrow.MAP, arrow.DICTIONARY,
		} {
			if !slices.Contains(cut[name], kind) {
				t.Errorf("%s: no column of type %s came in pieces", name, kind)
			}
		}
	}
}

// The format project's own files have pyarrow's values in pieces, too.
func TestCorporaInPieces(t *testing.T) {
	root := corpora(t, "arrow-ipc-good")
	want := expected(t, "testdata/corpora.tsv")
	var cut, swapped []arrow.Type
	for _, name := range arrowFiles(t, root) {
		path := filepath.Join(root, name)
		kinds := compareCut(t, path, 100, 1, want[name])
		cut = append(cut, kinds...)
		if strings.Contains(name, "bigendian") {
			swapped = append(swapped, kinds...)
		}
	}
	for _, kinds := range [][]arrow.Type{cut, swapped} {
		if !slices.Contains(kinds, arrow.STRING) || !slices.Contains(kinds, arrow.LIST) {
			t.Errorf("columns of types %v came in pieces; want texts and lists among them", kinds)
		}
	}
}

// A flipped bit is found out in pieces as it is in the whole batch, by the same words.
// Which error comes first may differ where one bit makes several.
func TestDamageInPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	path := filepath.Join(t.TempDir(), "flipped.arrow")
	random := rand.New(rand.NewPCG(7, 8))
	refused := 0
	for _, name := range []string{"all.arrow", "all-v4.arrow", "all-lz4.arrow", "all-zstd.stream", "delta.arrow", "replaced.stream"} {
		data := seeds(t)[name]
		for range flips {
			broken := slices.Clone(data)
			at, bit := random.IntN(len(broken)), byte(1)<<random.IntN(8)
			broken[at] ^= bit
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			whole, pieces := columnErrors(t, path, 1<<40), columnErrors(t, path, 1)
			for c := range whole {
				if frame := frameError(whole[c]); whole[c] != pieces[c] && (frame == "" || frame != frameError(pieces[c])) {
					t.Errorf("%s, byte %d, bit %#x, column %d: %q in pieces; %q whole", name, at, bit, c, pieces[c], whole[c])
				}
				if whole[c] != "" {
					refused++
				}
			}
		}
	}
	if refused == 0 {
		t.Error("the flips hit nothing")
	}
}

// frameError is what an error of a frame, which decoders put into words of their own, begins
// with; empty of other errors.
func frameError(text string) string {
	for _, codec := range []string{"lz4 ", "zstd"} {
		if at := strings.Index(text, ": "+codec); at >= 0 {
			return text[:at+len(codec)]
		}
	}
	return ""
}

// FuzzPieces reads any bytes whole and in pieces: both give rows, or both an error.
//
//	go test -run '^$' -fuzz FuzzPieces -fuzztime 60s -fuzzminimizetime 10x ./io/arrowfile
func FuzzPieces(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	path := filepath.Join(f.TempDir(), "fuzz.arrow")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		whole, pieces := columnErrors(t, path, 1<<40), columnErrors(t, path, 1)
		for c := range whole {
			if (whole[c] == "") != (pieces[c] == "") {
				t.Errorf("column %d: %q in pieces; %q whole", c, pieces[c], whole[c])
			}
		}
	})
}

// Rows far larger than others make small pieces, and those after them are as large as
// before; all of them but the last begin at a multiple of their rows.
func TestPiecesByBytes(t *testing.T) {
	const rows, chunk = 1000, 4 << 10
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	defer texts.Release()
	lists := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64)
	defer lists.Release()
	for i := range rows {
		long := 1
		if i == 300 || i == 301 || i == 999 {
			long = 1000
		}
		texts.Append(strings.Repeat("x", long))
		lists.Append(true)
		for range long {
			lists.ValueBuilder().(*array.Int64Builder).Append(int64(i))
		}
	}
	for _, column := range []arrow.Array{texts.NewArray(), lists.NewArray()} {
		defer column.Release()
		field := arrow.Field{Name: "c", Type: column.DataType()}
		batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, rows)
		defer batch.Release()
		r := mustOpen(t, file(t, ipcFile(t, batch)), format.ReadOptions{HeldBytes: 1, ChunkBytes: chunk})
		at, most := int64(0), int64(0)
		if err := r.ReadSpan(t.Context(), 0, []int{0}, func(b arrow.RecordBatch) error {
			n, size := b.NumRows(), bytesIn(b.Column(0).Data())
			if size > 2*chunk && n > 1 {
				t.Errorf("%s: %d rows from row %d on have %d bytes", field.Type, n, at, size)
			}
			if at+n < rows && (n&-n != n || at%n != 0) {
				t.Errorf("%s: %d rows from row %d on", field.Type, n, at)
			}
			at, most = at+n, max(most, n)
			return nil
		}); err != nil || at != rows || most < 64 {
			t.Errorf("%s: %d rows, at most %d a piece: %v", field.Type, at, most, err)
		}
	}
}

// bytesIn is the size of an array's buffers.
func bytesIn(d arrow.ArrayData) (size int) {
	for _, b := range d.Buffers() {
		if b != nil {
			size += b.Len()
		}
	}
	for _, c := range d.Children() {
		size += bytesIn(c)
	}
	return size
}

// Offsets of lists, and of texts within them, have the errors that they have in a whole
// batch; those of texts that no list has, too.
func TestDamagedOffsetsInPieces(t *testing.T) {
	int32s := func(values ...int32) []byte { return arrow.Int32Traits.CastToBytes(values) }
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
	defer b.Release()
	for _, list := range [][]string{{"a", "b"}, {"c", "d"}} {
		b.Append(true)
		b.ValueBuilder().(*array.StringBuilder).AppendValues(list, nil)
	}
	column := b.NewArray()
	defer column.Release()
	field := arrow.Field{Name: "c", Type: column.DataType()}
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, 2)
	defer batch.Release()
	// Of a compressed batch, whose buffers are not worth it, offsets are checked at once.
	stored, squeezed := ipcFile(t, batch), ipcFile(t, batch, ipc.WithLZ4(), ipc.WithMinSpaceSavings(0.99))
	for _, c := range []struct {
		lists, texts []int32
		want         string
	}{
		{[]int32{0, 2, 4}, []int32{0, 1, 2, 3, 4}, ""},
		{[]int32{1, 2, 3}, []int32{0, 1, 2, 3, 4}, ""},
		{[]int32{1, 2, 3}, []int32{5, 1, 2, 3, 4}, "offset 1 is 1 after 5"},
		{[]int32{1, 2, 3}, []int32{0, 1, 2, 3, 1}, "offset 4 is 1 after 3"},
		{[]int32{0, 2, 5}, []int32{0, 1, 2, 3, 4}, "lists end at value 5 of 4"},
		{[]int32{3, 2, 5}, []int32{0, 1, 2, 3, 4}, "offset 1 is 2 after 3"},
		{[]int32{0, 7, 4}, []int32{0, 1, 2, 3, 4}, "offset 2 is 4 after 7"},
		{[]int32{-1, 2, 4}, []int32{0, 1, 2, 3, 4}, "the first offset is -1"},
		{[]int32{0, 2, -4}, []int32{0, 1, 2, 3, 4}, "offset 2 is -4 after 2"},
		{[]int32{0, 2, 4}, []int32{0, 1, 2, 3, 999}, "a buffer has"},
		{[]int32{0, 2, 4}, []int32{0, 3, 2, 3, 999}, "offset 2 is 2 after 3"},
	} {
		for _, data := range [][]byte{stored, squeezed} {
			broken := bytes.Replace(data, int32s(0, 2, 4), int32s(c.lists...), 1)
			broken = bytes.Replace(broken, int32s(0, 1, 2, 3, 4), int32s(c.texts...), 1)
			path := file(t, broken)
			for _, held := range []int64{1, 1 << 40} {
				if got := columnErrors(t, path, held)[0]; (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
					t.Errorf("offsets %v and %v, held %d: %q; want %q", c.lists, c.texts, held, got, c.want)
				}
			}
		}
	}
}

// Views of null rows may hold anything; those of others reach any of several buffers.
func TestViewsInPieces(t *testing.T) {
	texts := []string{"a text beside its view", "", "short", "another one that is long", "a text beside its view"}
	view := func(text string, buffer, offset int32) []byte {
		v := binary.NativeEndian.AppendUint32(nil, uint32(len(text)))
		if len(text) <= inlineBytes {
			return append(append(v, text...), make([]byte, inlineBytes-len(text))...)
		}
		v = append(v, text[:4]...)
		v = binary.NativeEndian.AppendUint32(v, uint32(buffer))
		return binary.NativeEndian.AppendUint32(v, uint32(offset))
	}
	views := slices.Concat(view(texts[0], 2, 3), bytes.Repeat([]byte{0x7f}, viewBytes), view(texts[2], 0, 0), view(texts[3], 0, 1), view(texts[4], 2, 3))
	buffers := []*memory.Buffer{
		memory.NewBufferBytes([]byte{0b11101}), memory.NewBufferBytes(views),
		memory.NewBufferBytes([]byte("." + texts[3])), memory.NewBufferBytes([]byte("nobody's")), memory.NewBufferBytes([]byte("..." + texts[0])),
	}
	data := array.NewData(arrow.BinaryTypes.StringView, len(texts), buffers, nil, 1, 0)
	defer data.Release()
	column := array.MakeFromData(data)
	defer column.Release()
	field := arrow.Field{Name: "c", Type: column.DataType(), Nullable: true}
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, int64(len(texts)))
	defer batch.Release()
	path := file(t, ipcFile(t, batch))
	for _, chunk := range []int64{1, 60} {
		r := mustOpen(t, path, format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: chunk})
		var got []string
		if err := r.ReadSpan(t.Context(), 0, []int{0}, func(b arrow.RecordBatch) error {
			c := b.Column(0).(*array.StringView)
			for i := range c.Len() {
				if got = append(got, c.Value(i)); c.IsNull(i) != (len(got) == 2) {
					t.Errorf("row %d is null: %v", len(got)-1, c.IsNull(i))
				}
			}
			if size := bytesIn(c.Data()); c.Len() == 1 && size > viewBytes+1+len(texts[3]) {
				t.Errorf("row %d holds %d bytes", len(got)-1, size)
			}
			return nil
		}); err != nil || !slices.Equal(got, texts) {
			t.Errorf("pieces of %d bytes: %q, %v; want %q", chunk, got, err, texts)
		}
	}
}

// Texts that lie scattered in their buffers are copied, short ones from the mapping and long
// ones, and those of many columns, from the file; compressed ones from where they are
// decompressed to, several at a time where they lie near.
func TestScatteredViewsInPieces(t *testing.T) {
	const rows = 2000
	text, headers := make([]byte, 1<<10*rows), []byte(nil)
	textOf := func(row int) string {
		return fmt.Sprintf("the text of row %d of %d", row, rows) + strings.Repeat(".", row%7/6*longText)
	}
	for row := range rows {
		at := 1 << 10 * (row * 37 % rows) // far from that of the row before
		copy(text[at:], textOf(row))
		headers = binary.NativeEndian.AppendUint32(headers, uint32(len(textOf(row))))
		headers = append(headers, textOf(row)[:4]...)
		headers = binary.NativeEndian.AppendUint32(headers, 0)
		headers = binary.NativeEndian.AppendUint32(headers, uint32(at))
	}
	data := array.NewData(arrow.BinaryTypes.StringView, rows, []*memory.Buffer{nil, memory.NewBufferBytes(headers), memory.NewBufferBytes(text)}, nil, 0, 0)
	defer data.Release()
	column := array.MakeFromData(data)
	defer column.Release()
	field := arrow.Field{Name: "c", Type: column.DataType()}
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, rows)
	defer batch.Release()
	for _, k := range []struct {
		times, chunk int
		options      []ipc.Option
	}{{1, 16 << 10, nil}, {manyPieceColumns, 16 << 10, nil}, {1, 16 << 10, []ipc.Option{ipc.WithLZ4()}}, {1, 1 << 20, []ipc.Option{ipc.WithZstd()}}} {
		times := k.times
		r := mustOpen(t, file(t, ipcFile(t, batch, k.options...)), format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: int64(times * k.chunk)})
		row := 0
		if err := r.ReadSpan(t.Context(), 0, slices.Repeat([]int{0}, times), func(b arrow.RecordBatch) error {
			c := b.Column(times - 1).(*array.StringView)
			for i := range c.Len() {
				if c.Value(i) != textOf(row) {
					t.Errorf("row %d = %q; want %q", row, c.Value(i), textOf(row))
				}
				row++
			}
			if size := bytesIn(c.Data()); size > 2*k.chunk {
				t.Errorf("%d rows before row %d hold %d bytes", c.Len(), row, size)
			}
			return nil
		}); err != nil || row != rows {
			t.Errorf("%d rows, %v; want %d", row, err, rows)
		}
	}
}

// columnErrors reads each column of a file alone and gives their errors; of a file that
// does not open its one.
func columnErrors(t *testing.T, path string, held int64) (errs []string) {
	t.Helper()
	known := func(err error) string {
		if err == nil {
			return ""
		}
		kind := errors.Is(err, format.ErrDamaged) || errors.Is(err, format.ErrUnsupported) || errors.Is(err, format.ErrBudget)
		if !kind || !bytes.Contains([]byte(err.Error()), []byte(path)) {
			t.Errorf("error %q is of no known kind or does not name the file", err)
		}
		return err.Error()
	}
	r, err := Open(path, format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: held, ChunkBytes: 40, BudgetBytes: 64 << 20})
	if err != nil {
		return []string{known(err)}
	}
	defer r.Close()
	for c := range r.Schema().NumFields() {
		var failed error
		for span := range r.Spans() {
			if failed = r.ReadSpan(t.Context(), span, []int{c}, func(b arrow.RecordBatch) error {
				look(b)
				return nil
			}); failed != nil {
				break
			}
		}
		errs = append(errs, known(failed))
	}
	return errs
}
