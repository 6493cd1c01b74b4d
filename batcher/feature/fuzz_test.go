package feature_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

const fuzzRows = `[
	{"delay": 1.5, "flight": 9007199254740993, "carrier": "AA", "made": "2012-02-29", "at": "1969-12-31T23:59:59Z", "local": "2013-03-10T02:30:00", "clock": "23:59:59", "late": true, "list": [], "twice": 1},
	{"delay": null, "flight": null, "carrier": null, "made": null, "at": null, "local": null, "clock": null, "late": null, "list": null},
	{"delay": -1e30, "flight": -1, "carrier": "", "made": "0001-01-01", "at": "9999-12-31T00:00:00Z", "local": "1850-01-01T00:00:00", "clock": "00:00:00", "late": false, "list": [1], "twice": 1}]`

// FuzzCompile: whatever features say, they are refused or compute every row of their
// data, or call it bad.
//
//	go test -run '^$' -fuzz FuzzCompile -fuzztime 60s -parallel 1 ./batcher/feature
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`[{"column": "delay", "transforms": [{"fill": 0}, {"clip": {"min": -1}}, {"scale": {"mean": 1, "std": 2}}, {"log1p": {}}, {"abs": {}}]}]`,
		`[{"column": "carrier", "transforms": [{"onehot": {"categories": [["AA"], [null]], "unknown": "zeros"}}]}, {"name": "h", "column": "carrier", "transforms": [{"hash": {"buckets": 4, "onehot": true}}]}]`,
		`[{"name": "a", "column": "local", "transforms": [{"datetime": {"part": "hour", "from_zone": "America/New_York", "zone": "UTC", "cyclic": "both"}}]}]`,
		`[{"name": "a", "column": "made", "transforms": [{"datetime": {"part": "day_of_year"}}, {"bucketize": {"edges": [1, 31], "right": true}}, {"map": {"values": {"1": 5}, "default": "nan"}}]}]`,
		`[{"name": "a", "columns": ["delay", "flight"], "transforms": [{"ratio": {"on_zero": "reject"}}, {"cast": {"to": "string"}}, {"equals": "NaN"}]}, {"name": "b", "columns": ["a", "a"], "transforms": [{"product": {}}]}]`,
		`[{"column": "late", "transforms": [{"fill": false}, {"cast": {"to": "int64"}}]}, {"name": "x", "column": "clock", "transforms": [{"datetime": {"part": "second"}}]}]`,
	} {
		f.Add([]byte(seed))
	}
	schema := arrow.NewSchema(refuseSchema.Fields()[:9], nil)
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(fuzzRows))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(record.Release)
	f.Fuzz(func(t *testing.T, data []byte) {
		var specs []feature.Feature
		if json.Unmarshal(data, &specs) != nil {
			return
		}
		programs, err := feature.Compile(specs, schema)
		if (err == nil) != (len(programs) == len(specs)) && len(specs) > 0 || err != nil && !errors.Is(err, feature.ErrFeature) {
			t.Fatalf("Compile() = %d programs, %v; want %d or ErrFeature", len(programs), err, len(specs))
		}
		var computed []*feature.Program
		for _, p := range programs {
			if _, bare := p.Column(); !bare && p.Width() < 1<<12 {
				computed = append(computed, p)
			}
			_ = p.Describe()
		}
		for r, values := range evaluateRows(t, computed, record) {
			want := 0
			for _, p := range computed {
				want += p.Width()
			}
			if len(values) != want {
				t.Fatalf("row %d has %d values; want %d", r, len(values), want)
			}
		}
	})
}

func evaluateRows(t *testing.T, programs []*feature.Program, record arrow.RecordBatch) [][]float64 {
	t.Helper()
	var numbers []*feature.Program
	for _, p := range programs {
		if p.Values() != feature.Texts {
			numbers = append(numbers, p)
		}
	}
	matrix, _ := evaluateAll(t, numbers, record)
	for r := range matrix {
		for range len(programs) - len(numbers) {
			matrix[r] = append(matrix[r], 0)
		}
	}
	return matrix
}

// damagedPrograms are some of each kind of column.
var damagedPrograms = []struct {
	typ   arrow.DataType
	specs string
}{
	{arrow.BinaryTypes.String, `[{"name": "f", "column": "c", "transforms": [{"hash": {"buckets": 9}}]}]`},
	{arrow.BinaryTypes.LargeString, `[{"name": "f", "column": "c", "transforms": [{"map": {"values": {"a": 1}, "default": 0}}]}]`},
	{&arrow.FixedSizeBinaryType{ByteWidth: 2}, `[{"name": "f", "column": "c", "transforms": [{"equals": "ab"}]}]`},
	{arrow.PrimitiveTypes.Float32, `[{"name": "f", "column": "c", "transforms": [{"log1p": {}}]}]`},
	{arrow.PrimitiveTypes.Int64, `[{"name": "f", "column": "c", "transforms": [{"bucketize": {"edges": [0, 5]}}]}]`},
	{arrow.FixedWidthTypes.Boolean, `[{"name": "f", "column": "c", "transforms": [{"abs": {}}]}]`},
	{arrow.FixedWidthTypes.Timestamp_ns, `[{"name": "f", "column": "c", "transforms": [{"datetime": {"part": "year", "zone": "Europe/Berlin"}}]}]`},
	{&arrow.TimestampType{Unit: arrow.Second}, `[{"name": "f", "column": "c", "transforms": [{"datetime": {"part": "hour", "from_zone": "America/New_York"}}]}]`},
	{&arrow.Decimal128Type{Precision: 9, Scale: 2}, `[{"name": "f", "column": "c", "transforms": [{"abs": {}}]}]`},
	{arrow.Null, `[{"name": "f", "column": "c", "transforms": [{"onehot": {"categories": [["a"]], "unknown": "other"}}]}]`},
}

