package lines

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"
)

// at places a text where eight bytes before and after it, which are digits too, may be
// read.
func at(text string) (padded []byte, from, to int) {
	return []byte("12345678" + text + "87654321"), pad, pad + len(text)
}

// Times are those of package time, by every layout.
func TestMomentsAreThoseOfPackageTime(t *testing.T) {
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.000Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05Z07"} {
		rapid.Check(t, func(r *rapid.T) {
			zone := time.FixedZone("", 3600*rapid.IntRange(-12, 12).Draw(r, "zone"))
			moment := time.Unix(rapid.Int64Range(-62135596800, 253402300799-43200).Draw(r, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(r, "nanos")).In(zone)
			text := moment.Format(layout)
			want, err := time.Parse(layout, text)
			got, ok := parseMoment([]byte(text))
			if err != nil || want.Year() < 0 || want.Year() > 9999 {
				return
			}
			if !ok || got.seconds != want.Unix() || got.nanos != int64(want.Nanosecond()) {
				r.Fatalf("parseMoment(%q) = %+v, %v; want %d s, %d ns", text, got, ok, want.Unix(), want.Nanosecond())
			}
		})
	}
	for _, text := range []string{"2013-02-29", "2013-13-01", "2013-1-01", "2013-01-01T", "2013-01-01T24:00", "2013-01-01T10:60", "2013-01-01T10:00:60", "2013-01-01T10:00:00.", "2013-01-01T10:00+1", "2013-01-01T10:00:00.1234567890", "10000-01-01", "2013-01-01 10:00 "} {
		if m, ok := parseMoment([]byte(text)); ok {
			t.Errorf("parseMoment(%q) = %+v; it is no time", text, m)
		}
	}
}

// The times of a column are those of moment and ticks, whatever way a text takes: each
// of these is a time, or nearly one.
func TestClocksReadMoments(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	units := slices.Repeat([]arrow.TimeUnit{arrow.Second, arrow.Millisecond, arrow.Microsecond, arrow.Nanosecond}, 3)
	times := 0
	for i := range 200_000 {
		text := fmt.Appendf(nil, "%04d-%02d-%02d%c%02d:%02d:%02d", random.IntN(3000), random.IntN(14), random.IntN(33), "T t"[random.IntN(3)], random.IntN(26), random.IntN(62), random.IntN(62))
		if random.IntN(2) == 0 {
			text = append(text, ".1200003050"[:random.IntN(12)]...)
		}
		text = append(text, []string{"", "", "Z", "z", "+01:00"}[random.IntN(5)]...)
		if random.IntN(2) == 0 {
			text[random.IntN(len(text))] = byte(random.IntN(256))
		}
		to := &arrow.TimestampType{Unit: units[i%len(units)], TimeZone: []string{"", "UTC", "Europe/Berlin"}[i%len(units)/4]}
		m, fits := parseMoment(text)
		var want int64
		if fits {
			var why string
			want, why = m.ticks(to)
			fits = why == ""
		}
		padded, from, end := at(string(text))
		got, ok := newClock(&forms{}, to).read(padded, from, end)
		if ok != fits || ok && int64(got) != want {
			t.Fatalf("%q in %s = %d, %v; want %d, %v", text, to, got, ok, want, fits)
		}
		if ok {
			times++
		}
	}
	if times < 10_000 {
		t.Errorf("%d of the texts are times", times)
	}
}

func TestTicks(t *testing.T) {
	for _, tc := range []struct {
		text string
		unit arrow.TimeUnit
		zone string
		want int64
		why  bool
	}{
		{"2013-01-31T10:00:00.5", arrow.Millisecond, "", 1359626400500, false},
		{"2013-01-31T10:00:00.5", arrow.Second, "", 0, true},
		{"2013-01-31T10:00:00.500", arrow.Microsecond, "", 1359626400500000, false},
		{"2013-01-31T10:00:00Z", arrow.Second, "", 0, true},
		{"2013-01-31T10:00:00", arrow.Second, "UTC", 1359626400, false},
		{"2013-01-31T10:00:00", arrow.Second, "Europe/Berlin", 0, true},
		{"2013-01-31T10:00:00+01:00", arrow.Second, "Europe/Berlin", 1359622800, false},
		{"2500-01-01", arrow.Nanosecond, "", 0, true},
		{"1969-12-31T23:59:59.25", arrow.Millisecond, "", -750, false},
		{"2262-04-11T23:47:16.854775807", arrow.Nanosecond, "", math.MaxInt64, false},
		{"2262-04-11T23:47:16.854775808", arrow.Nanosecond, "", 0, true},
		{"2262-04-11T23:47:17", arrow.Nanosecond, "", 0, true},
		{"2262-04-12T01:47:16.854775807+02:00", arrow.Nanosecond, "UTC", math.MaxInt64, false},
		{"1677-09-21T00:12:44", arrow.Nanosecond, "", -9223372036000000000, false},
		{"1677-09-21T00:12:43.145224192", arrow.Nanosecond, "", math.MinInt64, false},
		{"1677-09-21T00:12:43.145224191", arrow.Nanosecond, "", 0, true},
		{"1677-09-21T00:12:42.5", arrow.Nanosecond, "", 0, true},
		{"9999-12-31T23:59:59.999999", arrow.Microsecond, "", 253402300799999999, false},
		{"0000-01-01", arrow.Second, "", -62167219200, false},
	} {
		m, ok := parseMoment([]byte(tc.text))
		got, why := m.ticks(&arrow.TimestampType{Unit: tc.unit, TimeZone: tc.zone})
		if !ok || why != "" != tc.why || !tc.why && got != tc.want {
			t.Errorf("%q in %s %s = %d, %q; want %d", tc.text, tc.unit, tc.zone, got, why, tc.want)
		}
	}
}

