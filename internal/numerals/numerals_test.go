package numerals

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// at places a text where eight bytes before and after it, which are digits too, may be
// read.
func at(text string) (padded []byte, from, to int) {
	return []byte("12345678" + text + "87654321"), Pad, Pad + len(text)
}

// sameFloat compares Float64 and Float32 with strconv's.
func sameFloat(t interface{ Fatalf(string, ...any) }, text string) {
	padded, from, to := at(text)
	want, err := strconv.ParseFloat(text, 64)
	if got, ok := Powers().Float64(padded, from, to); ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
		t.Fatalf("Powers().Float64(%q) = %v, %v; want %v, %v", text, got, ok, want, err)
	}
	want, err = strconv.ParseFloat(text, 32)
	if got, ok := Powers().Float32(padded, from, to); ok != (err == nil) || ok && math.Float32bits(got) != math.Float32bits(float32(want)) {
		t.Fatalf("Powers().Float32(%q) = %v, %v; want %v, %v", text, got, ok, want, err)
	}
}

func TestFloatsAreThoseOfStrconv(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		v := math.Float64frombits(random.Uint64())
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		sameFloat(t, strconv.FormatFloat(v, 'g', -1, 64))
		sameFloat(t, strconv.FormatFloat(v, 'e', random.IntN(25), 64))
		sameFloat(t, strconv.FormatFloat(float64(float32(random.NormFloat64())), 'f', random.IntN(20), 64))
		half := math.Float32frombits(random.Uint32()) // and the next: their middle, and what is just beside it
		middle := (float64(half) + float64(math.Nextafter32(half, 2*half))) / 2
		for _, v := range []float64{middle, math.Nextafter(middle, 0), math.Nextafter(middle, 2*middle)} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				sameFloat(t, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		sameFloat(t, strconv.FormatFloat(float64(random.IntN(2_000_000)-1_000_000)/1000, 'f', random.IntN(6), 64))
	}
	for _, text := range []string{
		"0", "-0", "0e99", "1e22", "1e23", "9007199254740993", "9007199254740992.5", "1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324", "2.4703282292062327e-324", "5e-324",
		"2.2250738585072011e-308", "2.2250738585072014e-308", "123456789012345678901234567890", "0.000000000000000000000000000000000001", "00000000000000000000000000001.5", ".5", "5.", "1e-400", "8.5e37", "3.4028236e38",
		"16777217", "0.1e-6", "1e+5", "7205759403792793199999e-5", "100000000000000016777215", "100000000000000016777216", "6.631236846766476e-316",
	} {
		sameFloat(t, text)
	}
	rapid.Check(t, func(r *rapid.T) {
		sameFloat(r, rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]{0,25})?(e[+-]?[0-9]{1,3})?`).Draw(r, "text"))
	})
}

func TestNotFloats(t *testing.T) {
	for _, text := range []string{"x", "1x", "1e", "1e+", "--1", "+-1", "1_000", "0x1p3", ".", "-", "1.2.3", "1,5", "nanx", "-nan", "1e5e5"} {
		padded, from, to := at(text)
		if v, ok := Powers().Float64(padded, from, to); ok {
			t.Errorf("Powers().Float64(%q) = %v; it is no number", text, v)
		}
	}
	for text, want := range map[string]float64{"inf": math.Inf(1), "-Infinity": math.Inf(-1), "+INF": math.Inf(1)} {
		padded, from, to := at(text)
		if v, ok := Powers().Float64(padded, from, to); !ok || v != want {
			t.Errorf("Powers().Float64(%q) = %v, %v; want %v", text, v, ok, want)
		}
	}
}

func TestIntegersAreThoseOfStrconv(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[+-]?[0-9]{1,22}`).Draw(r, "text")
		if rapid.Bool().Draw(r, "broken") {
			b := []byte(text)
			b[rapid.IntRange(0, len(b)-1).Draw(r, "at")] = rapid.SampledFrom([]byte("/:.x -\x00\xff")).Draw(r, "byte")
			text = string(b)
		}
		padded, from, to := at(text)
		want, err := strconv.ParseInt(text, 10, 64)
		if got, ok := Int64(padded, from, to); ok != (err == nil) || ok && got != want {
			r.Fatalf("Int64(%q) = %d, %v; want %d, %v", text, got, ok, want, err)
		}
		small, err := strconv.ParseInt(text, 10, 8)
		if got, ok := SmallInt[int8](padded, from, to); ok != (err == nil) || ok && int64(got) != small {
			r.Fatalf("SmallInt(%q) = %d, %v; want %d, %v", text, got, ok, small, err)
		}
	})
	for _, text := range []string{"18446744073709551615", "18446744073709551616", "0", "00000000000000000000000000000007", "99999999999999999999"} {
		padded, from, to := at(text)
		want, err := strconv.ParseUint(text, 10, 64)
		if got, ok := Uint64(padded, from, to); ok != (err == nil) || ok && got != want {
			t.Errorf("Uint64(%q) = %d, %v; want %d, %v", text, got, ok, want, err)
		}
	}
}

