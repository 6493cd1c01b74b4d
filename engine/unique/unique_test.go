package unique

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// domain is a type and values of it that all differ, as JSON.
type domain struct {
	of     arrow.DataType
	values []string
}

func domains() []domain {
	numbers := []string{"null", "0", "1", "2", "3", "100"}
	texts := []string{"null", `""`, `"a"`, `"b"`, `"ab"`, `"a\u0000"`, `"` + strings.Repeat("x", 400) + `"`}
	list := []string{"null", "[]", "[null]", "[0]", "[0,0]", "[0,null]", "[1]"}
	number := arrow.PrimitiveTypes
	ofNumbers := []arrow.DataType{number.Int8, number.Int16, number.Int32, number.Int64, number.Uint8, number.Uint16, number.Uint32, number.Uint64, number.Date32, number.Float32, number.Float64}
	all := make([]domain, 0, 20+len(ofNumbers))
	all = append(all, []domain{
		{arrow.FixedWidthTypes.Boolean, []string{"null", "true", "false"}},
		{arrow.BinaryTypes.String, texts},
		{arrow.BinaryTypes.LargeString, texts},
		{arrow.BinaryTypes.StringView, texts},
		{arrow.BinaryTypes.Binary, []string{"null", `""`, `"AA=="`, `"AAA="`}},
		{&arrow.FixedSizeBinaryType{ByteWidth: 3}, []string{"null", `"AAAA"`, `"AAAB"`}},
		{&arrow.FixedSizeBinaryType{ByteWidth: 30}, []string{"null", `"` + strings.Repeat("AAAA", 10) + `"`, `"` + strings.Repeat("AAAB", 10) + `"`}},
		{&arrow.Decimal128Type{Precision: 20, Scale: 2}, []string{"null", `"0"`, `"0.01"`, `"-0.01"`, `"100000000000000.01"`}},
		{&arrow.Decimal256Type{Precision: 60, Scale: 0}, []string{"null", `"0"`, `"-1"`}},
		{arrow.FixedWidthTypes.Timestamp_us, numbers},
		{arrow.FixedWidthTypes.Duration_s, numbers},
		{arrow.FixedWidthTypes.Time32s, numbers},
		{arrow.ListOf(number.Int32), list},
		{arrow.ListOf(arrow.BinaryTypes.String), []string{"null", `["a","b"]`, `["ab"]`, `["ab",""]`, `["","ab"]`}},
		{arrow.FixedSizeListOf(2, number.Int8), []string{"null", "[0,0]", "[0,1]", "[1,0]", "[null,0]"}},
		{arrow.StructOf(arrow.Field{Name: "a", Type: number.Int8, Nullable: true}, arrow.Field{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true}), []string{"null", `{"a":1,"b":"x"}`, `{"a":1,"b":null}`, `{"a":null,"b":"x"}`, `{"a":null,"b":null}`}},
		{arrow.MapOf(arrow.BinaryTypes.String, number.Int8), []string{"null", "[]", `[{"key":"a","value":1}]`, `[{"key":"a","value":2}]`}},
		{&arrow.DictionaryType{IndexType: number.Int8, ValueType: arrow.BinaryTypes.String}, texts},
		{&arrow.DictionaryType{IndexType: number.Int8, ValueType: number.Int64}, numbers},
		{arrow.Null, []string{"null"}},
	}...)
	for _, t := range ofNumbers {
		all = append(all, domain{t, numbers})
	}
	return all
}