// Decimals are exact, by package big.
func TestDecimals(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,20}(\.[0-9]{0,12})?`).Draw(r, "text")
		dt := &arrow.Decimal128Type{Precision: int32(rapid.IntRange(1, 38).Draw(r, "digits"))}
		dt.Scale = int32(rapid.IntRange(0, int(dt.Precision)).Draw(r, "scale"))
		got, ok := parseDecimal([]byte(text), dt)
		want, valid := new(big.Rat).SetString(text)
		if !valid {
			if ok {
				r.Fatalf("parseDecimal(%q) = %v; it is no number", text, got)
			}
			return
		}
		want.Mul(want, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(dt.Scale)), nil)))
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(dt.Precision)), nil)
		fits := want.IsInt() && new(big.Int).Abs(want.Num()).Cmp(most) < 0
		if ok != fits || ok && got.BigInt().Cmp(want.Num()) != 0 {
			r.Fatalf("parseDecimal(%q, %s) = %v, %v; want %v, %v", text, dt, got, ok, want, fits)
		}
	})
}

func TestTypesAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"a=int64", `a\,b=timestamp[us, Europe/Berlin]`, "x=decimal(10, 2)", `q\=r=string`, "t=timestamp[ms]", "d=date", `p\\\[=null`} {
		types, err := ParseTypes(text)
		if err != nil || len(types) != 1 {
			t.Errorf("ParseTypes(%q) = %v, %v; want one", text, types, err)
			continue
		}
		if back, _ := types[0].MarshalText(); string(back) != text {
			t.Errorf("ParseTypes(%q) = %v, which is written %q", text, types, back)
		}
	}
	if types, err := ParseTypes("a=int8,b=timestamp[ns,UTC],c=decimal(4,1)"); err != nil || len(types) != 3 {
		t.Errorf("ParseTypes of three = %v, %v", types, err)
	}
	for _, text := range []string{"a", "a=integer", "=int64", "a=timestamp[h]", "a=decimal(39)", "a=decimal(2,3)", "a=timestamp[s, Nowhere/City]"} {
		if types, err := ParseTypes(text); err == nil {
			t.Errorf("ParseTypes(%q) = %v; want an error", text, types)
		}
	}
}

// Text is UTF-8 where package utf8 says so, or would if its end were not cut off.
func TestValidUTF8(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	good, cut := 0, 0
	for range 100_000 {
		var text []byte
		for range random.IntN(12) {
			switch random.IntN(8) {
			case 0:
				text = append(text, "a plain text that is long"[:random.IntN(25)]...)
			case 1:
				text = append(text, byte(random.IntN(256)))
			default:
				text = utf8.AppendRune(text, rune(random.IntN([]int{0x80, 0x800, 0x10000, 0x110000}[random.IntN(4)])))
			}
		}
		if random.IntN(3) == 0 {
			text = text[:random.IntN(len(text)+1)]
		}
		want := utf8.Valid(text)
		if want {
			good++
		}
		for n := 1; n < utf8.UTFMax && n <= len(text) && !want; n++ {
			if end := text[len(text)-n:]; utf8.RuneStart(end[0]) {
				want = !utf8.FullRune(end) && utf8.Valid(text[:len(text)-n])
				if want {
					cut++
				}
				break
			}
		}
		if got := validUTF8(text, true); got != want {
			t.Fatalf("validUTF8(%q, true) = %v; want %v", text, got, want)
		}
		if got := validUTF8(text, false); got != utf8.Valid(text) {
			t.Fatalf("validUTF8(%q, false) = %v", text, got)
		}
	}
	if good < 1000 || cut < 1000 {
		t.Errorf("%d texts are UTF-8 and %d but for their ends", good, cut)
	}
}
