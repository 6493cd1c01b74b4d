package parquetfile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

const benchRows = 1 << 18

// floats is a batch of float32 columns, with a share of nulls.
func floats(columns, rows int, nulls float64) arrow.RecordBatch {
	rng := rand.New(rand.NewPCG(1, 2))
	fields := make([]arrow.Field, columns)
	arrays := make([]arrow.Array, columns)
	for c := range columns {
		fields[c] = arrow.Field{Name: fmt.Sprintf("f%02d", c), Type: arrow.PrimitiveTypes.Float32, Nullable: true}
		b := array.NewFloat32Builder(memory.DefaultAllocator)
		b.Reserve(rows)
		for range rows {
			if rng.Float64() < nulls {
				b.AppendNull()
			} else {
				b.Append(float32(rng.NormFloat64()))
			}
		}
		arrays[c] = b.NewArray()
		b.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	release(arrays)
	return batch
}

// BenchmarkWriter writes float32 predictions.
//
//	go test -run '^$' -bench Writer ./io/parquetfile
func BenchmarkWriter(b *testing.B) {
	for _, codec := range []string{"zstd", "snappy", "none"} {
		for _, nulls := range []float64{0, 0.05} {
			b.Run(fmt.Sprintf("codec=%s/nulls=%g", codec, nulls), func(b *testing.B) {
				batch := floats(4, benchRows, nulls)
				defer batch.Release()
				path := filepath.Join(b.TempDir(), "f.parquet")
				rows := int64(0)
				b.ReportAllocs()
				b.SetBytes(4 * 4 * benchRows)
				for b.Loop() {
					if err := writeTo(path, format.WriteOptions{Compression: codec}, batch); err != nil {
						b.Fatal(err)
					}
					rows += benchRows
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				info, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.Size())/benchRows, "filebytes/row")
			})
		}
	}
}

// BenchmarkWriterDecimals writes an id, three decimals of few and many digits, and a time in
// seconds, as tables of orders have them.
//
//	go test -run '^$' -bench WriterDecimals ./io/parquetfile
func BenchmarkWriterDecimals(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	types := []arrow.DataType{
		arrow.PrimitiveTypes.Int64, &arrow.Decimal128Type{Precision: 9, Scale: 2}, &arrow.Decimal128Type{Precision: 15, Scale: 2},
		&arrow.Decimal128Type{Precision: 38, Scale: 2}, arrow.FixedWidthTypes.Timestamp_s,
	}
	fields, arrays := make([]arrow.Field, len(types)), make([]arrow.Array, len(types))
	for c, typ := range types {
		fields[c] = arrow.Field{Name: fmt.Sprintf("c%d", c), Type: typ, Nullable: c > 0}
		builder := array.NewBuilder(memory.DefaultAllocator, typ)
		for row := range int64(benchRows) {
			switch builder := builder.(type) {
			case *array.Int64Builder:
				builder.Append(row)
			case *array.TimestampBuilder:
				builder.Append(arrow.Timestamp(1.7e9 + row))
			case *array.Decimal128Builder:
				if rng.IntN(20) == 0 {
					builder.AppendNull()
				} else {
					builder.Append(decimal128.FromI64(rng.Int64N(1e6) - 1e5))
				}
			}
		}
		arrays[c] = builder.NewArray()
		builder.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, benchRows)
	release(arrays)
	defer batch.Release()
	for _, codec := range []string{"", "none"} {
		b.Run("codec="+codec, func(b *testing.B) {
			path, rows := filepath.Join(b.TempDir(), "f.parquet"), int64(0)
			b.ReportAllocs()
			for b.Loop() {
				if err := writeTo(path, format.WriteOptions{Compression: codec, RowGroupRows: 131072}, batch); err != nil {
					b.Fatal(err)
				}
				rows += benchRows
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/benchRows, "filebytes/row")
		})
	}
}

// BenchmarkOneRowGroup reads a file of one row group, alone and with a second
// goroutine for its columns.
//
//	go test -run '^$' -bench OneRowGroup ./io/parquetfile
func BenchmarkOneRowGroup(b *testing.B) {
	batch := floats(16, benchRows, 0.05)
	path := write(b, format.WriteOptions{}, batch)
	batch.Release()
	for _, decoders := range []int{1, 2} {
		b.Run(fmt.Sprintf("decoders=%d", decoders), func(b *testing.B) {
			r := open(b, path, format.ReadOptions{Decoders: make(chan struct{}, decoders)})
			b.ReportAllocs()
			b.SetBytes(4 * 16 * benchRows)
			for b.Loop() {
				if err := r.ReadSpan(b.Context(), 0, columnsOf(r), func(arrow.RecordBatch) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
