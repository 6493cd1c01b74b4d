package spool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// fields have a column of each way in which values lie in memory.
var fields = []arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "x", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "t", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "big", Type: arrow.BinaryTypes.LargeBinary, Nullable: true},
	{Name: "d", Type: &arrow.Decimal128Type{Precision: 20, Scale: 3}, Nullable: true},
	{Name: "l", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	{Name: "v", Type: arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32), Nullable: true},
	{Name: "s", Type: arrow.StructOf(arrow.Field{Name: "u", Type: arrow.PrimitiveTypes.Int16, Nullable: true}), Nullable: true},
	{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
}

// rowsJSON are n rows, in which about one value of eight is null.
func rowsJSON(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	maybe := func(format string, value any) string {
		if r.IntN(8) == 0 {
			return "null"
		}
		return fmt.Sprintf(format, value)
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		text := strings.Repeat("é", r.IntN(30))
		fmt.Fprintf(&b, `{"id":%d,"x":%s,"b":%s,"t":%s,"big":%s,"d":%s,"l":%s,"v":%s,"s":%s,"view":%s}`, i,
			maybe("%v", float32(r.IntN(1000))/8), maybe("%v", r.IntN(2) == 0), maybe("%q", text), maybe("%q", "AAEC"),
			maybe(`"%d.125"`, r.IntN(1e6)), maybe(`["a",%s]`, maybe("%q", text)), maybe("[1,2,%d]", i), maybe(`{"u":%s}`, maybe("%d", i%100)), maybe("%q", text))
	}
	b.WriteByte(']')
	return b.String()
}

