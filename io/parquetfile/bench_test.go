package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

const (
	benchColumns = 32
	benchRows    = 1 << 18
)

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

// BenchmarkReadSpan reads row groups of 32 float32 columns, here and through
// pqarrow's record reader. Bytes are those of the Arrow data.
//
//	go test -run '^$' -bench ReadSpan ./io/parquetfile
func BenchmarkReadSpan(b *testing.B) {
	for _, codec := range []string{"zstd", "none"} {
		for _, nulls := range []float64{0, 0.05} {
			batch := floats(benchColumns, benchRows, nulls)
			path := write(b, format.WriteOptions{Compression: codec}, batch)
			batch.Release()
			for _, reader := range []string{"millrace", "pqarrow"} {
				b.Run(fmt.Sprintf("reader=%s/codec=%s/nulls=%g", reader, codec, nulls), func(b *testing.B) {
					rows := int64(0)
					b.ReportAllocs()
					b.SetBytes(4 * benchColumns * benchRows)
					if reader == "pqarrow" {
						for b.Loop() {
							rows += readWithPqarrow(b, path)
						}
					} else {
						r := open(b, path, format.ReadOptions{})
						columns := columnsOf(r)
						for b.Loop() {
							rows += countRows(b, r, columns)
						}
					}
					b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				})
			}
		}
	}
}

func countRows(b *testing.B, r format.Reader, columns []int) (rows int64) {
	b.Helper()
	for i := range r.Spans() {
		if err := r.ReadSpan(context.Background(), i, columns, func(batch arrow.RecordBatch) error {
			rows += batch.NumRows()
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	return rows
}

func readWithPqarrow(b *testing.B, path string) (rows int64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	props := parquet.NewReaderProperties(memory.DefaultAllocator)
	props.BufferedStreamEnabled = true
	props.BufferSize = readAheadBytes
	pr, err := file.NewParquetReader(f, file.WithReadProps(props))
	if err != nil {
		b.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{BatchSize: 65536}, memory.DefaultAllocator)
	if err != nil {
		b.Fatal(err)
	}
	rr, err := fr.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer rr.Release()
	for rr.Next() {
		rows += rr.RecordBatch().NumRows()
	}
	if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	return rows
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
