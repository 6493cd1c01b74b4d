package arrowfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/millrace/millrace/io/format"
)

// written writes batches of one schema to a file and returns its path.
func written(tb testing.TB, open format.NewWriterFunc, codec string, batches ...arrow.RecordBatch) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "written.arrow")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := open(f, batches[0].Schema(), format.WriteOptions{Compression: codec})
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close(), f.Close()); err != nil {
		tb.Fatal(err)
	}
	return path
}

// everyType has the types that testdata/pyarrow does not have. Values are in
// the form that arrow-go's FromJSON reads.
var everyType = map[string]struct {
	dt     arrow.DataType
	values string
}{
	"uint8":       {arrow.PrimitiveTypes.Uint8, `[1, null, 255]`},
	"int16":       {arrow.PrimitiveTypes.Int16, `[1, null, -32768]`},
	"uint16":      {arrow.PrimitiveTypes.Uint16, `[1, null, 65535]`},
	"int32":       {arrow.PrimitiveTypes.Int32, `[1, null, -5]`},
	"uint32":      {arrow.PrimitiveTypes.Uint32, `[1, null, 5]`},
	"int64":       {arrow.PrimitiveTypes.Int64, `[1, null, -5]`},
	"date64":      {arrow.FixedWidthTypes.Date64, `["2013-01-31", null, "1969-01-01"]`},
	"time32s":     {arrow.FixedWidthTypes.Time32s, `["17:05:00", null, "00:00:01"]`},
	"time32ms":    {arrow.FixedWidthTypes.Time32ms, `["17:05:00.25", null, "00:00:01"]`},
	"time64us":    {arrow.FixedWidthTypes.Time64us, `["17:05:00.25", null, "00:00:01"]`},
	"time64ns":    {arrow.FixedWidthTypes.Time64ns, `["17:05:00.25", null, "00:00:01"]`},
	"timestamps":  {&arrow.TimestampType{Unit: arrow.Second}, `["2013-01-31 00:00:00", null, "1969-01-01 00:00:00"]`},
	"timestampns": {&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2013-01-31 00:00:00.1", null, "1969-01-01 00:00:00"]`},
	"duration_s":  {arrow.FixedWidthTypes.Duration_s, `["1s", null, "-2s"]`},
	"duration_us": {arrow.FixedWidthTypes.Duration_us, `["1us", null, "-2s"]`},
	"months":      {arrow.FixedWidthTypes.MonthInterval, `[{"months": 1}, null, {"months": -3}]`},
	"daytime":     {arrow.FixedWidthTypes.DayTimeInterval, `[{"days": 1, "milliseconds": 2}, null, {"days": -1, "milliseconds": 0}]`},
	"mdn":         {arrow.FixedWidthTypes.MonthDayNanoInterval, `[{"months": 1, "days": 2, "nanoseconds": 3}, null, {"months": -1, "days": 0, "nanoseconds": 0}]`},
	"decimal32":   {&arrow.Decimal32Type{Precision: 9, Scale: 2}, `["1.25", null, "-3"]`},
	"decimal64":   {&arrow.Decimal64Type{Precision: 18, Scale: 2}, `["1.25", null, "-3"]`},
	"decimal256":  {&arrow.Decimal256Type{Precision: 76, Scale: 2}, `["1.25", null, "-3"]`},
	"lbin":        {arrow.BinaryTypes.LargeBinary, `["AQID", null, ""]`},
	"binview":     {arrow.BinaryTypes.BinaryView, `["AQID", null, "AQIDAQIDAQIDAQIDAQIDAQID"]`},
	"llview":      {arrow.LargeListViewOf(arrow.PrimitiveTypes.Int8), `[[1, null], null, []]`},
	"ordered":     {&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: arrow.PrimitiveTypes.Float64, Ordered: true}, `[1.5, null, 2.5]`},
	"nested":      {arrow.ListOf(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}), `[["a", null], null, ["b", "a"]]`},
	"ree16":       {arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int16, arrow.BinaryTypes.String), `["a", "a", null]`},
	"ree64":       {arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float32), `[1, 1, 2]`},
	"uuid":        {extensions.NewUUIDType(), `["00000000-0000-0000-0000-000000000001", null, "00000000-0000-0000-0000-000000000002"]`},
	"json":        {mustJSON(), `["{}", null, "[1]"]`},
}

