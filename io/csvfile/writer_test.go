package csvfile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/rowtext"
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

func TestNullsAndNoBytesDiffer(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for _, dt := range []arrow.DataType{
		arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView,
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.Binary},
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "b", Type: dt, Nullable: true}, {Name: "i", Type: arrow.PrimitiveTypes.Int8}}, nil)
		b, _, err := array.RecordFromJSON(mem, schema, strings.NewReader(`[{"b": "", "i": 1}, {"b": null, "i": 2}, {"b": "AQ==", "i": 3}]`))
		if err != nil {
			t.Fatal(err)
		}
		for _, safe := range []bool{false, true} {
			if got, want := written(t, format.WriteOptions{SpreadsheetSafe: safe}, b), "b,i\n\"\",1\n,2\nAQ==,3\n"; got != want {
				t.Errorf("%s, safe %t: wrote %q; want %q", dt, safe, got, want)
			}
		}
		b.Release()
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

// A spreadsheet must not find a formula; expected texts are written by hand.
func TestSpreadsheetSafe(t *testing.T) {
	for _, tc := range []struct {
		why    string
		dt     arrow.DataType
		values string
		want   []string
	}{
		{
			"texts that begin like a formula, as OWASP lists", arrow.BinaryTypes.String, `["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na"]`,
			[]string{`"'=1+1"`, `"'+1"`, `"'-1"`, `"'@a"`, "\"'\ta\"", "\"'\ra\"", "\"'\na\""},
		},
		{"wide forms of them", arrow.BinaryTypes.String, `["＝1", "＋1", "－1", "＠a"]`, []string{`"'＝1"`, `"'＋1"`, `"'－1"`, `"'＠a"`}},
		{"quotes in them are doubled still", arrow.BinaryTypes.String, `["=a\"b,c"]`, []string{`"'=a""b,c"`}},
		{"other texts stay", arrow.BinaryTypes.String, `["a=b", " =1", "", "'=1", "a,b", "é", "1-1"]`, []string{"a=b", " =1", `""`, "'=1", `"a,b"`, "é", "1-1"}},
		{"numbers stay numbers", arrow.PrimitiveTypes.Float64, `[-1.5, 2]`, []string{"-1.5", "2"}},
		{"decimals are numbers", &arrow.Decimal128Type{Precision: 5, Scale: 1}, `["-1.5"]`, []string{"-1.5"}},
		{"base64 can begin so", arrow.BinaryTypes.Binary, `["+w==", "AQ=="]`, []string{"'+w==", "AQ=="}},
		{"dictionaries of texts", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["=1", "a", "=1"]`, []string{`"'=1"`, "a", `"'=1"`}},
		{"lists are JSON, which is no formula", arrow.ListOf(arrow.BinaryTypes.String), `[["=1"]]`, []string{`"[""=1""]"`}},
	} {
		b := one(t, memory.DefaultAllocator, tc.dt, tc.values)
		if got, want := written(t, format.WriteOptions{SpreadsheetSafe: true}, b), "c\n"+strings.Join(tc.want, "\n")+"\n"; got != want {
			t.Errorf("%s: wrote %q; want %q", tc.why, got, want)
		}
		b.Release()
	}
	named := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "=h", Type: arrow.Null, Nullable: true}}, nil), []arrow.Array{array.NewNull(1)}, 1)
	if got, want := written(t, format.WriteOptions{SpreadsheetSafe: true}, named), "\"'=h\"\n\"\"\n"; got != want {
		t.Errorf("a column's name is written as %q; want %q", got, want)
	}
}

func TestDelimiters(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a;b", Type: arrow.BinaryTypes.String}, {Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int8)}}, nil)
	b, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(`[{"a;b": "x,y", "l": [1, 2]}, {"a;b": "tab\there; and more", "l": [3]}]`))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	for delimiter, want := range map[byte]string{
		0:    "a;b,l\n\"x,y\",\"[1,2]\"\ntab\there; and more,[3]\n",
		';':  "\"a;b\";l\nx,y;[1,2]\n\"tab\there; and more\";[3]\n",
		'\t': "a;b\tl\nx,y\t[1,2]\n\"tab\there; and more\"\t[3]\n",
		'|':  "a;b|l\nx,y|[1,2]\ntab\there; and more|[3]\n",
	} {
		if got := written(t, format.WriteOptions{Delimiter: delimiter}, b); got != want {
			t.Errorf("delimiter %q: wrote %q; want %q", delimiter, got, want)
		}
		_, rows, _ := strings.Cut(want, "\n")
		if got := written(t, format.WriteOptions{Delimiter: delimiter, Headless: true}, b); got != rows {
			t.Errorf("delimiter %q without a head: wrote %q; want %q", delimiter, got, rows)
		}
	}
}

// A file of several blocks is one member, or frame, that other libraries read back.
func TestCompression(t *testing.T) {
	builder := array.NewInt64Builder(memory.DefaultAllocator)
	defer builder.Release()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300_000 {
		builder.Append(rng.Int64N(1 << 40))
	}
	arr := builder.NewArray()
	defer arr.Release()
	b := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "c", Type: arr.DataType()}}, nil), []arrow.Array{arr}, int64(arr.Len()))
	defer b.Release()
	want := written(t, format.WriteOptions{Compression: "none"}, b)
	for codec, open := range map[string]func(*bytes.Reader) (io.Reader, error){
		"gzip": func(r *bytes.Reader) (io.Reader, error) {
			zr, err := gzip.NewReader(r)
			if err == nil {
				zr.Multistream(false)
			}
			return zr, err
		},
		"zstd": func(r *bytes.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		},
	} {
		text := written(t, format.WriteOptions{Compression: codec}, b)
		rest := bytes.NewReader([]byte(text))
		r, err := open(rest)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want || rest.Len() > 0 {
			t.Errorf("%s reads back %d bytes, %v, with %d left; want %d", codec, len(got), err, rest.Len(), len(want))
		}
		defer func(was int) { runtime.GOMAXPROCS(was) }(runtime.GOMAXPROCS(1))
		if again := written(t, format.WriteOptions{Compression: codec}, b); again != text {
			t.Errorf("%s gives other bytes on one core", codec)
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
	if _, err := NewWriter(io.Discard, b.Schema(), format.WriteOptions{Compression: "lzma"}); !errors.Is(err, rowtext.ErrCodec) {
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

// BenchmarkWrite writes tables of two columns, as bench/peers/write_csv.py does by pyarrow:
//
//	go test -run '^$' -bench . -count 5 ./io/csvfile
func BenchmarkWrite(b *testing.B) {
	const rows = 65536
	mem := memory.DefaultAllocator
	column := func(dt arrow.DataType, add func(b array.Builder, i int)) arrow.Array {
		builder := array.NewBuilder(mem, dt)
		defer builder.Release()
		for i := range rows {
			add(builder, i)
		}
		return builder.NewArray()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	ids := column(arrow.PrimitiveTypes.Int64, func(b array.Builder, i int) { b.(*array.Int64Builder).Append(int64(i)) })
	for _, bc := range []struct {
		name   string
		values arrow.Array
	}{
		{"float32", column(arrow.PrimitiveTypes.Float32, func(b array.Builder, _ int) { b.(*array.Float32Builder).Append(rng.Float32()) })},
		{"float64", column(arrow.PrimitiveTypes.Float64, func(b array.Builder, _ int) { b.(*array.Float64Builder).Append(rng.Float64()) })},
		{"text", column(arrow.BinaryTypes.String, func(b array.Builder, i int) {
			text := fmt.Sprintf("flight %d", i)
			if i%50 == 0 {
				text += ` to, "x"`
			}
			b.(*array.StringBuilder).Append(text)
		})},
		{"timestamp", column(&arrow.TimestampType{Unit: arrow.Microsecond}, func(b array.Builder, i int) {
			b.(*array.TimestampBuilder).Append(arrow.Timestamp(i) * 1_000_003)
		})},
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: ids.DataType()}, {Name: "v", Type: bc.values.DataType()}}, nil)
		batch := array.NewRecordBatch(schema, []arrow.Array{ids, bc.values}, rows)
		b.Run("type="+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			began := processor(b)
			for b.Loop() {
				w, err := NewWriter(io.Discard, schema, format.WriteOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := errors.Join(w.Write(batch), w.Close()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/(processor(b)-began).Seconds(), "rows/cpu-s")
		})
		batch.Release()
		bc.values.Release()
	}
	ids.Release()
}

// processor is the processor time of the process, which a busy machine stretches less
// than time.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
