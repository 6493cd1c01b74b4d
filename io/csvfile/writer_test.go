package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

// one makes a batch of one column of a type from JSON, as arrow-go reads it.
func one(tb testing.TB, mem memory.Allocator, dt arrow.DataType, values string) arrow.RecordBatch {
	tb.Helper()
	arr, _, err := array.FromJSON(mem, dt, strings.NewReader(values))
	if err != nil {
		tb.Fatalf("FromJSON(%s, %s): %v", dt, values, err)
	}
	defer arr.Release()
	return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "c", Type: dt, Nullable: true}}, nil), []arrow.Array{arr}, int64(arr.Len()))
}

// written writes batches of one schema and returns the text.
func written(tb testing.TB, opts format.WriteOptions, batches ...arrow.RecordBatch) string {
	tb.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, batches[0].Schema(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// Expected texts are written by hand from doc.go's table.
func TestTypes(t *testing.T) {
	utc := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Berlin"}
	for _, tc := range []struct {
		why    string
		dt     arrow.DataType
		values string
		want   []string
	}{
		{"null is an empty text that readers keep", arrow.Null, `[null]`, []string{`""`}},
		{"booleans", arrow.FixedWidthTypes.Boolean, `[true, false]`, []string{"true", "false"}},
		{"extremes of int64", arrow.PrimitiveTypes.Int64, `[-9223372036854775808, 9223372036854775807]`, []string{"-9223372036854775808", "9223372036854775807"}},
		{"extremes of uint64", arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, []string{"18446744073709551615"}},
		{"small integers", arrow.PrimitiveTypes.Int8, `[-128]`, []string{"-128"}},
		{"float32 has float32's digits", arrow.PrimitiveTypes.Float32, `[0.1, 16777216, 1e-7]`, []string{"0.1", "16777216", "1e-07"}},
		{"float64 has no exponent where people read", arrow.PrimitiveTypes.Float64, `[0.1, 1000000, 1e21, -0.5]`, []string{"0.1", "1000000", "1e+21", "-0.5"}},
		{"float16 has float16's digits", arrow.FixedWidthTypes.Float16, `[0.1, 65504]`, []string{"0.1", "65500"}},
		{
			"strings are quoted where they must be", arrow.BinaryTypes.String, `["a", "", "a,b", "say \"hi\"", "x\ny", "\\."]`,
			[]string{"a", `""`, `"a,b"`, `"say ""hi"""`, "\"x\ny\"", `"\."`},
		},
		{"string views", arrow.BinaryTypes.StringView, `["a text longer than twelve bytes"]`, []string{"a text longer than twelve bytes"}},
		{"binary is base64", arrow.BinaryTypes.Binary, `["AQID/w=="]`, []string{"AQID/w=="}},
		{"fixed-size binary is base64", &arrow.FixedSizeBinaryType{ByteWidth: 3}, `["AQID"]`, []string{"AQID"}},
		{"decimals keep their zeros", &arrow.Decimal128Type{Precision: 10, Scale: 3}, `["1.5", "-0.001", "0"]`, []string{"1.500", "-0.001", "0.000"}},
		{"small decimals", &arrow.Decimal32Type{Precision: 5, Scale: 2}, `["-123.45"]`, []string{"-123.45"}},
		{"decimals without scale", &arrow.Decimal256Type{Precision: 70}, `["123456789012345678901234567890123456789012345"]`, []string{"123456789012345678901234567890123456789012345"}},
		{"dates", arrow.FixedWidthTypes.Date32, `["2013-01-31", "1600-02-29", "1969-12-31"]`, []string{"2013-01-31", "1600-02-29", "1969-12-31"}},
		{"dates in milliseconds", arrow.FixedWidthTypes.Date64, `["2013-01-31"]`, []string{"2013-01-31"}},
		{"times have the unit's digits", arrow.FixedWidthTypes.Time32ms, `["17:05:00.25"]`, []string{"17:05:00.250"}},
		{"times in nanoseconds", arrow.FixedWidthTypes.Time64ns, `["00:00:00.000000001"]`, []string{"00:00:00.000000001"}},
		{"timestamps without zone", &arrow.TimestampType{Unit: arrow.Second}, `["2013-01-31T17:05:00", "1969-12-31T23:59:59"]`, []string{"2013-01-31T17:05:00", "1969-12-31T23:59:59"}},
		{"timestamps with zone stand in UTC", utc, `["2013-01-31T17:05:00.25Z"]`, []string{"2013-01-31T17:05:00.250000Z"}},
		{"durations", arrow.FixedWidthTypes.Duration_ms, `["1500ms", "-500ms", "2000ms"]`, []string{"PT1.5S", "PT-0.5S", "PT2S"}},
		{"months", arrow.FixedWidthTypes.MonthInterval, `[{"months": 14}]`, []string{"P14M"}},
		{"days and milliseconds", arrow.FixedWidthTypes.DayTimeInterval, `[{"days": 3, "milliseconds": 5}]`, []string{"P3DT0.005S"}},
		{"months, days and nanoseconds", arrow.FixedWidthTypes.MonthDayNanoInterval, `[{"months": 1, "days": -2, "nanoseconds": 3000000004}]`, []string{"P1M-2DT3.000000004S"}},
		{"lists", arrow.ListOf(arrow.PrimitiveTypes.Int32), `[[1, null], [], [2]]`, []string{`"[1,null]"`, "[]", "[2]"}},
		{"list views", arrow.ListViewOf(arrow.PrimitiveTypes.Int32), `[[1, null], [2]]`, []string{`"[1,null]"`, "[2]"}},
		{"fixed-size lists", arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[0.5, 0.25]]`, []string{`"[0.5,0.25]"`}},
		{
			"structs", arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, arrow.Field{Name: `y"`, Type: arrow.BinaryTypes.String}),
			`[{"x": 1, "y\"": "a\nb"}]`,
			[]string{`"{""x"":1,""y\"""":""a\nb""}"`},
		},
		{
			"maps keep order and repeated keys", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32),
			`[[{"key": "k", "value": 1}, {"key": "k", "value": null}]]`,
			[]string{`"[{""key"":""k"",""value"":1},{""key"":""k"",""value"":null}]"`},
		},
		{"dictionaries give values", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["a", "b", "a"]`, []string{"a", "b", "a"}},
		{"run ends give values", arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64), `[7, 7, 8]`, []string{"7", "7", "8"}},
		{"extensions give their storage", extensions.NewBool8Type(), `[true, false]`, []string{"1", "0"}},
	} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		b := one(t, mem, tc.dt, tc.values)
		if got, want := written(t, format.WriteOptions{}, b), "c\n"+strings.Join(tc.want, "\n")+"\n"; got != want {
			t.Errorf("%s: wrote %q; want %q", tc.why, got, want)
		}
		b.Release()
		mem.AssertSize(t, 0)
	}
}

func TestNullsAndEmptyStringsDiffer(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: `a,"b`, Type: arrow.PrimitiveTypes.Float64, Nullable: true}}, nil)
	b, _, err := array.RecordFromJSON(mem, schema, strings.NewReader(`[{"s": "", "a,\"b": 1}, {"s": null, "a,\"b": null}]`))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if got, want := written(t, format.WriteOptions{}, b, b), "s,\"a,\"\"b\"\n\"\",1\n,\n\"\",1\n,\n"; got != want {
		t.Errorf("wrote %q; want %q", got, want)
	}
	slice := b.NewSlice(1, 2)
	defer slice.Release()
	if got, want := written(t, format.WriteOptions{}, slice), "s,\"a,\"\"b\"\n,\n"; got != want {
		t.Errorf("wrote a slice as %q; want %q", got, want)
	}
}

func TestUnions(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	fields := []arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}
	for _, dt := range []arrow.DataType{arrow.SparseUnionOf(fields, []arrow.UnionTypeCode{5, 9}), arrow.DenseUnionOf(fields, []arrow.UnionTypeCode{5, 9})} {
		b := one(t, mem, dt, `[[5, 1], [9, "a"], [5, null], [9, "b"]]`)
		slice := b.NewSlice(1, 4)
		if got, want := written(t, format.WriteOptions{}, slice), "c\n\"\"\"a\"\"\"\n\"\"\n\"\"\"b\"\"\"\n"; got != want {
			t.Errorf("%s: wrote %q; want %q", dt, got, want)
		}
		slice.Release()
		b.Release()
	}
}

func TestFloatsThatAreNoNumber(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1)}, nil)
	arr := b.NewArray()
	defer arr.Release()
	c, err := cellOf(arr)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ csv, json string }{{"NaN", `"NaN"`}, {"inf", `"inf"`}, {"-inf", `"-inf"`}, {"-0", "-0"}} {
		if got := string(c.appendCSV(nil, i, false)); got != want.csv {
			t.Errorf("row %d in CSV = %s; want %s", i, got, want.csv)
		}
		if got := string(c.appendJSON([]byte{'['}, i)[1:]); got != want.json {
			t.Errorf("row %d in JSON = %s; want %s", i, got, want.json)
		}
	}
}