// FuzzDamaged: columns whose buffers are anything, by themselves, as dictionaries and
// in runs, are computed or are an error.
//
//	go test -run '^$' -fuzz FuzzDamaged -fuzztime 60s -parallel 1 ./batcher/feature
func FuzzDamaged(f *testing.F) {
	f.Add(uint8(0), uint8(4), uint8(0), []byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0}, []byte("abc"), []byte{0x0b})
	f.Add(uint8(10), uint8(4), uint8(1), []byte{0, 1, 2, 200, 1}, []byte("abc"), []byte{})
	f.Add(uint8(20), uint8(4), uint8(0), []byte{1, 0, 0, 0, 4, 0, 0, 0}, []byte("abcdefgh"), []byte{3})
	f.Add(uint8(13), uint8(3), uint8(2), []byte{255, 255, 0, 0, 0}, []byte{0, 0, 128, 63, 0, 0, 0, 0}, []byte{7})
	f.Fuzz(func(t *testing.T, which, rows, offset uint8, first, second, valid []byte) {
		what := damagedPrograms[int(which)%len(damagedPrograms)]
		a := damaged(what.typ, int(which)/len(damagedPrograms)%3, layout{int(rows), int(offset), first, second, valid})
		if a == nil {
			return
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: a.DataType(), Nullable: true}}, nil)
		record := array.NewRecordBatch(schema, []arrow.Array{a}, int64(rows))
		var specs []feature.Feature
		if err := json.Unmarshal([]byte(what.specs), &specs); err != nil {
			t.Fatal(err)
		}
		programs, err := feature.Compile(specs, schema)
		if err != nil {
			t.Fatal(err)
		}
		e := feature.NewEvaluator(programs, func(string) int { return 0 })
		if err := e.Open(record, 0, int(rows)); err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Tile(0, int(rows))
		res, err := e.Compute(programs[0])
		if (res == nil) == (err == nil) || err != nil && !errors.Is(err, feature.ErrDamaged) {
			t.Fatalf("Compute() = %v, %v; want a result or ErrDamaged", res, err)
		}
	})
}

// layout is what a damaged array's buffers hold.
type layout struct {
	rows, offset         int
	first, second, valid []byte
}

// damaged makes an array, where arrow-go itself lets it be made: plain, a dictionary or
// in runs.
func damaged(typ arrow.DataType, encoding int, l layout) (a arrow.Array) {
	defer func() {
		if recover() != nil {
			a = nil // arrow-go refuses such buffers
		}
	}()
	var bitmap *memory.Buffer
	if len(l.valid) > 0 {
		bitmap = memory.NewBufferBytes(l.valid)
	}
	values := func(rows, offset int, bitmap *memory.Buffer) *array.Data {
		buffers := []*memory.Buffer{bitmap, memory.NewBufferBytes(l.first)}
		switch typ.ID() {
		case arrow.STRING, arrow.LARGE_STRING:
			buffers = append(buffers, memory.NewBufferBytes(l.second))
		case arrow.NULL:
			buffers = []*memory.Buffer{nil}
		}
		return array.NewData(typ, rows, buffers, nil, array.UnknownNullCount, offset)
	}
	switch encoding {
	case 0:
		return array.MakeFromData(values(l.rows, l.offset, bitmap))
	case 1:
		l.first, l.second = l.second, l.first
		dict := values(len(l.first)/8, 0, nil)
		t := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: typ}
		whole := array.NewDictionaryData(array.NewDataWithDictionary(t, l.rows, []*memory.Buffer{bitmap, memory.NewBufferBytes(l.second)}, array.UnknownNullCount, l.offset, dict))
		_ = whole.Dictionary() // made when it is first asked for
		return whole
	default:
		l.first, l.second = l.second, l.first
		n := len(l.second) / 4
		ends := array.NewData(arrow.PrimitiveTypes.Int32, n, []*memory.Buffer{nil, memory.NewBufferBytes(l.second)}, nil, 0, 0)
		return array.MakeFromData(array.NewData(arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, typ), l.rows, []*memory.Buffer{nil}, []arrow.ArrayData{ends, values(n, 0, nil)}, 0, l.offset))
	}
}