func mustJSON() arrow.DataType {
	dt, err := extensions.NewJSONType(arrow.BinaryTypes.String)
	if err != nil {
		panic(err)
	}
	return dt
}

// everyBatch has one column of each of everyType.
func everyBatch(t *testing.T) arrow.RecordBatch {
	t.Helper()
	mem := checkedAllocator(t)
	fields, arrays := make([]arrow.Field, 0, len(everyType)), make([]arrow.Array, 0, len(everyType))
	for name, c := range everyType {
		arr, _, err := array.FromJSON(mem, c.dt, strings.NewReader(c.values))
		if err != nil {
			t.Fatalf("%s: FromJSON: %v", name, err)
		}
		defer arr.Release()
		md := arrow.NewMetadata([]string{"note"}, []string{name})
		fields = append(fields, arrow.Field{Name: name, Type: c.dt, Nullable: true, Metadata: md})
		arrays = append(arrays, arr)
	}
	md := arrow.NewMetadata([]string{"made by"}, []string{"a test"})
	b := array.NewRecordBatch(arrow.NewSchema(fields, &md), arrays, 3)
	t.Cleanup(b.Release)
	return b
}

// What is written reads back equal, slices included.
func TestRoundTrip(t *testing.T) {
	batches := map[string][]arrow.RecordBatch{
		"pyarrow": batchesOf(t, mustOpen(t, "testdata/pyarrow/all.arrow", format.ReadOptions{})),
		"every":   {everyBatch(t)},
	}
	slice := batches["every"][0].NewSlice(1, 3)
	defer slice.Release()
	batches["slice"] = []arrow.RecordBatch{slice}
	for name, want := range batches {
		for kind, open := range map[format.Name]format.NewWriterFunc{format.ArrowFile: NewWriter, format.ArrowStream: NewStreamWriter} {
			for _, codec := range []string{"", "none", "lz4", "zstd"} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, kind, codec), func(t *testing.T) {
					r := mustOpen(t, written(t, open, codec, want...), format.ReadOptions{Allocator: checkedAllocator(t)})
					if r.Format() != kind {
						t.Errorf("Format() = %s; want %s", r.Format(), kind)
					}
					got := batchesOf(t, r)
					if len(got) != len(want) {
						t.Fatalf("%d batches; want %d", len(got), len(want))
					}
					for i := range want {
						for c := range want[i].Columns() {
							if !array.Equal(got[i].Column(c), want[i].Column(c)) {
								t.Errorf("batch %d, column %q = %s; want %s", i, want[i].ColumnName(c), got[i].Column(c), want[i].Column(c))
							}
						}
						for c, f := range want[i].Schema().Fields() {
							if g := got[i].Schema().Field(c); !g.Equal(f) {
								t.Errorf("field %d = %v; want %v", c, g, f)
							}
						}
						if !got[i].Schema().Metadata().Equal(want[i].Schema().Metadata()) {
							t.Errorf("metadata = %v; want %v", got[i].Schema().Metadata(), want[i].Schema().Metadata())
						}
					}
				})
			}
		}
	}
}

func TestWriterErrors(t *testing.T) {
	b := everyBatch(t)
	if _, err := NewWriter(io.Discard, b.Schema(), format.WriteOptions{Compression: "snappy"}); !errors.Is(err, ErrCodec) || !strings.Contains(err.Error(), "snappy") {
		t.Errorf("snappy: %v; want ErrCodec that names it", err)
	}
	for name, open := range map[string]format.NewWriterFunc{"file": NewWriter, "stream": NewStreamWriter} {
		full := errors.New("disk full")
		w, err := open(failing{full}, b.Schema(), format.WriteOptions{Allocator: checkedAllocator(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(b); !errors.Is(err, full) {
			t.Errorf("%s: Write on a full disk = %v; want its error", name, err)
		}
		if err := w.Close(); !errors.Is(err, full) {
			t.Errorf("%s: Close after that = %v; want the same", name, err)
		}
		w, err = open(io.Discard, b.Schema(), format.WriteOptions{Allocator: checkedAllocator(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: an empty one: %v", name, err)
		}
		if err := w.Write(b); err == nil {
			t.Errorf("%s: Write after Close: no error", name)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
