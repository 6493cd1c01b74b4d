package postgres

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A float16 below 2^-14 is as many times 2^-24 as its bits say.
func TestShortestTextOfHalves(t *testing.T) {
	b := array.NewFloat16Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues([]float16.Num{float16.FromBits(1), float16.FromBits(0x8200)}, nil)
	a := b.NewArray()
	defer a.Release()
	text := shortestText(a)
	for row, want := range []string{"5.9604645e-08", "-3.0517578e-05"} {
		if got := string(text(nil, row)); got != want {
			t.Errorf("row %d: %s; want %s", row, got, want)
		}
	}
}
