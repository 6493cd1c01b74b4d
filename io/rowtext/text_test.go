package rowtext

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/half"
)

func TestFloatsThatAreNoNumber(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}, nil)
	arr := b.NewArray()
	defer arr.Release()
	inCSV, err := CSV(arr, Fields{Delimiter: ','})
	if err != nil {
		t.Fatal(err)
	}
	c, err := csvStyle.cellOf(arr)
	if err != nil {
		t.Fatal(err)
	}
	insideCSV := c.json()
	inJSON, err := JSON(arr)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ csv, inside, json string }{{"NaN", `"NaN"`, "null"}, {"inf", `"inf"`, "null"}, {"-inf", `"-inf"`, "null"}, {"-0", "-0", "-0.0"}} {
		for _, got := range []struct{ in, text, want string }{
			{"CSV", string(inCSV([]byte{','}, i)[1:]), want.csv},
			{"JSON inside of CSV", string(insideCSV([]byte{'['}, i)[1:]), want.inside},
			{"JSON", string(inJSON([]byte{':'}, i)[1:]), want.json},
		} {
			if got.text != got.want {
				t.Errorf("row %d in %s = %s; want %s", i, got.in, got.text, got.want)
			}
		}
	}
}

// encoding/csv reads back what was written, whatever the text.
func TestFieldsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SliceOfN(rapid.StringMatching(`[a,"\n \\.é]{0,6}`), 2, 4).Draw(t, "row")
		var line []byte
		fields := Fields{Delimiter: ','}
		for i, f := range row {
			if i > 0 {
				line = append(line, ',')
			}
			line = fields.Append(line, f)
		}
		got, err := csv.NewReader(bytes.NewReader(append(line, '\n'))).Read()
		if err != nil || !slices.Equal(got, row) {
			t.Fatalf("Append(%q) = %s, read back as %q, %v", row, line, got, err)
		}
	})
}

func TestFloatsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		if got, err := strconv.ParseFloat(string(appendFloat(nil, f, 64)), 64); err != nil || got != f {
			t.Fatalf("appendFloat(%g) = %s, reads as %g, %v", f, appendFloat(nil, f, 64), got, err)
		}
		g := rapid.Float32().Draw(t, "g")
		if got, err := strconv.ParseFloat(string(appendFloat(nil, float64(g), 32)), 32); err != nil || float32(got) != g {
			t.Fatalf("appendFloat(%g) = %s, reads as %g, %v", g, appendFloat(nil, float64(g), 32), got, err)
		}
	})
	for i := range 1 << 16 {
		h := float16.FromBits(uint16(i))
		if h.IsNaN() || h.IsInf() {
			continue
		}
		text := string(appendHalf(nil, h))
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || nearestHalf(v) != h {
			t.Fatalf("appendHalf(%v) = %s, which does not read back", h, text)
		}
	}
}

// nearestHalf finds the float16 nearest to v by bisection of the 32768 of v's
// sign, a way that the writer does not go.
func nearestHalf(v float64) float16.Num {
	const infinite = 0x7c00
	abs, sign := math.Abs(v), uint16(0)
	if math.Signbit(v) {
		sign = 0x8000
	}
	i := sort.Search(infinite, func(i int) bool { return float64(half.Float32(float16.FromBits(uint16(i)))) >= abs })
	if i == infinite || i > 0 && abs-float64(half.Float32(float16.FromBits(uint16(i-1)))) < float64(half.Float32(float16.FromBits(uint16(i))))-abs {
		i--
	}
	return float16.FromBits(uint16(i) | sign)
}

// package time and arrow-go's decimals are the second opinion.
func TestTemporalAndDecimalAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999).Draw(t, "us")
		if got, want := string(new(dayText).appendTimestamp(nil, v, arrow.Microsecond)), time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000"); got != want {
			t.Fatalf("appendTimestamp(%d us) = %s; want %s", v, got, want)
		}
		n := decimal128.New(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "hi"), rapid.Uint64().Draw(t, "lo"))
		scale := rapid.IntRange(0, 38).Draw(t, "scale")
		if got, want := string(appendBig(nil, n.BigInt(), scale)), n.ToString(int32(scale)); got != want {
			t.Fatalf("appendBig(%s, %d) = %s; want %s", n.BigInt(), scale, got, want)
		}
	})
	for _, tc := range []struct {
		v    int64
		want string
	}{
		{math.MaxInt64, "+292277026596-12-04T15:30:07"},
		{math.MinInt64, "-292277022657-01-27T08:29:52"},
		{-62_198_755_200, "-0001-01-01T00:00:00"},
	} {
		if got := string(new(dayText).appendTimestamp(nil, tc.v, arrow.Second)); got != tc.want {
			t.Errorf("appendTimestamp(%d s) = %s; want %s", tc.v, got, tc.want)
		}
	}
	if got := string(appendSmall(nil, -12, -3)); got != "-12000" {
		t.Errorf("appendScaled(-12, scale -3) = %s; want -12000", got)
	}
}
