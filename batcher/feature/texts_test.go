package feature_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/batcher/feature"
)

// TestTextsThatAreAllDistinct: where a column's rows are no longer looked up, and where
// they are again, they give what they are.
func TestTextsThatAreAllDistinct(t *testing.T) {
	t.Parallel()
	const rows = 100_000 // 4,096 texts, then 65,536 rows that pass, then texts again
	texts, numbers := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	for row := range rows {
		texts.Append(strconv.Itoa(7 * row))
		numbers.Append(int64(7 * row))
	}
	record := recordOf(t, []string{"text", "number"}, texts.NewArray(), numbers.NewArray())
	m := &feature.Map{Values: map[string]float64{}, Default: new(feature.NumberOf(-1))}
	for row := 0; row < rows; row += 2 {
		m.Values[strconv.Itoa(7*row)] = float64(row)
	}
	hash := feature.Step{Hash: &feature.Hash{Buckets: 1 << 20}}
	matrix, _ := evaluateAll(t, compileAll(t, record.Schema(), []feature.Feature{
		{Name: "map", Column: "text", Transforms: []feature.Step{{Map: m}}},
		{Name: "hash", Column: "text", Transforms: []feature.Step{hash}},
		{Name: "parsed", Column: "text", Transforms: []feature.Step{{Cast: &feature.Cast{To: feature.ToFloat64}}}},
		{Name: "written", Column: "number", Transforms: []feature.Step{{Cast: &feature.Cast{To: feature.ToString}}, hash}},
	}), record)
	for row, got := range matrix {
		mapped, bucket := -1.0, float64(xxhash.Sum64String(strconv.Itoa(7*row))%(1<<20))
		if row%2 == 0 {
			mapped = float64(row)
		}
		if want := [4]float64{mapped, bucket, float64(7 * row), bucket}; [4]float64(got) != want {
			t.Fatalf("row %d: %v; want %v", row, got, want)
		}
		if text := record.Column(0).ValueStr(row); text != strconv.Itoa(7*row) {
			t.Fatalf("the text of row %d was overwritten: %q", row, text)
		}
	}
}

// TestDictionaryIsReadWhereRowsAre: of a dictionary, which may have far more texts than a batch
// has rows, no more is read than rows ask for, whether they are looked up or pass; and that is
// checked.
func TestDictionaryIsReadWhereRowsAre(t *testing.T) {
	t.Parallel()
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	offsets := memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 1, 2, 99, 3}))
	entries := array.NewData(typ.ValueType, 4, []*memory.Buffer{nil, offsets, memory.NewBufferBytes([]byte("abc"))}, nil, 0, 0)
	indices := memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 1, 1, 2, 3}))
	column := array.NewDictionaryData(array.NewDataWithDictionary(typ, 5, []*memory.Buffer{nil, indices}, 0, 0, entries))
	record := recordOf(t, []string{"text"}, column)
	programs := compileAll(t, record.Schema(), []feature.Feature{{Name: "is b", Column: "text", Transforms: []feature.Step{{Equals: new(feature.TextOf("b"))}}}})
	for _, bounds := range []int{0, 100} {
		e := feature.NewEvaluator(programs, func(string) int { return 0 })
		e.Bounds(bounds, 100)
		if err := e.Open(record, 0, 5); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, 1} {
			e.Tile(at, 2)
			res, err := e.Compute(programs[0])
			if err != nil {
				t.Fatal(err)
			}
			if want := [][]float64{{0, 1}, {1, 1}}[at]; !slices.Equal(res.Numbers, want) {
				t.Errorf("rows from %d on are %v; want %v", at, res.Numbers, want)
			}
		}
		for _, at := range []int{3, 4} { // entries that end after all bytes, and begin there
			e.Tile(at, 1)
			if _, err := e.Compute(programs[0]); !errors.Is(err, feature.ErrDamaged) {
				t.Errorf("row %d: %v; want %v", at, err, feature.ErrDamaged)
			}
		}
		e.Close()
	}
}