// encoding/csv reads back what was written, whatever the text.
func TestFieldsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SliceOfN(rapid.StringMatching(`[a,"\n \\.é]{0,6}`), 2, 4).Draw(t, "row")
		var line []byte
		for i, f := range row {
			if i > 0 {
				line = append(line, ',')
			}
			line = appendField(line, f)
		}
		got, err := csv.NewReader(bytes.NewReader(append(line, '\n'))).Read()
		if err != nil || !slices.Equal(got, row) {
			t.Fatalf("appendField(%q) = %s, read back as %q, %v", row, line, got, err)
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
	i := sort.Search(infinite, func(i int) bool { return float64(float16.FromBits(uint16(i)).Float32()) >= abs })
	if i == infinite || i > 0 && abs-float64(float16.FromBits(uint16(i-1)).Float32()) < float64(float16.FromBits(uint16(i)).Float32())-abs {
		i--
	}
	return float16.FromBits(uint16(i) | sign)
}

// package time and arrow-go's decimals are the second opinion.
func TestTemporalAndDecimalAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999).Draw(t, "us")
		if got, want := string(appendTimestamp(nil, v, arrow.Microsecond)), time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.000000"); got != want {
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
		if got := string(appendTimestamp(nil, tc.v, arrow.Second)); got != tc.want {
			t.Errorf("appendTimestamp(%d s) = %s; want %s", tc.v, got, tc.want)
		}
	}
	if got := string(appendScaled(nil, "-12", -3)); got != "-12000" {
		t.Errorf("appendScaled(-12, scale -3) = %s; want -12000", got)
	}
}