// table is a record batch of columns of values of domains, and by row which they are.
func drawTable(t *rapid.T) (record arrow.RecordBatch, values []string) {
	all := domains()
	rows := rapid.IntRange(0, 300).Draw(t, "rows")
	values = make([]string, rows)
	n := rapid.IntRange(1, 3).Draw(t, "columns")
	columns, fields := make([]arrow.Array, 0, n), make([]arrow.Field, 0, n)
	for c := range n {
		d := all[rapid.IntRange(0, len(all)-1).Draw(t, "type")]
		texts := make([]string, rows)
		for i := range rows {
			at := rapid.IntRange(0, len(d.values)-1).Draw(t, "value")
			texts[i] = d.values[at]
			values[i] += fmt.Sprint("|", at)
		}
		column, _, err := array.FromJSON(memory.DefaultAllocator, d.of, strings.NewReader("["+strings.Join(texts, ",")+"]"))
		if err != nil {
			t.Fatal(err)
		}
		columns, fields = append(columns, column), append(fields, arrow.Field{Name: fmt.Sprint("c", c), Type: d.of, Nullable: true})
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(rows)), values
}

// numberedFrom numbers rows from one on.
func numberedFrom(first uint64) func(row int) uint64 {
	return func(row int) uint64 { return first + uint64(row) }
}

// duplicatesOf finds duplicates by a plain loop over rows that stand for their keys.
func duplicatesOf(keys []string) (want []Duplicate) {
	first := map[string]uint64{}
	for i, key := range keys {
		if f, again := first[key]; again {
			want = append(want, Duplicate{Row: uint64(i), First: f})
		} else {
			first[key] = uint64(i)
		}
	}
	return want
}

// TestPropertyFind finds the duplicates of tables of any type, added in any order by
// several goroutines, in memory and in files: those of a plain loop.
func TestPropertyFind(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		record, values := drawTable(t)
		defer record.Release()
		keys, err := NewKeys(record.Schema().Fields(), Mode(rapid.SampledFrom(Hash.Values()).Draw(t, "mode")))
		if err != nil {
			t.Fatal(err)
		}
		rows := len(values)
		f := NewFinder(keys, Options{BudgetBytes: rapid.SampledFrom([]int64{1, 40 * EntryBytes, 1 << 20}).Draw(t, "budget"), Dir: dir, Workers: 2, Rows: int64(rows)})
		var group sync.WaitGroup
		pieces := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7}).Draw(t, "order")
		for _, piece := range pieces {
			from, to := rows*piece/len(pieces), rows*(piece+1)/len(pieces)
			group.Go(func() {
				slice := record.NewSlice(int64(from), int64(to))
				defer slice.Release()
				if err := f.Add(slice.Columns(), numberedFrom(uint64(from))); err != nil {
					t.Error(err)
				}
			})
			if piece%2 == 0 {
				group.Wait()
			}
		}
		group.Wait()
		found, err := f.Find()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		want := duplicatesOf(values)
		if found.Rows() != int64(len(want)) || f.Rows() != int64(rows) {
			t.Errorf("%d duplicates of %d rows; want %d of %d", found.Rows(), f.Rows(), len(want), rows)
		}
		if first, ok := found.First(); ok != (len(want) > 0) || ok && first != want[0] {
			t.Errorf("First() = %v, %t; want the first of %v", first, ok, want)
		}
		for range 4 {
			from := rapid.Uint64Range(0, uint64(rows)).Draw(t, "from")
			to := rapid.Uint64Range(from, uint64(rows)).Draw(t, "to")
			var some []Duplicate
			for _, d := range want {
				if d.Row >= from && d.Row < to {
					some = append(some, d)
				}
			}
			got, err := found.In(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(some, append([]Duplicate(nil), got...)); diff != "" {
				t.Fatalf("In(%d, %d) (-want +got):\n%s", from, to, diff)
			}
		}
		if err := found.Close(); err != nil {
			t.Error(err)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// int64s is a record batch of one column.
func int64s(values []int64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil))
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(values, nil)
	return b.NewRecordBatch()
}

