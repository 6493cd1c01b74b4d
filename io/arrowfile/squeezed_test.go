package arrowfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
)

// textsAndLists has texts, lists of float32 with nulls, whose buffers are several steps of a
// flow, and a column of a fixed width, between them.
func textsAndLists(rows int) arrow.RecordBatch {
	random := rand.New(rand.NewPCG(9, 10))
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	defer texts.Release()
	numbers := array.NewInt64Builder(memory.DefaultAllocator)
	defer numbers.Release()
	lists := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Float32)
	defer lists.Release()
	for row := range rows {
		if random.IntN(10) == 0 {
			texts.AppendNull()
			lists.AppendNull()
		} else {
			texts.Append(strconv.Itoa(row) + strings.Repeat(" and so on", random.IntN(100)))
			lists.Append(true)
			for range random.IntN(200) {
				lists.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{random.Float32()}, []bool{random.IntN(9) > 0})
			}
		}
		numbers.Append(int64(row))
	}
	columns := []arrow.Array{texts.NewArray(), numbers.NewArray(), lists.NewArray()}
	fields := make([]arrow.Field, 0, len(columns))
	for i, c := range columns {
		defer c.Release()
		fields = append(fields, arrow.Field{Name: strconv.Itoa(i), Type: c.DataType(), Nullable: true})
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(rows))
}

// Compressed texts and lists have the rows that were written: of buffers larger than what is
// decompressed at a time, and where some buffers were not worth it and lie as they are.
func TestSqueezedBatchesComeInPieces(t *testing.T) {
	const rows = 4001
	want := textsAndLists(rows)
	defer want.Release()
	for _, c := range []struct {
		what    string
		options []ipc.Option
	}{
		{"lz4", []ipc.Option{ipc.WithLZ4()}},
		{"zstd", []ipc.Option{ipc.WithZstd()}},
		{"lz4 of texts, the floats as they are", []ipc.Option{ipc.WithLZ4(), ipc.WithMinSpaceSavings(0.5)}},
		{"zstd of texts, the floats as they are", []ipc.Option{ipc.WithZstd(), ipc.WithMinSpaceSavings(0.5)}},
	} {
		r := mustOpen(t, file(t, ipcFile(t, want, c.options...)), format.ReadOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: 64 << 10})
		at, pieces := int64(0), 0
		if err := r.ReadSpan(t.Context(), 0, []int{2, 0, 1}, func(b arrow.RecordBatch) error {
			for i, from := range []int{2, 0, 1} {
				piece := array.NewSlice(want.Column(from), at, at+b.NumRows())
				if got := b.Column(i); !array.Equal(got, piece) || got.NullN() != piece.NullN() || got.Data().Offset() != 0 {
					t.Errorf("%s: column %d from row %d on differs", c.what, from, at)
				}
				piece.Release()
			}
			at += b.NumRows()
			pieces++
			return nil
		}); err != nil || at != rows || pieces < 10 {
			t.Errorf("%s: %d rows in %d pieces, %v; want %d", c.what, at, pieces, err, rows)
		}
	}
}

// What a batch takes when it is decompressed decides whether it comes in pieces, not what
// it takes in the file; so do sizes of values.
func TestSqueezedBatchesAreMeasuredDecompressed(t *testing.T) {
	const rows, long = 500, 1000
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	defer texts.Release()
	for range rows {
		texts.Append(strings.Repeat("x", long))
	}
	column := texts.NewArray()
	defer column.Release()
	field := arrow.Field{Name: "c", Type: column.DataType()}
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, rows)
	defer batch.Release()
	for _, c := range []struct {
		held int64
		cut  bool
	}{{rows * long / 2, true}, {rows * long * 2, false}} {
		for what, options := range map[string][]ipc.Option{"none": nil, "lz4": {ipc.WithLZ4()}, "zstd": {ipc.WithZstd()}, "as it is": {ipc.WithZstd(), ipc.WithMinSpaceSavings(1)}} {
			r := mustOpen(t, file(t, ipcFile(t, batch, options...)), format.ReadOptions{HeldBytes: c.held, ChunkBytes: 16 * long})
			pieces := 0
			if err := r.ReadSpan(t.Context(), 0, []int{0}, func(arrow.RecordBatch) error {
				pieces++
				return nil
			}); err != nil || pieces > 1 != c.cut {
				t.Errorf("%s: %d pieces where %d bytes are held, %v; want several: %v", what, pieces, c.held, err, c.cut)
			}
			if got := r.ValueBytes(0); got < long || got > long+8 {
				t.Errorf("%s: a text has %d bytes; want %d, and its offset", what, got, long)
			}
		}
	}
}