func TestCompression(t *testing.T) {
	b := one(t, memory.DefaultAllocator, arrow.PrimitiveTypes.Int32, `[1, 2, 3]`)
	defer b.Release()
	want := written(t, format.WriteOptions{Compression: "none"}, b)
	for codec, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
	} {
		text := written(t, format.WriteOptions{Compression: codec}, b)
		r, err := open(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%s reads back as %q, %v; want %q", codec, got, err, want)
		}
		if again := written(t, format.WriteOptions{Compression: codec}, b); again != text {
			t.Errorf("%s gives other bytes the second time", codec)
		}
	}
}

type failing struct{ left int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestErrors(t *testing.T) {
	b := one(t, memory.DefaultAllocator, arrow.PrimitiveTypes.Int32, `[1]`)
	defer b.Release()
	if _, err := NewWriter(io.Discard, b.Schema(), format.WriteOptions{Compression: "lzma"}); !errors.Is(err, ErrCodec) {
		t.Errorf("an unknown codec gives %v; want ErrCodec", err)
	}
	other := one(t, memory.DefaultAllocator, arrow.PrimitiveTypes.Int64, `[1]`)
	defer other.Release()
	w, err := NewWriter(io.Discard, b.Schema(), format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(other); err == nil || w.Close() == nil || w.Write(b) == nil {
		t.Errorf("a batch of another schema: %v; want an error now, at Close and after", err)
	}
	w, err = NewWriter(&failing{}, b.Schema(), format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(b), w.Close()); !errors.Is(err, errFull) {
		t.Errorf("a full disk gives %v; want its error", err)
	}
}

// BenchmarkWrite writes two float32 columns.
//
//	go test -run '^$' -bench . ./io/csvfile
func BenchmarkWrite(b *testing.B) {
	const rows = 65536
	fb := array.NewFloat32Builder(memory.DefaultAllocator)
	defer fb.Release()
	for i := range rows {
		fb.Append(float32(i) / 7)
	}
	arr := fb.NewArray()
	defer arr.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arr.DataType()}, {Name: "b", Type: arr.DataType()}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{arr, arr}, rows)
	defer batch.Release()
	b.ReportAllocs()
	for b.Loop() {
		w, err := NewWriter(io.Discard, schema, format.WriteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(w.Write(batch), w.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
