package parquetfile

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// deltasOf encodes values as one block of one miniblock of 32 differences, of width bits each.
func deltasOf(width int, least int64, values ...int64) []byte {
	page := []byte{128, 1, 4, byte(len(values))} // a block's values, its miniblocks, and the values of all
	page = binary.AppendVarint(page, values[0])
	page = append(binary.AppendVarint(page, least), byte(width), 0, 0, 0) // widths of the miniblocks
	packed := make([]byte, 32/8*width)
	for i := range values[1:] {
		delta := uint64(values[i+1] - values[i] - least)
		for bit := range width {
			packed[(i*width+bit)/8] |= byte(delta>>bit&1) << ((i*width + bit) % 8)
		}
	}
	return append(page, packed...)
}

// DuckDB takes differences of 32-bit values in 64 bits: they need up to 33, and the least is
// no value of 32 bits; other writers' wrap around. Both are read.
func TestDeltasOf32BitsMayBeWider(t *testing.T) {
	values := []int64{math.MaxInt32, math.MinInt32, math.MaxInt32, -1, 7}
	least := int64(math.MinInt32) - math.MaxInt32
	want := make([]uint32, len(values))
	for i, v := range values {
		want[i] = uint32(v)
	}
	for name, page := range map[string][]byte{
		"duckdb":      deltasOf(33, least, values...),
		"wraps round": deltasOf(32, math.MinInt32, values...),
	} {
		d, err := newDeltas(page, len(values))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint32, len(values))
		if err := decodeDeltas(&d, got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	d, err := newDeltas(deltasOf(65, 0, 1, 2), 2)
	if err == nil {
		err = decodeDeltas(&d, make([]uint32, 2))
	}
	if err == nil {
		t.Error("differences of 65 bits are read")
	}
}