// A buffer without bytes may be said to lie anywhere.
func TestEmptyBuffersLieNowhere(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	for row := range 300 {
		b.Append(fmt.Sprint("row ", row))
	}
	column := b.NewArray()
	defer column.Release()
	field := arrow.Field{Name: "c", Type: column.DataType()}
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field}, nil), []arrow.Array{column}, 300)
	defer batch.Release()
	for what, options := range map[string][]ipc.Option{"none": nil, "lz4": {ipc.WithLZ4()}} {
		data := ipcFile(t, batch, options...)
		r := mustOpen(t, file(t, data), format.ReadOptions{})
		meta, err := r.layout.batches[0].at(data)
		if err != nil || meta.buffers[0].length != 0 {
			t.Fatalf("validity of %v, %v", meta.buffers[0], err)
		}
		extents := func(validity int64) []byte {
			e := binary.LittleEndian.AppendUint64(nil, uint64(validity))
			e = binary.LittleEndian.AppendUint64(e, 0)
			e = binary.LittleEndian.AppendUint64(e, uint64(meta.buffers[1].offset))
			return binary.LittleEndian.AppendUint64(e, uint64(meta.buffers[1].length))
		}
		path := file(t, bytes.Replace(data, extents(0), extents(1<<40), 1))
		for _, held := range []int64{1, 1 << 40} {
			if got := columnErrors(t, path, held)[0]; got != "" {
				t.Errorf("%s, held %d: %s", what, held, got)
			}
		}
	}
}

// Memory holds neither a decompressed buffer nor a large part of it.
func TestSqueezedBuffersAreNotHeld(t *testing.T) {
	want := textsAndLists(8000)
	defer want.Release()
	for what, option := range map[string]ipc.Option{"lz4": ipc.WithLZ4(), "zstd": ipc.WithZstd()} {
		data := ipcFile(t, want, option)
		const budget = 512 << 10 // the floats alone have 3 MB
		r := mustOpen(t, file(t, data), format.ReadOptions{HeldBytes: 1, ChunkBytes: 32 << 10, BudgetBytes: budget})
		rows := int64(0)
		if err := r.ReadSpan(t.Context(), 0, all(r), func(b arrow.RecordBatch) error {
			rows += b.NumRows()
			return nil
		}); err != nil || rows != want.NumRows() {
			t.Errorf("%s: %d rows within a budget of %d bytes: %v", what, rows, budget, err)
		}
	}
}

// Frames have windows of up to 128 MiB, as zstd makes them at its highest level.
func TestFlowTakesWideWindows(t *testing.T) {
	text := bytes.Repeat([]byte("a window that is wide "), 100_000)
	var frame bytes.Buffer
	w, err := zstd.NewWriter(&frame, zstd.WithWindowSize(128<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var f flow
	defer f.close()
	from, err := f.open(&loader{meta: &batchMeta{codec: codecZSTD}}, bytes.NewReader(frame.Bytes()), false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(from); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
	}
}

// Of a buffer that holds more than its rows need, what they need is written, and the rest
// has to be there.
func TestFlowKeepsWhatRowsNeed(t *testing.T) {
	text := bytes.Repeat([]byte("what rows need "), 100_000)
	for _, kept := range []int64{1, flowBytes, 3*flowBytes + 7, int64(len(text))} {
		p := &pieces{}
		l := &loader{meta: &batchMeta{codec: codecLZ4}}
		if err := p.flow.into(p, l, flowing{stored: text, plain: true, size: int64(len(text)), kept: kept, word: bytesWord}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text)+1)
		if n, err := p.scratch.ReadAt(got, 0); int64(n) != kept || !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], text[:kept]) || p.size != kept {
			t.Errorf("%d bytes and a size of %d, %v; want %d", n, p.size, err, kept)
		}
		if err := p.flow.into(p, l, flowing{stored: text, plain: true, size: int64(len(text)) + 1, kept: kept, word: bytesWord}); !errors.Is(err, format.ErrDamaged) {
			t.Errorf("a byte more than there are: %v", err)
		}
		p.close()
	}
}
