package batcher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// go test -run '^$' -bench LinearFeatures -benchtime 30x ./batcher
//
// A [4096,32] tensor from 32 columns like BenchmarkAssemble's, by turns as they are and
// as features through fill, clip and scale; x-plain is the least time of the one as a
// multiple of the other's.
func BenchmarkLinearFeatures(b *testing.B) {
	for _, pair := range []struct {
		from arrow.DataType
		to   models.ElementType
	}{
		{arrow.PrimitiveTypes.Float32, models.Float32},
		{arrow.PrimitiveTypes.Float64, models.Float32},
		{arrow.PrimitiveTypes.Int64, models.Float32},
		{arrow.PrimitiveTypes.Float64, models.Float64},
	} {
		for _, nulls := range []int{0, 5} {
			for _, place := range []string{"cache", "memory"} {
				b.Run(fmt.Sprintf("from=%s/to=%s/nulls=%d/place=%s", pair.from, pair.to, nulls, place), func(b *testing.B) {
					bits := pair.from.(arrow.FixedWidthDataType).BitWidth() //nolint:forcetypeassert // the table has no others
					c := &columnsBench{from: pair.from, nulls: nulls, bits: bits, width: benchWidth, batch: benchRows, rows: benchRows}
					if place == "memory" {
						c.rows = benchMemory * 8 / bits / benchWidth
					}
					c.store = kernel.Aligned[byte](c.rows * bits / 8 * benchWidth)
					names, fields, specs := make([]string, c.width), make([]any, 0, 2*c.width), make([]feature.Feature, c.width)
					for i := range names {
						names[i] = fmt.Sprint("c", i)
						fields = append(fields, names[i], c.from)
						low, high, mean, std, fill := -1e3, 3e3, 2048.0, 1200.0, feature.NumberOf(7)
						specs[i] = feature.Feature{Column: names[i], Transforms: []feature.Step{
							{Fill: &fill}, {Clip: &feature.Clip{Min: &low, Max: &high}}, {Scale: &feature.Scale{Mean: &mean, Std: &std}},
						}}
					}
					schema := schemaOf(fields...)
					batches := c.batches(schema)
					plain := benchAssembler(b, pair.to, schema, names, ParseNullPolicy("7"))
					inTurns(b, plain, featuresAssembler(b, pair.to, schema, specs), batches)
				})
			}
		}
	}
}

// go test -run '^$' -bench OneHotFeature -benchtime 30x ./batcher
//
// A [4096,300] float32 tensor of a dictionary column of 300 texts, and of a plain column
// of them; x-clear is the least time as a multiple of clearing as many bytes.
func BenchmarkOneHotFeature(b *testing.B) {
	const categories = 300
	r := rand.New(rand.NewPCG(1, 2))
	texts, one := make([]string, categories), &feature.OneHot{}
	for i := range texts {
		texts[i] = fmt.Sprintf("category %d", i)
		one.Categories = append(one.Categories, feature.Category{feature.TextOf(texts[i])})
	}
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	for _, typ := range []arrow.DataType{dictionary, arrow.BinaryTypes.String} {
		b.Run("from="+typ.Name(), func(b *testing.B) {
			builder := array.NewBuilder(memory.DefaultAllocator, typ)
			for range benchRows {
				if err := builder.AppendValueFromString(texts[r.IntN(categories)]); err != nil {
					b.Fatal(err)
				}
			}
			schema := schemaOf("c", typ)
			batch := batchOf(schema, []arrow.Array{builder.NewArray()})
			a := featuresAssembler(b, models.Float32, schema, []feature.Feature{{Column: "c", Transforms: []feature.Step{{OneHot: one}}}})
			room := kernel.Aligned[float32](benchRows * categories)
			least := [2]time.Duration{math.MaxInt64, math.MaxInt64}
			b.SetBytes(benchRows * categories * 4)
			for b.Loop() {
				start := time.Now()
				if _, err := a.Assemble(batch); err != nil {
					b.Fatal(err)
				}
				least[0] = min(least[0], time.Since(start))
				start = time.Now()
				clear(room)
				least[1] = min(least[1], time.Since(start))
			}
			b.ReportMetric(float64(least[0])/float64(least[1]), "x-clear")
			b.ReportMetric(float64(least[0])/benchRows, "ns/row")
		})
	}
}

func featuresAssembler(b *testing.B, to models.ElementType, schema *arrow.Schema, specs []feature.Feature) *Assembler {
	b.Helper()
	programs, err := feature.Compile(specs, schema)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := Bind([]models.Value{input("x", to, -1, -1)}, schema, Options{Programs: programs})
	if err != nil {
		b.Fatal(err)
	}
	return plan.NewAssembler(benchRows, RefuseLossy)
}

// inTurns assembles batches by one assembler and another, and reports the second's time.
func inTurns(b *testing.B, one, other *Assembler, batches []*Batch) {
	b.Helper()
	defer func() {
		for _, batch := range batches {
			batch.Release()
		}
	}()
	least := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	next := 0
	b.ReportAllocs()
	for b.Loop() {
		for arm, a := range []*Assembler{one, other} {
			start := time.Now()
			for range benchBurst {
				if _, err := a.Assemble(batches[next%len(batches)]); err != nil {
					b.Fatal(err)
				}
				next++
			}
			least[arm] = min(least[arm], time.Since(start)/benchBurst)
		}
	}
	b.ReportMetric(float64(least[1])/float64(least[0]), "x-plain")
	b.ReportMetric(float64(least[1])/benchRows, "ns/row")
}
