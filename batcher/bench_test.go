package batcher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// The shape that BenchmarkAssemble makes.
const (
	benchRows  = 4096
	benchWidth = 32
	// benchBurst is how many batches are assembled between two bursts of
	// memcpy.
	benchBurst = 16
	// benchMemory is the size of the columns that are read from memory; a
	// third-level cache has 32 MiB or so.
	benchMemory = 128 << 20
)

var benchPairs = []struct {
	from arrow.DataType
	to   models.ElementType
}{
	{arrow.PrimitiveTypes.Float32, models.Float32},
	{arrow.PrimitiveTypes.Float64, models.Float64},
	{arrow.PrimitiveTypes.Int64, models.Int64},
	{arrow.PrimitiveTypes.Int32, models.Int32},
	{arrow.FixedWidthTypes.Boolean, models.Bool},
	{arrow.PrimitiveTypes.Float64, models.Float32},
	{arrow.PrimitiveTypes.Int64, models.Float32},
	{arrow.PrimitiveTypes.Int32, models.Float32},
	{arrow.FixedWidthTypes.Boolean, models.Float32},
	{arrow.PrimitiveTypes.Float32, models.Float64},
	{arrow.PrimitiveTypes.Int64, models.Float64},
	{arrow.PrimitiveTypes.Int32, models.Float64},
	{arrow.PrimitiveTypes.Int64, models.Int32},
	{arrow.PrimitiveTypes.Int32, models.Int64},
}

// MILLRACE_CPU_LEVEL=avx2 go test -run '^$' -bench Assemble -benchtime 0.1s -count 5 ./batcher
//
// A [4096,32] tensor from 32 columns, again and again the same ones
// (place=cache), or from columns of 128 MiB, in turn (place=memory). x-memcpy
// is the speed as a multiple of memcpy's, from and to memory of the same kind: of
// as many bytes as the tensor has, or the columns where they have more. Of both, by
// turns, the least counts of all turns of 16.
func BenchmarkAssemble(b *testing.B) {
	memory := sync.OnceValue(func() []byte { return kernel.Aligned[byte](benchMemory) })
	for _, pair := range benchPairs {
		for _, nulls := range []int{0, 5} {
			for _, place := range []string{"cache", "memory"} {
				b.Run(fmt.Sprintf("from=%s/to=%s/nulls=%d/place=%s", pair.from, pair.to, nulls, place), func(b *testing.B) {
					bits := pair.from.(arrow.FixedWidthDataType).BitWidth() //nolint:forcetypeassert // the table has no others
					c := &columnsBench{from: pair.from, nulls: nulls, bits: bits, width: benchWidth, batch: benchRows, rows: benchRows}
					if place == "memory" {
						c.rows = benchMemory * 8 / bits / benchWidth
					}
					c.store = memory()[:c.rows*bits/8*benchWidth]
					c.run(b, pair.to)
				})
			}
		}
	}
	b.Run(fmt.Sprintf("name=view/from=list/rows=%d/width=%d", benchRows, benchWidth), benchView)
}

// go test -run '^$' -bench Shapes -benchtime 0.1s -count 5 ./batcher
//
// Other shapes of float32, in cache, measured like BenchmarkAssemble: widths,
// few rows, and columns that begin inside a byte of their bitmaps.
func BenchmarkShapes(b *testing.B) {
	shapes := []struct{ rows, width, skip int }{
		{4091, 32, 5},
		{1000, 32, 0},
		{100, 32, 0},
		{100, 7, 3},
		{4096, 1, 0},
		{4096, 2, 0},
		{4096, 3, 0},
		{4096, 5, 0},
		{4096, 7, 0},
		{4096, 13, 0},
		{4096, 31, 0},
		{4096, 33, 0},
		{4096, 100, 0},
	}
	for _, shape := range shapes {
		for _, nulls := range []int{0, 5} {
			b.Run(fmt.Sprintf("rows=%d/width=%d/skip=%d/nulls=%d", shape.rows, shape.width, shape.skip, nulls), func(b *testing.B) {
				c := &columnsBench{from: arrow.PrimitiveTypes.Float32, nulls: nulls, bits: 32, width: shape.width, batch: shape.rows, skip: shape.skip, rows: benchRows}
				c.store = kernel.Aligned[byte](c.rows * 4 * c.width)
				c.run(b, models.Float32)
			})
		}
	}
}

// columnsBench makes batches whose columns lie one behind the other.
type columnsBench struct {
	from        arrow.DataType
	bits, nulls int // of a value; percent
	width       int
	rows        int // of all batches
	batch, skip int // rows of a batch; rows before the first
	store       []byte
}

