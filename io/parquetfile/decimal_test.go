package parquetfile

import (
	"bytes"
	"math/big"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"pgregory.net/rapid"
)

// twosComplement is an integer in size bytes, big endian; ok is false where it does not fit.
func twosComplement(v *big.Int, size int) (b []byte, ok bool) {
	bits := uint(8 * size)
	if v.Sign() >= 0 && v.BitLen() >= int(bits) || v.Sign() < 0 && new(big.Int).Not(v).BitLen() >= int(bits) {
		return nil, false
	}
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), bits))
	}
	return v.FillBytes(make([]byte, size)), true
}

// Integers of every width become those of 16 and 32 bytes that math/big says, or an error
// where they are too large.
func TestPropertyDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.OneOf(rapid.IntRange(1, 18), rapid.IntRange(1, 40)).Draw(t, "from")
		width := rapid.SampledFrom([]int{16, 32}).Draw(t, "width")
		src, want := make([]byte, 0, 5*from), make([]byte, 0, 5*width)
		fits := true
		for range rapid.IntRange(1, 5).Draw(t, "values") {
			raw := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 0x7f, 0x80, 0xff, 0xff, 0x5a}), from, from).Draw(t, "bytes")
			for i := range rapid.IntRange(0, from).Draw(t, "sign bytes") {
				raw[i] = byte(int8(raw[from-1]) >> 7)
			}
			v := new(big.Int).SetBytes(raw)
			if raw[0] >= 0x80 {
				v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*from)))
			}
			wide, ok := twosComplement(v, width)
			fits = fits && ok
			slices.Reverse(wide)
			src, want = append(src, raw...), append(want, wide...)
		}
		out := make([]byte, len(src)/from*width)
		err := decimals(out, width, src, from, parquet.Types.FixedLenByteArray)
		if (err == nil) != fits || fits && !bytes.Equal(out, want) {
			t.Fatalf("decimals(%x) of %d bytes in %d = %x, %v; want %x", src, from, width, out, err, want)
		}
	})
}
