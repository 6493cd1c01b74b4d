package feature

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// slowWritten is a floating number as strconv writes it, as a decimal from 1e-6 on and below 1e21.
func slowWritten(v float64, bits int) string {
	if size := math.Abs(v); size >= 1e-6 && size < 1e21 {
		return strconv.FormatFloat(v, 'f', -1, bits)
	}
	text := strconv.FormatFloat(v, 'e', -1, bits)
	return strings.Replace(text, "e-0", "e-", 1)
}

// TestFloatsAreWrittenAsByStrconv: floating numbers have the digits that strconv gives them, whether
// they have few decimals or many.
func TestFloatsAreWrittenAsByStrconv(t *testing.T) {
	t.Parallel()
	w, random := newWriter(), rand.New(rand.NewPCG(1, 2))
	check := func(v float64) {
		t.Helper()
		if v-v != 0 || v == 0 {
			return
		}
		for _, v := range []float64{v, -v} {
			if got, want := string(w.float(w.texts[:0], v, 64)), slowWritten(v, 64); got != want {
				t.Fatalf("float(%x) = %s; want %s", v, got, want)
			}
			single := float64(float32(v))
			if single == 0 || single-single != 0 {
				return
			}
			if got, want := string(w.float(w.texts[:0], single, 32)), slowWritten(single, 32); got != want {
				t.Fatalf("float(%x) of 32 bits = %s; want %s", single, got, want)
			}
		}
	}
	for e := -330; e < 309; e++ {
		for _, digits := range []string{"1", "12", "12345678", "123456789012345", "1234567890123456", "1.7976931348623157", "9.9999999999999999"} {
			v, _ := strconv.ParseFloat(digits+"e"+strconv.Itoa(e), 64)
			check(v)
			check(math.Nextafter(v, 0))
		}
	}
	for range 50_000 {
		check(math.Float64frombits(random.Uint64()))
		check(float64(math.Float32frombits(random.Uint32())))
		check(random.NormFloat64())
		v := float64(random.Int64N(1e16)) / math.Pow10(random.IntN(12)) / math.Pow10(random.IntN(12))
		check(v)
		check(math.Nextafter(v, 0))
	}
	for text, v := range map[string]float64{"0": math.Copysign(0, -1), "NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)} {
		if got := string(w.float(w.texts[:0], v, 64)); got != text {
			t.Errorf("float(%v) = %s; want %s", v, got, text)
		}
	}
}

// TestBuckets: hashes of short texts are those of the library, and a bucket is what is left of a
// division.
func TestBuckets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 32 {
		for range 200 {
			text := make([]byte, n+8)
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			seed := uint64(random.Uint32() >> random.IntN(32))
			digest := xxhash.NewWithSeed(seed)
			_, _ = digest.Write(text[:n])
			if got, want := shortXXH64(text[:n], seed), digest.Sum64(); got != want {
				t.Fatalf("shortXXH64(%x, %d) = %x; want %x", text[:n], seed, got, want)
			}
		}
	}
	for range 20_000 {
		count := 1 + random.IntN(math.MaxInt32)>>random.IntN(31)
		b := (&Hash{Buckets: count}).newBuckets()
		for _, hash := range []uint64{0, 1, uint64(count) - 1, uint64(count), random.Uint64(), math.MaxUint64, math.MaxUint64 / uint64(count) * uint64(count), math.MaxUint64/uint64(count)*uint64(count) - 1} {
			if got, want := b.of(hash), int32(hash%uint64(count)); got != want {
				t.Fatalf("%d mod %d is %d; want %d", hash, count, got, want)
			}
		}
	}
}