// fill writes values that every type of benchPairs can hold, in a period of
// one batch.
func (c *columnsBench) fill() {
	period := c.store[:benchRows*c.bits/8]
	switch c.from.ID() {
	case arrow.FLOAT32:
		for i, v := 0, arrow.Float32Traits.CastFromBytes(period); i < len(v); i++ {
			v[i] = float32(i)
		}
	case arrow.FLOAT64:
		for i, v := 0, arrow.Float64Traits.CastFromBytes(period); i < len(v); i++ {
			v[i] = float64(i) / 10
		}
	case arrow.INT32:
		for i, v := 0, arrow.Int32Traits.CastFromBytes(period); i < len(v); i++ {
			v[i] = int32(i)
		}
	case arrow.INT64:
		for i, v := 0, arrow.Int64Traits.CastFromBytes(period); i < len(v); i++ {
			v[i] = int64(i)
		}
	default:
		for i := range period {
			period[i] = byte(i * 37)
		}
	}
	for done := len(period); done < len(c.store); done *= 2 {
		copy(c.store[done:], c.store[:done])
	}
}

// batches cuts the columns; the caller releases them.
func (c *columnsBench) batches(schema *arrow.Schema) []*Batch {
	c.fill()
	bytes := c.rows * c.bits / 8
	columns := make([]arrow.Array, c.width)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range columns {
		buffers := []*memory.Buffer{nil, memory.NewBufferBytes(c.store[i*bytes : (i+1)*bytes])}
		if c.nulls > 0 {
			valid := make([]byte, c.rows/8)
			for k := range benchRows {
				bitutil.SetBitTo(valid, k, r.IntN(100) >= c.nulls)
			}
			for done := benchRows / 8; done < len(valid); done *= 2 {
				copy(valid[done:], valid[:done])
			}
			buffers[0] = memory.NewBufferBytes(valid)
		}
		data := array.NewData(c.from, c.rows, buffers, nil, array.UnknownNullCount, 0)
		columns[i] = array.MakeFromData(data)
		data.Release()
	}
	record := array.NewRecordBatch(schema, columns, int64(c.rows))
	defer record.Release()
	var batches []*Batch
	for at := c.skip; at+c.batch <= c.rows; at += c.batch {
		record.Retain()
		batches = append(batches, &Batch{Rows: c.batch, Segments: []Segment{{Record: record, From: at, Rows: c.batch}}})
	}
	return batches
}

func (c *columnsBench) run(b *testing.B, to models.ElementType) {
	b.Helper()
	fields, names := make([]any, 0, 2*c.width), make([]string, c.width)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
		fields = append(fields, names[i], c.from)
	}
	schema := schemaOf(fields...)
	fillText := "7"
	if to == models.Bool {
		fillText = "true"
	}
	a := benchAssembler(b, to, schema, names, ParseNullPolicy(fillText))
	batches := c.batches(schema)
	defer func() {
		for _, batch := range batches {
			batch.Release()
		}
	}()
	copied := make([]byte, max(c.batch*c.width*to.Bytes(), c.batch*c.width*c.bits/8))
	source := c.store
	if len(source) < len(copied) {
		source = make([]byte, len(copied))
	}
	ours, memcpy := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	var turn time.Duration
	from := 0
	b.ReportAllocs()
	b.SetBytes(int64(c.batch * c.width * to.Bytes()))
	for n := 0; b.Loop(); {
		start := time.Now()
		if _, err := a.Assemble(batches[n%len(batches)]); err != nil {
			b.Fatal(err)
		}
		turn += time.Since(start)
		if n++; n%benchBurst != 0 {
			continue
		}
		b.StopTimer()
		ours, turn = min(ours, turn), 0
		start = time.Now()
		for range benchBurst {
			copy(copied, source[from:])
			if from += len(copied); from+len(copied) > len(source) {
				from = 0
			}
		}
		memcpy = min(memcpy, time.Since(start))
		b.StartTimer()
	}
	if memcpy < math.MaxInt64 {
		b.ReportMetric(float64(memcpy)/float64(ours), "x-memcpy")
	}
	b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func benchAssembler(b *testing.B, to models.ElementType, schema *arrow.Schema, names []string, nulls NullPolicy) *Assembler {
	b.Helper()
	plan, err := Bind([]models.Value{input("x", to, -1, -1)}, schema, Options{
		Columns: map[string][]string{"x": names}, Lossy: AllowLossy, Nulls: NullPolicies{Default: nulls},
	})
	if err != nil {
		b.Fatal(err)
	}
	return plan.NewAssembler(benchRows, AllowLossy)
}

// benchView gives a FixedSizeList column to the model where it lies.
func benchView(b *testing.B) {
	column := lists(floats(memory.DefaultAllocator, benchRows*benchWidth, nil), benchWidth)
	schema := schemaOf("x", column.DataType())
	a := benchAssembler(b, models.Float32, schema, []string{"x"}, NullPolicy{})
	batch := batchOf(schema, []arrow.Array{column})
	defer batch.Release()
	b.ReportAllocs()
	b.SetBytes(benchRows * benchWidth * 4)
	for b.Loop() {
		if _, err := a.Assemble(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
