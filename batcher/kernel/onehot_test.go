package kernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"pgregory.net/rapid"
)

func TestSetOneHot(t *testing.T) {
	checkOneHot[float32, int32](t)
	checkOneHot[float32, int16](t)
	checkOneHot[float64, int8](t)
	checkOneHot[uint16, uint8](t)
	checkOneHot[uint8, int64](t)
}

// checkOneHot compares rows with those that a loop over all values makes; codes are
// sometimes not in the table, and some are negative.
func checkOneHot[D Number, I Integer](t *testing.T) {
	t.Helper()
	var to D
	var code I
	t.Run(fmt.Sprintf("code=%T/to=%T", code, to), rapid.MakeCheck(func(t *rapid.T) {
		n, r := drawSize(t), drawRandom(t)
		width := rapid.SampledFrom([]int{1, 2, 3, 12, 300, 2*oneHotBytes + 1}).Draw(t, "width")
		if width > oneHotBytes {
			n = min(n, 3)
		}
		stride := width + rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "gap")
		h := &OneHot[D]{Width: width, One: 7, Slots: make([]int32, rapid.IntRange(0, 100).Draw(t, "codes")), Null: int32(r.IntN(width+1) - 1)}
		for i := range h.Slots {
			h.Slots[i] = int32(r.IntN(width+1) - 1)
		}
		codes := Codes[I]{Index: make([]I, n)}
		for i := range codes.Index {
			codes.Index[i] = I(r.IntN(120) - 10)
		}
		if rapid.Bool().Draw(t, "nulls") {
			codes.Validity, codes.Bit = drawBits(t, n)
		}
		got := make([]D, n*stride+1)
		for i := range got {
			got[i] = 9 // as it was before
		}
		want := slices.Clone(got)
		for i := range n {
			slot := int32(-1)
			if codes.Validity != nil && !bitutil.BitIsSet(codes.Validity, codes.Bit+i) {
				slot = h.Null
			} else if c := int64(codes.Index[i]); c >= 0 && c < int64(len(h.Slots)) {
				slot = h.Slots[c]
			}
			for k := range width {
				want[i*stride+k] = 0
				if int32(k) == slot {
					want[i*stride+k] = 7
				}
			}
		}
		SetOneHot(got, stride, codes, h)
		if !slices.Equal(got, want) {
			t.Fatalf("SetOneHot(stride %d, %v, %+v) = %v; want %v", stride, codes, h, got, want)
		}
	}))
}
