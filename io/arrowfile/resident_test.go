package arrowfile

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped/mappedtest"
)

// The pages of record batches that were decompressed are given back, though nobody ever had
// a view of them: a file's mapping does not stay in memory.
func TestDecompressedPagesAreGivenBack(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	path := filepath.Join(t.TempDir(), "compressed.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema), ipc.WithLZ4())
	if err != nil {
		t.Fatal(err)
	}
	const batches, rows = 96, 1 << 18 // of which half are zeros: 1 MiB and more each
	rng := rand.New(rand.NewPCG(1, 2))
	for range batches {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for range rows {
			b.Field(0).(*array.Int64Builder).Append(int64(rng.Uint32()))
		}
		record := b.NewRecordBatch()
		if err := w.Write(record); err != nil {
			t.Fatal(err)
		}
		record.Release()
		b.Release()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for span := range r.Spans() {
		if err := r.ReadSpan(t.Context(), span, []int{0}, func(arrow.RecordBatch) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, most := int64(mappedtest.Resident(t, path))<<10, int64(undroppedBytes+4<<20); got > most || info.Size() < 4*most {
		t.Errorf("%d of %d MiB of the file are resident; want %d at most", got>>20, info.Size()>>20, most>>20)
	}
}