// shortestOf is what strconv writes, as digits and an exponent.
func shortestOf(v float64, bits int) (digits uint64, exponent int) {
	text := strconv.FormatFloat(v, 'e', -1, bits)
	mantissa, e, _ := strings.Cut(text, "e")
	exponent, _ = strconv.Atoi(e)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits, _ = strconv.ParseUint(whole+fraction, 10, 64)
	return digits, exponent - len(fraction)
}

func TestShortestIsThatOfStrconv(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	check := func(v float64) {
		t.Helper()
		if v = math.Abs(v); v == 0 || v-v != 0 {
			return
		}
		digits, exponent := Powers().Shortest(v)
		if d, e := shortestOf(v, 64); d != digits || e != exponent {
			t.Fatalf("Shortest(%x) = %d, %d; want %d, %d", v, digits, exponent, d, e)
		}
		single := float32(v)
		if single == 0 || single-single != 0 {
			return
		}
		digits, exponent = Powers().Shortest32(single)
		if d, e := shortestOf(float64(single), 32); d != digits || e != exponent {
			t.Fatalf("Shortest32(%x) = %d, %d; want %d, %d", single, digits, exponent, d, e)
		}
	}
	for e := -1074; e < 1024; e++ {
		for _, v := range []float64{math.Ldexp(1, e), math.Nextafter(math.Ldexp(1, e), 0), math.Nextafter(math.Ldexp(1, e), math.Inf(1)), math.Ldexp(3, e)} {
			check(v)
			check(float64(math.Nextafter32(float32(v), 0)))
		}
	}
	for e := -323; e < 309; e++ {
		for _, digit := range []string{"1", "3", "9", "17", "999999", "9007199254740993"} {
			v, _ := strconv.ParseFloat(digit+"e"+strconv.Itoa(e), 64)
			check(v)
		}
	}
	for range 50_000 {
		check(math.Float64frombits(random.Uint64()))
		check(float64(math.Float32frombits(random.Uint32())))
		check(random.NormFloat64())
		check(float64(random.IntN(1e9)) / math.Pow10(random.IntN(9)))
		check(float64(random.Uint64() >> random.IntN(64)))
	}
}

func TestWrittenAsByStrconv(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	check := func(v uint64) {
		t.Helper()
		if got, want := string(AppendUint([]byte("x"), v)), "x"+strconv.FormatUint(v, 10); got != want {
			t.Fatalf("AppendUint(%d) = %s", v, got)
		}
		if got, want := string(AppendInt(nil, int64(v))), strconv.FormatInt(int64(v), 10); got != want {
			t.Fatalf("AppendInt(%s) = %s", want, got)
		}
	}
	for v := range uint64(50_000) {
		check(v)
	}
	for power := uint64(1); power < 1e19; power *= 10 {
		for _, v := range []uint64{power - 1, power, power + 1, -power, math.MaxUint64 - power} {
			check(v)
		}
	}
	for range 50_000 {
		check(random.Uint64() >> random.IntN(64))
		check(random.Uint64N(1e8))
	}
}
