package filter

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Rows of views are those that slices join, and what their texts lie in is shared once, not for
// each row: a batch of which every other row passes would have thousands of buffers.
func TestTakenViews(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	b := array.NewStringViewBuilder(memory.DefaultAllocator)
	defer b.Release()
	for range 3000 {
		if random.IntN(8) == 0 {
			b.AppendNull()
		} else {
			b.Append(strings.Repeat("é", random.IntN(20)))
		}
	}
	whole := b.NewArray()
	defer whole.Release()
	for _, from := range []int64{0, 5} {
		a := array.NewSlice(whole, from, int64(whole.Len()))
		defer a.Release()
		rows := []int32{}
		for row := range int32(a.Len()) {
			if random.IntN(2) == 0 {
				rows = append(rows, row)
			}
		}
		got, err := TakeRows(a, rows)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		want, err := joined(a, rows)
		if err != nil {
			t.Fatal(err)
		}
		defer want.Release()
		if !array.Equal(got, want) || got.NullN() != want.NullN() {
			t.Errorf("rows from %d on: TakeRows = %v; want %v", from, got, want)
		}
		if n := len(got.Data().Buffers()); n != len(a.Data().Buffers()) {
			t.Errorf("rows from %d on: %d buffers; want %d", from, n, len(a.Data().Buffers()))
		}
	}
}