// TestManyDuplicates has more of them than are kept in memory, and than one place of the
// index stands for: they are found wherever one looks.
func TestManyDuplicates(t *testing.T) {
	const rows = 100_000
	values, texts := make([]int64, rows), make([]string, rows)
	for i := range values {
		values[i] = int64(i * 7919 % 3001)
		if i < rows/2 {
			values[i] = 5 // the same for half of all
		}
		texts[i] = strconv.FormatInt(values[i], 10)
	}
	record := int64s(values)
	defer record.Release()
	keys, err := NewKeys(record.Schema().Fields(), Hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []int64{64 << 10, 64 << 20} {
		f := NewFinder(keys, Options{BudgetBytes: budget, Dir: t.TempDir(), Workers: 3, Rows: rows})
		if err := f.Add(record.Columns(), numberedFrom(0)); err != nil {
			t.Fatal(err)
		}
		if spilled := f.Spilled() > 0; spilled != (budget < 1<<20) {
			t.Errorf("budget %d: %d bytes written to disk", budget, f.Spilled())
		}
		found, err := f.Find()
		if err != nil {
			t.Fatal(err)
		}
		want := duplicatesOf(texts)
		got := []Duplicate{}
		for from := uint64(0); from < rows; from += 777 {
			some, err := found.In(from, min(from+777, rows))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, some...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("budget %d: other duplicates than a plain loop finds:\n%.500s", budget, diff)
		}
		if err := errors.Join(found.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestFewKeysKeepTheBudget adds rows of one key, then of another: all go to one pile at a
// time, and the room of all piles stays within twice the budget.
func TestFewKeysKeepTheBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	const budget, keysInTurn, rowsOfEach = 16 << 20, 12, 160_000
	record := int64s(make([]int64, rowsOfEach))
	defer record.Release()
	keys, err := NewKeys(record.Schema().Fields(), Hash)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFinder(keys, Options{BudgetBytes: budget, Dir: t.TempDir(), Workers: 2, Rows: keysInTurn * rowsOfEach, Want: WantCount})
	values := make([]int64, rowsOfEach)
	for key := range keysInTurn {
		for i := range values {
			values[i] = int64(key)
		}
		same := int64s(values)
		err := f.Add(same.Columns(), numberedFrom(uint64(key*rowsOfEach)))
		same.Release()
		if err != nil {
			t.Fatal(err)
		}
		room := 0
		for i := range f.mu.piles {
			room += cap(f.mu.piles[i].entries) * EntryBytes
		}
		if room > 2*budget {
			t.Fatalf("after %d keys piles have room for %d MiB; want at most twice the budget of %d MiB", key+1, room>>20, budget>>20)
		}
	}
	found, err := f.Find()
	if err != nil {
		t.Fatal(err)
	}
	if first, _ := found.First(); found.Rows() != keysInTurn*(rowsOfEach-1) || first != (Duplicate{1, 0}) {
		t.Errorf("%d duplicates, the first %v; want %d, and row 1 after row 0", found.Rows(), first, keysInTurn*(rowsOfEach-1))
	}
	if err := errors.Join(found.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}

// TestFloatsThatAreEqual has NaNs of other bits, and both zeros.
func TestFloatsThatAreEqual(t *testing.T) {
	nan32, nan64 := math.Float32frombits(0x7fc00001), math.Float64frombits(0xfff8000000000123)
	mem := memory.DefaultAllocator
	f16, f32, f64 := array.NewFloat16Builder(mem), array.NewFloat32Builder(mem), array.NewFloat64Builder(mem)
	f16.AppendValues([]float16.Num{float16.New(0), float16.FromBits(0x8000), float16.FromBits(0x7e01), float16.FromBits(0xfe00), float16.New(1)}, nil)
	f32.AppendValues([]float32{0, float32(math.Copysign(0, -1)), nan32, float32(math.NaN()), 1}, nil)
	f64.AppendValues([]float64{0, math.Copysign(0, -1), nan64, math.NaN(), 1}, nil)
	for _, column := range []arrow.Array{f16.NewArray(), f32.NewArray(), f64.NewArray()} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: column.DataType()}}, nil)
		keys, err := NewKeys(schema.Fields(), Hash)
		if err != nil {
			t.Fatal(err)
		}
		f := NewFinder(keys, Options{BudgetBytes: 1 << 20, Rows: 5})
		if err := f.Add([]arrow.Array{column}, numberedFrom(0)); err != nil {
			t.Fatal(err)
		}
		found, err := f.Find()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := found.In(0, 5)
		if diff := cmp.Diff([]Duplicate{{1, 0}, {3, 2}}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", column.DataType(), diff)
		}
	}
}

