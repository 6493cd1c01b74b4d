package parquetfile

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Indices come back from runs and packed groups, of any width, and take no more room than
// was made for them.
func TestPropertyIndices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 20).Draw(t, "width")
		indices := make([]uint32, 0, 90)
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			v := uint32(rapid.Uint64Range(0, 1<<width-1).Draw(t, "value"))
			step := rapid.SampledFrom([]uint32{0, 0, 1}).Draw(t, "step")
			for range rapid.IntRange(1, 90).Draw(t, "length") {
				indices = append(indices, v&(1<<width-1))
				v += step
			}
		}
		room := make([]byte, 0, 1+indexBytes(len(indices), width))
		packed := appendHybrid(append(room, byte(width)), indices, width)
		if &packed[0] != &room[:1][0] {
			t.Fatalf("%d indices of %d bits take %d bytes; there was room for %d", len(indices), width, len(packed), cap(room))
		}
		from, err := openIndices(packed, true)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint32, len(indices))
		if err := decode(&from, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, indices) {
			t.Errorf("decoded %v; want %v", got, indices)
		}
	})
}
