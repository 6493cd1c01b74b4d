package parquetfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// soiled gives memory with something in it, as a recycler does.
type soiled struct{ memory.GoAllocator }

func (s *soiled) Allocate(size int) []byte {
	buf := s.GoAllocator.Allocate(size)
	copy(buf, bytes.Repeat([]byte{0xff, 0xfe, 0xff, 0x1f, 0xef}, size/5+1))
	return buf
}

func (s *soiled) Reallocate(size int, buf []byte) []byte {
	grown := s.Allocate(size)
	copy(grown, buf)
	return grown
}

// Nulls that the library makes are nulls, whatever was in the memory that they are made in.
func TestNullsInUsedMemory(t *testing.T) {
	mem := &soiled{}
	triple := arrow.FixedSizeListOf(3, arrow.BinaryTypes.String)
	schema := arrow.NewSchema([]arrow.Field{{Name: "none", Type: arrow.Null, Nullable: true}}, nil)
	lists := arrow.NewSchema([]arrow.Field{{Name: "lists", Type: triple, Nullable: true}}, nil)
	for _, of := range []struct {
		schema *arrow.Schema
		column arrow.Array
	}{
		{schema, array.NewNull(1000)},
		{lists, fromJSON(t, memory.DefaultAllocator, triple, `[null, ["a", "b", "c"], null, null, ["d", null, "e"]]`)},
	} {
		batch := array.NewRecordBatch(of.schema, []arrow.Array{of.column}, int64(of.column.Len()))
		defer batch.Release()
		path := filepath.Join(t.TempDir(), "f.parquet")
		if err := writeTo(path, format.WriteOptions{Allocator: mem}, batch); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		nulls := int64(0)
		for _, g := range openLibrary(t, data).MetaData().RowGroups {
			nulls += g.Columns[0].MetaData.Statistics.GetNullCount()
		}
		r, err := Open(path, format.ReadOptions{Allocator: mem})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := readAll(r, []int{0}, 1000, memory.NewCheckedAllocator(memory.DefaultAllocator))
		if err != nil {
			t.Fatal(err)
		}
		if !array.Equal(got[0], of.column) {
			t.Errorf("%s: read %v", of.schema, got[0])
		}
		if of.schema == schema && nulls != 1000 {
			t.Errorf("%d values are nulls in the file; want all 1000", nulls)
		}
	}
}

// The bits after the last of a bitmap are zero, whatever was in the memory: what writes them
// out writes the same bytes each time.
func TestBitsAfterTheLastInUsedMemory(t *testing.T) {
	inner := arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32)
	column := fromJSON(t, memory.DefaultAllocator, inner, `[[1, 2, 3], null, [4, null, 6]]`)
	defer column.Release()
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "c", Type: inner, Nullable: true}}, nil), []arrow.Array{column}, 3)
	defer batch.Release()
	path := filepath.Join(t.TempDir(), "f.parquet")
	if err := writeTo(path, format.WriteOptions{}, batch); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, format.ReadOptions{Allocator: &soiled{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = r.ReadSpan(t.Context(), 0, []int{0}, func(b arrow.RecordBatch) error {
		lists := b.Column(0).Data()
		for _, d := range []arrow.ArrayData{lists, lists.Children()[0]} {
			bits := d.Buffers()[0].Bytes()
			if last := bits[len(bits)-1] >> (d.Len() % 8); last != 0 {
				t.Errorf("%d bits of %s end in %08b", d.Len(), d.DataType(), bits[len(bits)-1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