func batchOf(t *testing.T, text string) arrow.RecordBatch {
	t.Helper()
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// spooled gives the spool of slices of a batch that end after rows of cuts.
func spooled(t *testing.T, batch arrow.RecordBatch, cuts ...int64) *Spool {
	t.Helper()
	w, err := Create(batch.Schema(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	from := int64(0)
	for _, to := range append(cuts, batch.NumRows()) {
		part := batch.NewSlice(from, to)
		if err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		part.Release()
		from = to
	}
	s, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t *testing.T, s *Spool) format.Reader {
	t.Helper()
	r, err := arrowfile.Open(s.Path(), format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestSpansAndDigestAreOfTheRowsAlone(t *testing.T) {
	const n = SpanRows + 3000
	batch := batchOf(t, rowsJSON(n))
	defer batch.Release()
	whole := spooled(t, batch)
	pieces := spooled(t, batch, 1, 7, 1000, 1024, 5000, SpanRows, SpanRows+1)
	if whole.Digest != pieces.Digest || whole.Rows != n || pieces.Rows != n {
		t.Errorf("digests are %s of %d rows, and in pieces %s of %d", whole.Digest, whole.Rows, pieces.Digest, pieces.Rows)
	}
	for _, s := range []*Spool{whole, pieces} {
		r := open(t, s)
		if spans := r.Spans(); len(spans) != 2 || spans[0].Rows != SpanRows {
			t.Errorf("spans are %v; want one of %d rows and one more", spans, SpanRows)
		}
		at := int64(0)
		for span := range r.Spans() {
			err := r.ReadSpan(context.Background(), span, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, func(got arrow.RecordBatch) error {
				want := batch.NewSlice(at, at+got.NumRows())
				defer want.Release()
				at += got.NumRows()
				for i, f := range fields {
					if !array.Equal(got.Column(i), want.Column(i)) {
						t.Errorf("rows up to %d: column %s differs", at, f.Name)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if at != n {
			t.Errorf("%d rows came back of %d", at, n)
		}
	}
}

// Dictionaries that differ from batch to batch are made one, whatever their values are:
// polars streams categories as large texts.
func TestDictionariesThatDiffer(t *testing.T) {
	values := []string{`["a","b"]`, `["b",null]`, `["c","a"]`}
	for _, tc := range []struct {
		of     arrow.DataType
		values []string
	}{
		{arrow.BinaryTypes.String, values},
		{arrow.BinaryTypes.LargeString, values},
		{arrow.BinaryTypes.StringView, values},
		{arrow.BinaryTypes.LargeBinary, []string{`["AA=="]`, `["AA==","AQ=="]`, `["AQ=="]`}},
		{arrow.FixedWidthTypes.Boolean, []string{`[true]`, `[false]`, `[false,true]`}},
	} {
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint32, ValueType: tc.of}
		schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: dt, Nullable: true}, {Name: "l", Type: arrow.ListOf(dt), Nullable: true}}, nil)
		w, err := Create(schema, Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{}
		for _, text := range tc.values {
			batch := differing(t, schema, text)
			for i := range 3 {
				want = append(want, batch.Column(0).ValueStr(i), batch.Column(1).ValueStr(i))
			}
			if err := w.Write(batch); err != nil {
				t.Fatalf("%s: %v", tc.of, err)
			}
			batch.Release()
		}
		s, err := w.Finish()
		if err != nil {
			t.Fatalf("%s: %v", tc.of, err)
		}
		got := []string{}
		err = open(t, s).ReadSpan(context.Background(), 0, []int{0, 1}, func(b arrow.RecordBatch) error {
			for i := range int(b.NumRows()) {
				got = append(got, b.Column(0).ValueStr(i), b.Column(1).ValueStr(i))
			}
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", tc.of, got, err, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// differing are three rows, the last of which is null, of a dictionary of values: its last one,
// its first, and lists of them.
func differing(t *testing.T, schema *arrow.Schema, values string) arrow.RecordBatch {
	t.Helper()
	dt := schema.Field(0).Type.(*arrow.DictionaryType)
	dictionary, _, err := array.FromJSON(memory.DefaultAllocator, dt.ValueType, strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	defer dictionary.Release()
	indices, _, err := array.FromJSON(memory.DefaultAllocator, dt.IndexType, strings.NewReader(fmt.Sprintf("[%d,0,null]", dictionary.Len()-1)))
	if err != nil {
		t.Fatal(err)
	}
	defer indices.Release()
	flat := array.NewDictionaryArray(dt, indices, dictionary)
	defer flat.Release()
	data := array.NewData(schema.Field(1).Type, 3, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 2, 2, 3}))}, []arrow.ArrayData{flat.Data()}, 0, 0)
	defer data.Release()
	lists := array.MakeFromData(data)
	defer lists.Release()
	return array.NewRecordBatch(schema, []arrow.Array{flat, lists}, 3)
}

func TestDigestSeesEveryValue(t *testing.T) {
	const row = `{"id":1,"x":1.5,"b":true,"t":"ab","big":"AAEC","d":"1.5","l":["a","b"],"v":[1,2,3],"s":{"u":4},"view":"w"}`
	digests := map[string]string{}
	for _, rows := range []string{
		row, row + "," + row,
		strings.Replace(row, `"id":1`, `"id":2`, 1),
		strings.Replace(row, "1.5,", "null,", 1),
		strings.Replace(row, "1.5,", "1.25,", 1),
		strings.Replace(row, "true", "false", 1),
		strings.Replace(row, `"ab"`, `"ba"`, 1),
		strings.Replace(row, `"ab"`, `""`, 1),
		strings.Replace(row, `"ab"`, `null`, 1),
		strings.Replace(row, "AAEC", "AAED", 1),
		strings.Replace(row, `"d":"1.5"`, `"d":"1.501"`, 1),
		strings.Replace(row, `["a","b"]`, `["ab"]`, 1),
		strings.Replace(row, `["a","b"]`, `["a","b",null]`, 1),
		strings.Replace(row, "[1,2,3]", "[1,2,4]", 1),
		strings.Replace(row, `{"u":4}`, `{"u":null}`, 1),
		strings.Replace(row, `{"u":4}`, `null`, 1),
		strings.Replace(row, `"w"`, `"ww"`, 1),
		"",
	} {
		batch := batchOf(t, "["+rows+"]")
		digest := spooled(t, batch).Digest
		batch.Release()
		if before, ok := digests[digest]; ok {
			t.Errorf("rows %s have the digest of %s", rows, before)
		}
		digests[digest] = rows
	}
	renamed := arrow.NewSchema([]arrow.Field{{Name: "other", Type: arrow.PrimitiveTypes.Int64}}, nil)
	if newDigester(renamed).sum() == newDigester(arrow.NewSchema(fields[:1], nil)).sum() {
		t.Error("a column's name does not count")
	}
}

// TestDigestPassesOverWhatNobodySees: the value below a null, and how a dictionary is laid out.
func TestDigestPassesOverWhatNobodySees(t *testing.T) {
	numbers := func(below int64) arrow.RecordBatch {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		b.AppendValues([]int64{1, below, 3}, []bool{true, false, true})
		column := b.NewArray()
		defer column.Release()
		return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: column.DataType(), Nullable: true}}, nil), []arrow.Array{column}, 3)
	}
	words := func(first ...string) arrow.RecordBatch {
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
		b := array.NewDictionaryBuilder(memory.DefaultAllocator, dt).(*array.BinaryDictionaryBuilder)
		defer b.Release()
		for _, w := range append(first, "a", "b", "a") {
			if err := b.AppendString(w); err != nil {
				t.Fatal(err)
			}
		}
		column := b.NewArray()
		defer column.Release()
		from := int64(len(first))
		all := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "w", Type: dt}}, nil), []arrow.Array{column}, 3+from)
		defer all.Release()
		return all.NewSlice(from, 3+from)
	}
	for _, pair := range [][2]arrow.RecordBatch{{numbers(2), numbers(99)}, {words(), words("b", "c")}} {
		if a, b := spooled(t, pair[0]).Digest, spooled(t, pair[1]).Digest; a != b {
			t.Errorf("%v and %v have digests %s and %s", pair[0], pair[1], a, b)
		}
		pair[0].Release()
		pair[1].Release()
	}
}

