package batcher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/models"
)

// go test -run '^$' -bench FeatureAlone -cpu 1 -benchtime 20x ./batcher
//
// One feature of a column of 1,048,576 rows in memory, or of four for a distance, to a
// float32 tensor in batches of 4,096 rows; ns/row is of the least time of each batch.
func BenchmarkFeatureAlone(b *testing.B) {
	const rows = 1 << 20
	r := rand.New(rand.NewPCG(1, 2))
	categories := make([]string, 1000)
	m := &feature.Map{Values: map[string]float64{}}
	one := &feature.OneHot{Unknown: feature.UnknownZeros}
	for i := range categories {
		categories[i] = fmt.Sprintf("category %d", i)
		m.Values[categories[i]] = float64(i)
		if i < 20 {
			one.Categories = append(one.Categories, feature.Category{feature.TextOf(categories[i])})
		}
	}
	text, dictionary := arrow.BinaryTypes.String, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	texts := func(typ arrow.DataType, of func() string) func() arrow.Array {
		return func() arrow.Array {
			builder := array.NewBuilder(memory.DefaultAllocator, typ)
			for range rows {
				if err := builder.AppendValueFromString(of()); err != nil {
					b.Fatal(err)
				}
			}
			return builder.NewArray()
		}
	}
	few := func() string { return categories[r.IntN(20)] }
	any1000 := func() string { return categories[r.IntN(1000)] }
	fraction := func() string { return strconv.FormatFloat(r.Float64()*1000, 'f', 6, 64) }
	whole := func() string { return strconv.FormatInt(r.Int64N(1e9), 10) }
	doubles := func(of func() float64) func() arrow.Array {
		return func() arrow.Array {
			values := make([]float64, rows)
			for i := range values {
				values[i] = of()
			}
			builder := array.NewFloat64Builder(memory.DefaultAllocator)
			builder.AppendValues(values, nil)
			return builder.NewArray()
		}
	}
	singles := func(of func() float64) func() arrow.Array {
		return func() arrow.Array {
			builder := array.NewFloat32Builder(memory.DefaultAllocator)
			for range rows {
				builder.Append(float32(of()))
			}
			return builder.NewArray()
		}
	}
	integers := func() arrow.Array {
		builder := array.NewInt64Builder(memory.DefaultAllocator)
		for range rows {
			builder.Append(r.Int64N(1e9))
		}
		return builder.NewArray()
	}
	times := func(zone string) func() arrow.Array {
		return func() arrow.Array {
			builder := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: zone})
			for range rows {
				builder.Append(arrow.Timestamp(1_600_000_000_000_000 + r.Int64N(3e13)))
			}
			return builder.NewArray()
		}
	}
	degrees := func() float64 { return r.Float64()*180 - 90 }
	part := func(p feature.TimePart) feature.Step { return feature.Step{DateTime: &feature.DateTime{Part: p}} }
	cast := func(to feature.CastType) feature.Step { return feature.Step{Cast: &feature.Cast{To: to}} }
	equals := feature.Step{Equals: new(feature.TextOf("category 7"))}
	hash, log := feature.Step{Hash: &feature.Hash{Buckets: 4096}}, feature.Step{Log1p: &feature.Plain{}}
	distance := feature.Step{Haversine: &feature.Haversine{}}
	for _, job := range []struct {
		name    string
		columns int
		array   func() arrow.Array
		step    feature.Step
	}{
		{"equals/of=20-texts", 1, texts(text, few), equals},
		{"equals/of=1000-texts", 1, texts(text, any1000), equals},
		{"equals/of=distinct-texts", 1, texts(text, fraction), equals},
		{"equals/of=dictionary", 1, texts(dictionary, any1000), equals},
		{"map/of=1000-texts", 1, texts(text, any1000), feature.Step{Map: m}},
		{"map/of=dictionary", 1, texts(dictionary, any1000), feature.Step{Map: m}},
		{"onehot/of=20-texts", 1, texts(text, few), feature.Step{OneHot: one}},
		{"cast/to=float32", 1, texts(text, fraction), cast(feature.ToFloat32)},
		{"cast/to=float64", 1, texts(text, fraction), cast(feature.ToFloat64)},
		{"cast/to=int64", 1, texts(text, whole), cast(feature.ToInt64)},
		{"cast/to=float64/of=20-texts", 1, texts(text, func() string { return strconv.Itoa(r.IntN(20)) }), cast(feature.ToFloat64)},
		{"hash/of=float64", 1, doubles(r.NormFloat64), hash},
		{"hash/of=float32", 1, singles(r.NormFloat64), hash},
		{"hash/of=cents", 1, doubles(func() float64 { return math.Round(r.Float64()*1e5) / 100 }), hash},
		{"hash/of=int64", 1, integers, hash},
		{"haversine/of=float64", 4, doubles(degrees), distance},
		{"haversine/of=float32", 4, singles(degrees), distance},
		{"log1p/of=float64", 1, doubles(func() float64 { return r.ExpFloat64() * 100 }), log},
		{"log1p/of=float32", 1, singles(func() float64 { return r.ExpFloat64() * 100 }), log},
		{"epoch/of=us", 1, times("UTC"), part(feature.Epoch)},
		{"hour/of=us", 1, times("UTC"), part(feature.Hour)},
		{"weekday/of=us", 1, times("UTC"), part(feature.Weekday)},
		{"year/of=us", 1, times("UTC"), part(feature.Year)},
		{"month/of=us", 1, times(""), part(feature.Month)},
		{"hour/of=zone", 1, times("Europe/Berlin"), part(feature.Hour)},
	} {
		b.Run(job.name, func(b *testing.B) {
			spec := feature.Feature{Name: "f", Column: "c0", Transforms: []feature.Step{job.step}}
			var fields []any
			arrays := make([]arrow.Array, job.columns)
			for i := range arrays {
				arrays[i] = job.array()
				fields = append(fields, fmt.Sprint("c", i), arrays[i].DataType())
				if job.columns > 1 {
					spec.Column, spec.Columns = "", append(spec.Columns, fmt.Sprint("c", i))
				}
			}
			schema := schemaOf(fields...)
			a := featuresAssembler(b, models.Float32, schema, []feature.Feature{spec})
			record := array.NewRecordBatch(schema, arrays, rows)
			batches := make([]*Batch, 0, rows/benchRows)
			for at := 0; at < rows; at += benchRows {
				batches = append(batches, &Batch{Rows: benchRows, Segments: []Segment{{Record: record, From: at, Rows: benchRows}}})
			}
			least := slices.Repeat([]time.Duration{time.Hour}, len(batches))
			for b.Loop() {
				for i, batch := range batches {
					start := time.Now()
					if _, err := a.Assemble(batch); err != nil {
						b.Fatal(err)
					}
					least[i] = min(least[i], time.Since(start))
				}
			}
			var sum time.Duration
			for _, d := range least {
				sum += d
			}
			b.ReportMetric(float64(sum)/rows, "ns/row")
		})
	}
}
