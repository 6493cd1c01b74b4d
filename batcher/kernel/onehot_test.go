package kernel

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSetOneHot(t *testing.T) {
	checkOneHot[float32](t)
	checkOneHot[float64](t)
	checkOneHot[uint16](t)
	checkOneHot[uint8](t)
}

// checkOneHot compares rows with those that a loop over all values makes; some slots are
// no places in the row.
func checkOneHot[D Number](t *testing.T) {
	t.Helper()
	var to D
	t.Run(fmt.Sprintf("to=%T", to), rapid.MakeCheck(func(t *rapid.T) {
		n, r := drawSize(t), drawRandom(t)
		width := rapid.SampledFrom([]int{1, 2, 3, 12, 300, 2*oneHotBytes + 1}).Draw(t, "width")
		if width > oneHotBytes {
			n = min(n, 3)
		}
		gap := rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "gap")
		stride := width + gap
		slots := make([]int32, n)
		for i := range slots {
			slots[i] = int32(r.IntN(width+3) - 2)
		}
		got := make([]D, n*stride)
		for i := range got {
			got[i] = 9 // as it was before
		}
		if n > 0 {
			got = got[:n*stride-gap]
		}
		want := slices.Clone(got)
		for i, slot := range slots {
			for k := range width {
				want[i*stride+k] = 0
				if int32(k) == slot {
					want[i*stride+k] = 7
				}
			}
		}
		SetOneHot(got, stride, width, slots, 7)
		if !slices.Equal(got, want) {
			t.Fatalf("SetOneHot(stride %d, width %d, %v) = %v; want %v", stride, width, slots, got, want)
		}
	}))
}
