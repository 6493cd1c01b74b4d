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

// go test -run '^$' -bench Features/job=scale -benchtime 100x -count 3 ./batcher
//
// A [4096,32] tensor from 32 columns like BenchmarkAssemble's, by turns as they are and
// filled, clipped and scaled; x-plain is the time as a multiple of the first's, least of
// all turns.
//
// go test -run '^$' -bench Features/job=onehot -benchtime 100x -count 3 ./batcher
//
// A [4096,300] tensor from a dictionary column of 300 texts, alone or beside 32 columns
// of numbers; x-clear is the time as a multiple of that of clearing as many bytes.
func BenchmarkFeatures(b *testing.B) {
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
				b.Run(fmt.Sprintf("job=scale/from=%s/to=%s/nulls=%d/place=%s", pair.from, pair.to, nulls, place), func(b *testing.B) {
					bits := pair.from.(arrow.FixedWidthDataType).BitWidth() //nolint:forcetypeassert // the table has no others
					c := &columnsBench{from: pair.from, nulls: nulls, bits: bits, width: benchWidth, batch: benchRows, rows: benchRows}
					if place == "memory" {
						c.rows = benchMemory * 8 / bits / benchWidth
					}
					c.store = kernel.Aligned[byte](c.rows * bits / 8 * benchWidth)
					benchScale(b, c, pair.to)
				})
			}
		}
	}
	for _, beside := range []int{0, benchWidth} {
		b.Run(fmt.Sprintf("job=onehot/beside=%d", beside), func(b *testing.B) { benchOneHot(b, beside) })
	}
}

func setting(v float64) *float64 { return &v }

// scaleSteps fill, clip and standardise.
func scaleSteps() []feature.Step {
	fill := feature.NumberOf(3)
	return []feature.Step{
		{Fill: &fill},
		{Clip: &feature.Clip{Min: setting(10), Max: setting(4000)}},
		{Scale: &feature.Scale{Mean: setting(2047.5), Std: setting(1182.4)}},
	}
}

func benchScale(b *testing.B, c *columnsBench, to models.ElementType) {
	b.Helper()
	fields, names := make([]any, 0, 2*c.width), make([]string, c.width)
	specs := make([]feature.Feature, c.width)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
		fields = append(fields, names[i], c.from)
		specs[i] = feature.Feature{Column: names[i], Transforms: scaleSteps()}
	}
	schema := schemaOf(fields...)
	arms := []*Assembler{
		benchAssembler(b, to, schema, names, ParseNullPolicy("7")),
		featuresAssembler(b, to, schema, specs),
	}
	batches := c.batches(schema)
	defer func() {
		for _, batch := range batches {
			batch.Release()
		}
	}()
	least := []time.Duration{math.MaxInt64, math.MaxInt64}
	b.ReportAllocs()
	at := 0
	for b.Loop() {
		for arm, a := range arms {
			start := time.Now()
			for range benchBurst {
				if _, err := a.Assemble(batches[at%len(batches)]); err != nil {
					b.Fatal(err)
				}
				at++
			}
			least[arm] = min(least[arm], time.Since(start)/benchBurst)
		}
	}
	b.ReportMetric(float64(least[0]), "plain-ns")
	b.ReportMetric(float64(least[1]), "features-ns")
	b.ReportMetric(float64(least[1])/float64(least[0]), "x-plain")
}

func featuresAssembler(b *testing.B, to models.ElementType, schema *arrow.Schema, specs []feature.Feature) *Assembler {
	b.Helper()
	programs, err := feature.Compile(specs, schema)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := Bind([]models.Value{input("x", to, -1, -1)}, schema, Options{Programs: programs, Lossy: AllowLossy})
	if err != nil {
		b.Fatal(err)
	}
	return plan.NewAssembler(benchRows, AllowLossy)
}

// benchOneHot has a one-hot of 300 categories in the first columns of a matrix; the
// other arm clears as many bytes, and assembles what stands beside it.
func benchOneHot(b *testing.B, beside int) {
	b.Helper()
	const categories = 300
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	onehot := feature.OneHot{Unknown: feature.UnknownZeros}
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range categories {
		text := fmt.Sprint("category ", i)
		texts.Append(text)
		onehot.Categories = append(onehot.Categories, feature.Category{feature.TextOf(text)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	codes, valid := make([]int32, benchRows), make([]bool, benchRows)
	for i := range codes {
		codes[i], valid[i] = int32(r.IntN(categories)), r.IntN(20) > 0
	}
	indices := array.NewInt32Builder(memory.DefaultAllocator)
	indices.AppendValues(codes, valid)
	columns, numbers := []arrow.Array{array.NewDictionaryArray(dictionary, indices.NewArray(), texts.NewArray())}, []arrow.Array{}
	fields, names := []any{"c", dictionary}, []string{}
	specs := []feature.Feature{{Column: "c", Transforms: []feature.Step{{OneHot: &onehot}}}}
	for i := range beside {
		names = append(names, fmt.Sprint("x", i))
		fields = append(fields, names[i], arrow.PrimitiveTypes.Float32)
		columns = append(columns, floats(memory.DefaultAllocator, benchRows, nil))
		numbers = append(numbers, floats(memory.DefaultAllocator, benchRows, nil))
		specs = append(specs, feature.Feature{Column: names[i]})
	}
	schema := schemaOf(fields...)
	ours := featuresAssembler(b, models.Float32, schema, specs)
	batch := batchOf(schema, columns)
	defer batch.Release()
	plain, plainBatch, cleared := (*Assembler)(nil), (*Batch)(nil), kernel.Aligned[float32](benchRows*categories)
	if beside > 0 {
		plain = benchAssembler(b, models.Float32, schemaOf(fields[2:]...), names, NullPolicy{})
		plainBatch = batchOf(schemaOf(fields[2:]...), numbers)
		defer plainBatch.Release()
	}
	least := []time.Duration{math.MaxInt64, math.MaxInt64}
	b.ReportAllocs()
	b.SetBytes(benchRows * categories * 4)
	for b.Loop() {
		start := time.Now()
		clear(cleared)
		if plain != nil {
			if _, err := plain.Assemble(plainBatch); err != nil {
				b.Fatal(err)
			}
		}
		least[0] = min(least[0], time.Since(start))
		start = time.Now()
		if _, err := ours.Assemble(batch); err != nil {
			b.Fatal(err)
		}
		least[1] = min(least[1], time.Since(start))
	}
	b.ReportMetric(float64(least[0]), "clear-ns")
	b.ReportMetric(float64(least[1]), "onehot-ns")
	b.ReportMetric(float64(least[1])/float64(least[0]), "x-clear")
}