// TestDictionariesThatFollowEachOther: a record batch's dictionary is its own, whatever lay in the same
// memory before, and one that is known is looked at no less.
func TestDictionariesThatFollowEachOther(t *testing.T) {
	t.Parallel()
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	texts, offsets := []byte("aabb"), []int32{0, 1, 2, 3}
	schema := arrow.NewSchema([]arrow.Field{{Name: "text", Type: typ, Nullable: true}}, nil)
	programs := compileAll(t, schema, []feature.Feature{{Name: "is b", Column: "text", Transforms: []feature.Step{{Equals: new(feature.TextOf("b"))}}}})
	e := feature.NewEvaluator(programs, func(string) int { return 0 })
	const rows = 30 // beside which the dictionary is small
	open := func(nulls byte) {
		t.Helper()
		entries := array.NewData(typ.ValueType, 3, []*memory.Buffer{
			memory.NewBufferBytes([]byte{nulls}), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(texts),
		}, nil, array.UnknownNullCount, 0)
		indices := make([]int32, rows)
		for i := range indices {
			indices[i] = int32(i % 3)
		}
		column := array.NewDictionaryData(array.NewDataWithDictionary(typ, rows, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(indices))}, 0, 0, entries))
		if err := e.Open(array.NewRecordBatch(schema, []arrow.Array{column}, rows), 0, rows); err != nil {
			t.Fatal(err)
		}
		e.Tile(0, rows)
	}
	for _, step := range []struct {
		change func()
		nulls  byte
		want   []float64 // of the first three rows; nil where the column is damaged
	}{
		{func() {}, 7, []float64{0, 0, 1}},
		{func() {}, 7, []float64{0, 0, 1}},
		{func() { copy(texts, "bab") }, 7, []float64{1, 0, 1}},
		{func() { offsets[1], offsets[2] = 0, 1 }, 7, []float64{0, 1, 0}}, // "", "b", "ab"
		{func() {}, 5, []float64{0, math.NaN(), 0}},
		{func() {}, 7, []float64{0, 1, 0}},
		{func() { offsets[1] = 99 }, 7, nil},
		{func() {}, 7, nil},
		{func() { offsets[1] = 0 }, 7, []float64{0, 1, 0}},
	} {
		step.change()
		open(step.nulls)
		res, err := e.Compute(programs[0])
		e.Close()
		if step.want == nil {
			if !errors.Is(err, feature.ErrDamaged) {
				t.Errorf("offsets %v: %v; want %v", offsets, err, feature.ErrDamaged)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for r, want := range step.want {
			got := res.Numbers[r]
			if res.Marks != nil && res.Marks[r] == feature.NullMark {
				got = math.NaN()
			}
			if got != want && !(got != got && want != want) {
				t.Errorf("row %d of %q, offsets %v: %v; want %v", r, texts, offsets, got, want)
			}
		}
	}
}

// TestTextsThatAreOneTogether: two rows whose bytes are UTF-8 only one after the other are
// bad, whether they are looked up or not, or only glanced at.
func TestTextsThatAreOneTogether(t *testing.T) {
	t.Parallel()
	for bounds, step := range map[int]feature.Step{0: {Hash: &feature.Hash{Buckets: 9}}, 100: {Hash: &feature.Hash{Buckets: 9}}, 99: {Equals: new(feature.TextOf("b"))}} {
		texts := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
		for _, text := range []string{"a", "b", "\xc3", "\xa9", "é"} {
			texts.Append([]byte(text))
		}
		record := recordOf(t, []string{"text"}, texts.NewArray())
		programs := compileAll(t, record.Schema(), []feature.Feature{{Name: "f", Column: "text", Transforms: []feature.Step{step}}})
		e := feature.NewEvaluator(programs, func(string) int { return 0 })
		e.Bounds(bounds, 100)
		if err := e.Open(record, 0, 5); err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Tile(0, 2)
		if _, err := e.Compute(programs[0]); err != nil {
			t.Fatal(err)
		}
		e.Tile(2, 3)
		res, err := e.Compute(programs[0])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(res.Marks, []feature.Mark{feature.DeadMark, feature.DeadMark, feature.Present}) {
			t.Errorf("bounds %d: marks %v, of which the first two should be bad", bounds, res.Marks)
		}
	}
}

// TestGlances: an equals that is alone with a plain column gives what others give, of texts of
// every length, the empty one too, that differ from it in one byte or in none.
func TestGlances(t *testing.T) {
	t.Parallel()
	const most = 20
	for length := range most {
		want := "abcdefghijklmnopqrstuvwxyz"[:length]
		var texts []string
		for at := range length {
			texts = append(texts, want, want[:at]+"_"+want[at+1:], want[at+1:], want[:at])
		}
		texts = append(texts, want, want+"z", "z"+want, "z", want)
		column := array.NewStringBuilder(memory.DefaultAllocator)
		column.AppendValues(texts, nil)
		record := recordOf(t, []string{"text"}, column.NewArray())
		matrix, _ := evaluateAll(t, compileAll(t, record.Schema(), []feature.Feature{{Column: "text", Transforms: []feature.Step{{Equals: new(feature.TextOf(want))}}}}), record)
		for row, text := range texts {
			if got := matrix[row][0] == 1; got != (text == want) {
				t.Errorf("%q equals %q: %v", text, want, got)
			}
		}
	}
}

// TestPartsOfOneClock: features that share a column's clock give each its own part; a time
// that is too far away is bad in all, and counted with the first that asks.
func TestPartsOfOneClock(t *testing.T) {
	t.Parallel()
	times := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"})
	times.AppendValues([]arrow.Timestamp{0, math.MaxInt64, 1_700_000_000, 7}, []bool{true, true, true, false})
	record := recordOf(t, []string{"at"}, times.NewArray())
	specs := make([]feature.Feature, 0, 6)
	for _, zone := range []string{"UTC", "Asia/Tokyo"} {
		for _, part := range []feature.TimePart{feature.Year, feature.Hour, feature.Weekday} {
			specs = append(specs, feature.Feature{Name: string(part) + zone, Column: "at", Transforms: []feature.Step{{DateTime: &feature.DateTime{Part: part, Zone: zone}}}})
		}
	}
	programs := compileAll(t, record.Schema(), specs)
	matrix, bad := evaluateAll(t, programs, record)
	null := math.NaN()
	want := [][]float64{
		{1970, 0, 3, 1970, 9, 3},
		{null, null, null, null, null, null},
		{2023, 22, 1, 2023, 7, 2}, // 2023-11-14 22:13:20 in UTC
		{null, null, null, null, null, null},
	}
	if fmt.Sprint(matrix) != fmt.Sprint(want) || fmt.Sprint(bad) != "[false true false false]" {
		t.Errorf("%v, bad %v; want %v", matrix, bad, want)
	}
	e := feature.NewEvaluator(programs, func(string) int { return 0 })
	if err := e.Open(record, 0, 4); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.Tile(0, 4)
	res, err := e.Compute(programs[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Problems) != 1 || res.Problems[0].Feature != "hourUTC" || res.Problems[0].Row != 1 {
		t.Errorf("problems %+v; want one of hourUTC in row 1", res.Problems)
	}
}

func recordOf(t *testing.T, names []string, arrays ...arrow.Array) arrow.RecordBatch {
	t.Helper()
	fields := make([]arrow.Field, len(arrays))
	for i, a := range arrays {
		fields[i] = arrow.Field{Name: names[i], Type: a.DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(arrays[0].Len()))
}

func compileAll(t *testing.T, schema *arrow.Schema, specs []feature.Feature) []*feature.Program {
	t.Helper()
	programs, err := feature.Compile(specs, schema)
	if err != nil {
		t.Fatal(err)
	}
	return programs
}
