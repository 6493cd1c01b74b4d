package filter

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// benchRecord has a record batch's worth of rows, of which nothing can be foretold.
func benchRecord(rows int) arrow.RecordBatch {
	mem := memory.DefaultAllocator
	i, f, s := array.NewInt64Builder(mem), array.NewFloat64Builder(mem), array.NewStringBuilder(mem)
	code := array.NewDictionaryBuilder(mem, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}).(*array.BinaryDictionaryBuilder)
	words := []string{"EWR", "JFK", "LGA", "a longer text"}
	x := uint64(1)
	for range rows {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		i.Append(int64(x % 1000))
		s.Append(words[x>>20%4])
		_ = code.AppendString(words[x>>22%4])
		if x>>30%20 == 0 {
			f.AppendNull()
		} else {
			f.Append(float64(x>>40) / 1000)
		}
	}
	columns := []arrow.Array{i.NewArray(), f.NewArray(), s.NewArray(), code.NewArray()}
	fields := []arrow.Field{{Name: "i"}, {Name: "f", Nullable: true}, {Name: "s"}, {Name: "code"}}
	for k := range fields {
		fields[k].Type = columns[k].DataType()
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(rows))
}

// go test ./batcher/filter -run XXX -bench . -cpu 1.
func BenchmarkFilter(b *testing.B) {
	const rows = 8192
	record := benchRecord(rows)
	defer record.Release()
	for _, c := range []struct{ name, text string }{
		{"integer", `i < 500`},
		{"nulls", `f > 5000`},
		{"and", `f != nil && i > 100 && i < 900`},
		{"list", `i in [1, 2, 3, 5, 8, 13, 21]`},
		{"text", `s == "JFK"`},
		{"dictionary", `code == "JFK"`},
		{"regex", `s matches "^[EJ]"`},
		{"arithmetic", `i * 2 + 1 < f`},
	} {
		b.Run("expression="+c.name, func(b *testing.B) {
			f, err := Parse(c.text, record.Schema())
			if err != nil {
				b.Fatal(err)
			}
			e := f.NewEvaluator()
			defer e.Close()
			var columns []arrow.Array
			for _, name := range f.Columns() {
				columns = append(columns, record.Column(record.Schema().FieldIndices(name)[0]))
			}
			b.ReportAllocs()
			for b.Loop() {
				e.Eval(columns, rows)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}

// What it costs to copy the rows that pass, of the four columns.
func BenchmarkTake(b *testing.B) {
	const rows = 8192
	record := benchRecord(rows)
	defer record.Release()
	for _, c := range []struct{ name, text string }{{"1%", `i < 10`}, {"50%", `i < 500`}, {"99%", `i < 990`}} {
		b.Run("passing="+c.name, func(b *testing.B) {
			f, err := Parse(c.text, record.Schema())
			if err != nil {
				b.Fatal(err)
			}
			e := f.NewEvaluator()
			defer e.Close()
			passed, _ := e.Eval(record.Columns()[:1], rows)
			b.ReportAllocs()
			for b.Loop() {
				few, err := passed.Take(record)
				if err != nil {
					b.Fatal(err)
				}
				few.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