// TestWhereTextEnds has rows of two texts that are the same bytes one after the other,
// with those between them that the encoding puts there.
func TestWhereTextEnds(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}}, nil))
	defer b.Release()
	for _, row := range [][2]string{{"", "\x01x"}, {"\x01", "x"}, {"x", ""}, {"", "x"}, {"\x01", "x"}} {
		b.Field(0).(*array.StringBuilder).Append(row[0])
		b.Field(1).(*array.StringBuilder).Append(row[1])
	}
	record := b.NewRecordBatch()
	defer record.Release()
	keys, err := NewKeys(record.Schema().Fields(), Exact)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFinder(keys, Options{BudgetBytes: 1 << 20, Rows: 5})
	if err := f.Add(record.Columns(), numberedFrom(0)); err != nil {
		t.Fatal(err)
	}
	found, err := f.Find()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := found.In(0, 5)
	if diff := cmp.Diff([]Duplicate{{4, 1}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCollisions gives entries with the same hash other keys: where they are kept, they
// are no duplicates, in memory and in a file.
func TestCollisions(t *testing.T) {
	for _, spilled := range []bool{false, true} {
		f := NewFinder(&Keys{keep: true}, Options{BudgetBytes: 1 << 20, Dir: t.TempDir(), Rows: 10})
		for row, key := range []string{"b", "a", "b", "", "a", "ab"} {
			if err := f.add([]entry{{hi: 7, lo: 9, row: uint64(row), size: uint32(len(key))}}, []byte(key)); err != nil {
				t.Fatal(err)
			}
			if spilled && row%2 == 1 {
				f.mu.Lock()
				if err := f.spillLocked(); err != nil {
					t.Fatal(err)
				}
				f.mu.Unlock()
			}
		}
		found, err := f.Find()
		if err != nil {
			t.Fatal(err)
		}
		got, err := found.In(0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Duplicate{{2, 0}, {4, 1}}, got); diff != "" {
			t.Errorf("spilled %t (-want +got):\n%s", spilled, diff)
		}
		if err := errors.Join(f.Close(), found.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestWhichKeysAreExact says for which columns no two keys can be mistaken.
func TestWhichKeysAreExact(t *testing.T) {
	field := func(t arrow.DataType) arrow.Field { return arrow.Field{Name: "c", Type: t} }
	i64, i32, text := field(arrow.PrimitiveTypes.Int64), field(arrow.PrimitiveTypes.Int32), field(arrow.BinaryTypes.String)
	tests := []struct {
		name   string
		fields []arrow.Field
		mode   Mode
		want   bool
	}{
		{"one number", []arrow.Field{i64}, Hash, true},
		{"a number of 8 bytes and one of 4", []arrow.Field{i64, i32}, Hash, true},
		{"two numbers of 8 bytes and their nulls", []arrow.Field{i64, i64}, Hash, false},
		{"a dictionary of numbers", []arrow.Field{field(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Int64})}, Hash, true},
		{"text", []arrow.Field{text}, Hash, false},
		{"text whose values are compared", []arrow.Field{text}, Exact, true},
		{"a list", []arrow.Field{field(arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int8))}, Hash, false},
	}
	for _, test := range tests {
		keys, err := NewKeys(test.fields, test.mode)
		if err != nil || keys.Exact() != test.want {
			t.Errorf("%s: Exact() = %t, %v; want %t", test.name, keys.Exact(), err, test.want)
		}
	}
	union := arrow.DenseUnionOf([]arrow.Field{i64}, []arrow.UnionTypeCode{0})
	if _, err := NewKeys([]arrow.Field{field(arrow.ListOf(union))}, Hash); !errors.Is(err, ErrType) || !strings.Contains(err.Error(), `column "c"`) {
		t.Errorf("NewKeys() of a union = %v; want ErrType that names the column", err)
	}
}

// TestSpreadLosesNothing has pairs that differ stay different, and the first bits of
// counted ones even.
func TestSpreadLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		hi, lo := spread(a, b)
		// Its rounds, back to front.
		hi -= splitMix(lo)
		lo -= splitMix(hi)
		hi -= splitMix(lo)
		if hi != a || lo != b {
			t.Errorf("spread(%x, %x) goes back to %x, %x", a, b, hi, lo)
		}
	})
	var counts [piles]int
	const rows = 1 << 16
	for i := range uint64(rows) {
		hi, _ := spread(1|i<<8, i>>56)
		counts[hi>>(64-pileBits)]++
	}
	for pile, n := range counts {
		if mean := rows / piles; n < mean/2 || n > mean*2 {
			t.Errorf("pile %d has %d of %d rows; want about %d", pile, n, rows, mean)
		}
	}
}