// A span has no more blocks than make 12 MiB, and where rows are large ends within one.
func TestSpansEndEarlyWhereRowsAreLarge(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "t", Type: arrow.BinaryTypes.String}}, nil)
	for _, c := range []struct {
		rows int
		size func(row int) int
		want string
	}{
		{5000, func(int) int { return 6 << 10 }, "[2048 2048 904]"}, // less than 2,048 without their offsets
		{100, func(int) int { return 1 << 20 }, "[12 12 12 12 12 12 12 12 4]"},
		{1200, func(row int) int { return min(row/1170, 1) << 20 }, "[1194 6]"}, // 24 MiB, before the block ends
		{1200, func(row int) int { return max(1-row, 0) << 26 }, "[1 1199]"},
	} {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for row := range c.rows {
			b.Field(0).(*array.StringBuilder).Append(strings.Repeat("x", c.size(row)))
		}
		batch := b.NewRecordBatch()
		for _, cuts := range [][]int64{nil, {1, 33, 50}, {31, 32}} {
			rows := make([]int64, 0, 4)
			for _, s := range open(t, spooled(t, batch, cuts...)).Spans() {
				rows = append(rows, s.Rows)
			}
			if fmt.Sprint(rows) != c.want {
				t.Errorf("in batches that end at %v spans have %v rows; want %s", cuts, rows, c.want)
			}
		}
		batch.Release()
		b.Release()
	}
}

func TestSpoolLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	batch := batchOf(t, rowsJSON(10))
	defer batch.Release()
	w, err := Create(batch.Schema(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("while it is written its folder has %v, %v", left, err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := Create(batch.Schema(), Options{Dir: dir + "/gone"}); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("Create in no folder: %v; want an error that names TMPDIR", err)
	}
}