func TestSpillFails(t *testing.T) {
	record := int64s(make([]int64, 1000))
	defer record.Release()
	keys, err := NewKeys(record.Schema().Fields(), Hash)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFinder(keys, Options{BudgetBytes: 100, Dir: filepath.Join(t.TempDir(), "gone"), Rows: 1000})
	if err := f.Add(record.Columns(), numberedFrom(0)); !errors.Is(err, ErrSpill) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Add() without a directory = %v; want ErrSpill", err)
	}
	// A file that another hand has cut.
	f = NewFinder(keys, Options{BudgetBytes: 100, Dir: t.TempDir(), Rows: 1000})
	if err := f.Add(record.Columns(), numberedFrom(0)); err != nil {
		t.Fatal(err)
	}
	if err := f.mu.spill.file.Truncate(10); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Find(); !errors.Is(err, ErrSpill) {
		t.Errorf("Find() in a file that was cut = %v; want ErrSpill", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestCountAlone(t *testing.T) {
	record := int64s([]int64{3, 1, 3, 3, 1})
	defer record.Release()
	keys, err := NewKeys(record.Schema().Fields(), Hash)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFinder(keys, Options{BudgetBytes: 1 << 20, Rows: 5, Want: WantCount})
	if err := f.Add(record.Columns(), numberedFrom(100)); err != nil {
		t.Fatal(err)
	}
	found, err := f.Find()
	if err != nil {
		t.Fatal(err)
	}
	first, ok := found.First()
	if some, _ := found.In(0, 1000); found.Rows() != 3 || !ok || first != (Duplicate{102, 100}) || len(some) != 0 {
		t.Errorf("%d rows, first %v, %v kept; want 3, 102 after 100, and none", found.Rows(), first, some)
	}
}

func TestSpecRefuses(t *testing.T) {
	tests := []struct {
		spec Spec
		says string // empty: it is good
	}{
		{Spec{}, ""},
		{Spec{Columns: []string{"a", "b"}}, ""},
		{Spec{Columns: []string{"a"}, On: OnNull, Mode: Exact}, ""},
		{Spec{On: OnReject}, "need --unique"},
		{Spec{Columns: []string{"a", "b", "a"}}, `names column "a" twice`},
		{Spec{Columns: []string{"a"}, On: "drop", Mode: "fast"}, "--on-duplicate (drop) must be auto, count, reject, null or fail\n--unique-mode (fast) must be hash or exact"},
	}
	for _, test := range tests {
		test.spec.EnsureDefaults()
		err := test.spec.Validate()
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v; want %q", test.spec, err, test.says)
		}
	}
}
