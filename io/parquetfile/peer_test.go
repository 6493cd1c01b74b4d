package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// peerRows are in two row groups, so that two goroutines have one each.
const peerRows = 1 << 16

// peerShape is a table to be read: a column's name and type, and its values.
type peerShape struct {
	name    string
	columns int
	typ     func(c int) arrow.DataType
	value   func(b array.Builder, c int, rng *rand.Rand)
}

var peerShapes = []peerShape{
	{
		"floats", 16, func(int) arrow.DataType { return arrow.PrimitiveTypes.Float32 },
		func(b array.Builder, _ int, rng *rand.Rand) {
			b.(*array.Float32Builder).Append(float32(rng.NormFloat64()))
		},
	},
	{
		"doubles-dictionary", 16, func(int) arrow.DataType { return arrow.PrimitiveTypes.Float64 },
		func(b array.Builder, c int, rng *rand.Rand) {
			b.(*array.Float64Builder).Append(math.Sqrt(float64(rng.IntN(100 << (c % 6)))))
		},
	},
	{
		"ints", 16, func(c int) arrow.DataType {
			if c%2 == 0 {
				return arrow.PrimitiveTypes.Int32
			}
			return arrow.PrimitiveTypes.Int64
		},
		func(b array.Builder, c int, rng *rand.Rand) {
			switch b := b.(type) {
			case *array.Int32Builder:
				b.Append(rng.Int32N(10 << c))
			case *array.Int64Builder:
				b.Append(rng.Int64N(1 << 40))
			}
		},
	},
	{
		"mixed", 14, func(c int) arrow.DataType {
			return []arrow.DataType{
				arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.FixedWidthTypes.Date32,
				arrow.PrimitiveTypes.Float32, arrow.BinaryTypes.String, arrow.FixedWidthTypes.Timestamp_us,
			}[c%7]
		},
		func(b array.Builder, c int, rng *rand.Rand) {
			switch b := b.(type) {
			case *array.BooleanBuilder:
				b.Append(rng.IntN(3) == 0)
			case *array.Int8Builder:
				b.Append(int8(rng.IntN(24)))
			case *array.Int16Builder:
				b.Append(int16(rng.IntN(1440)))
			case *array.Date32Builder:
				b.Append(arrow.Date32(19000 + rng.IntN(365)))
			case *array.Float32Builder:
				b.Append(float32(rng.NormFloat64()))
			case *array.StringBuilder:
				b.Append(strconv.Itoa(1000 + rng.IntN(20<<c)))
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(1.7e15 + rng.Int64N(3e13)))
			}
		},
	},
	{
		"decimals", 12, func(c int) arrow.DataType {
			return &arrow.Decimal128Type{Precision: []int32{9, 18, 22, 38}[c%4], Scale: 2}
		},
		func(b array.Builder, c int, rng *rand.Rand) {
			b.(*array.Decimal128Builder).Append(decimal128.FromI64(rng.Int64N(100<<(2*c)) - 50))
		},
	},
	{
		"days-and-seconds", 8, func(c int) arrow.DataType {
			return []arrow.DataType{arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Timestamp_s, arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Float16}[c%4]
		},
		func(b array.Builder, _ int, rng *rand.Rand) {
			switch b := b.(type) {
			case *array.Date64Builder:
				b.Append(arrow.Date64(int64(19000+rng.IntN(365)) * millisPerDay))
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(1.7e9 + rng.Int64N(3e7)))
			case *array.Time32Builder:
				b.Append(arrow.Time32(rng.IntN(86_400)))
			case *array.Float16Builder:
				b.Append(float16.New(float32(rng.NormFloat64())))
			}
		},
	},
}

// file writes the table with arrow-go's own writer.
func (s peerShape) file(b *testing.B, codec compress.Compression, nulls float64) string {
	b.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	fields, arrays := make([]arrow.Field, s.columns), make([]arrow.Array, s.columns)
	for c := range s.columns {
		fields[c] = arrow.Field{Name: "c" + strconv.Itoa(c), Type: s.typ(c), Nullable: true}
		builder := array.NewBuilder(memory.DefaultAllocator, s.typ(c))
		for range peerRows {
			if rng.Float64() < nulls {
				builder.AppendNull()
			} else {
				s.value(builder, c, rng)
			}
		}
		arrays[c] = builder.NewArray()
		builder.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, peerRows)
	release(arrays)
	defer batch.Release()
	return writeGroups(b, batch, codec, peerRows/2)
}

func writeGroups(b *testing.B, batch arrow.RecordBatch, codec compress.Compression, rows int64) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "f.parquet")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(batch.Schema(), f, parquet.NewWriterProperties(parquet.WithCompression(codec), parquet.WithStoreDecimalAsInteger(true)), pqarrow.DefaultWriterProps())
	for at := int64(0); err == nil && at < batch.NumRows(); at += rows {
		cut := batch.NewSlice(at, min(at+rows, batch.NumRows()))
		err = w.Write(cut)
		cut.Release()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		b.Fatal(err)
	}
	return path
}

// readOurs reads row groups, split over threads, as the engine does.
func readOurs(path string, groups []int, threads int) (int64, error) {
	r, err := Open(path, format.ReadOptions{})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	columns := columnsOf(r)
	return split(groups, threads, func(groups []int) (rows int64, err error) {
		for _, g := range groups {
			err = errors.Join(err, r.ReadSpan(context.Background(), g, columns, func(b arrow.RecordBatch) error {
				rows += b.NumRows()
				return nil
			}))
		}
		return rows, err
	})
}

// readTheirs does the same with pqarrow's record reader. Its Parallel option
// panics in goroutines that cannot be guarded; it reads with BufferedStream in
// the memory of a page per column, as ours does, and no slower than without.
func readTheirs(path string, groups []int, threads int) (int64, error) {
	return split(groups, threads, func(groups []int) (rows int64, err error) {
		f, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		props := parquet.NewReaderProperties(memory.DefaultAllocator)
		props.BufferedStreamEnabled = true
		props.BufferSize = readAheadBytes
		pr, err := file.NewParquetReader(f, file.WithReadProps(props))
		if err != nil {
			return 0, err
		}
		fr, err := pqarrow.NewFileReader(pr, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator)
		if err != nil {
			return 0, err
		}
		rr, err := fr.GetRecordReader(context.Background(), nil, groups)
		if err != nil {
			return 0, err
		}
		defer rr.Release()
		for rr.Next() {
			rows += rr.RecordBatch().NumRows()
		}
		if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
			return rows, err
		}
		return rows, nil
	})
}

// split reads the groups in as many goroutines as threads, neighbours together.
func split(groups []int, threads int, read func(groups []int) (int64, error)) (rows int64, err error) {
	var wg sync.WaitGroup
	counts, errs := make([]int64, threads), make([]error, threads)
	for i := range threads {
		part := groups[i*len(groups)/threads : (i+1)*len(groups)/threads]
		wg.Go(func() { counts[i], errs[i] = read(part) })
	}
	wg.Wait()
	for _, n := range counts {
		rows += n
	}
	return rows, errors.Join(errs...)
}

// against reads the same row groups with both, in turns, and reports the medians
// and their ratio.
func against(b *testing.B, path string, groups []int, values int64, threads int) {
	b.Helper()
	var ours, theirs []float64
	once := func(read func(string, []int, int) (int64, error)) (float64, int64) {
		start := time.Now()
		rows, err := read(path, groups, threads)
		if err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(start).Nanoseconds()), rows
	}
	for b.Loop() {
		our, n := once(readOurs)
		their, m := once(readTheirs)
		if n != m {
			b.Fatalf("%d rows; pqarrow reads %d", n, m)
		}
		ours, theirs = append(ours, our), append(theirs, their)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	our, their := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(our/float64(values), "ns/value")
	b.ReportMetric(their/float64(values), "pqarrow-ns/value")
	b.ReportMetric(their/our, "x-pqarrow")
}

// BenchmarkPeer reads the same file with this package and with pqarrow's record
// reader, interleaved; x-pqarrow is pqarrow's median time over ours. Both open the
// file each time.
//
//	go test -run '^$' -bench Peer -benchtime 15x ./io/parquetfile
func BenchmarkPeer(b *testing.B) {
	codecs := map[string][]compress.Compression{
		"floats":             {compress.Codecs.Zstd, compress.Codecs.Snappy, compress.Codecs.Uncompressed},
		"doubles-dictionary": {compress.Codecs.Zstd},
		"ints":               {compress.Codecs.Zstd, compress.Codecs.Uncompressed},
		"mixed":              {compress.Codecs.Zstd, compress.Codecs.Snappy},
		"decimals":           {compress.Codecs.Zstd, compress.Codecs.Uncompressed},
		"days-and-seconds":   {compress.Codecs.Zstd},
	}
	for _, shape := range peerShapes {
		for _, codec := range codecs[shape.name] {
			for _, nulls := range []float64{0, 0.05} {
				b.Run(fmt.Sprintf("table=%s/codec=%s/nulls=%g", shape.name, codec, nulls), func(b *testing.B) {
					path := shape.file(b, codec, nulls)
					for _, threads := range []int{1, 2} {
						b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
							against(b, path, []int{0, 1}, int64(shape.columns)*peerRows, threads)
						})
					}
				})
			}
		}
	}
}

// BenchmarkPeerFlights is BenchmarkPeer on the first row groups of
// flights-wide.parquet, which pyarrow wrote, and on a copy with 5% of all values
// null. MILLRACE_DATA names the folder; the default is .data.
//
//	go test -run '^$' -bench PeerFlights -benchtime 15x ./io/parquetfile
func BenchmarkPeerFlights(b *testing.B) {
	path := derived(b, "flights-wide.parquet")
	r := open(b, path, format.ReadOptions{})
	groups := []int{0, 1}
	rows, columns := int64(0), int64(len(r.fields))
	for _, g := range groups {
		rows += r.spans[g].Rows
	}
	run := func(name, path string) {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("table=%s/threads=%d", name, threads), func(b *testing.B) {
				against(b, path, groups, rows*columns, threads)
			})
		}
	}
	run("flights", path)
	run("flights-with-nulls", flightsWithNulls(b, r, groups))
}

// derived is the path of a derived table in the folder that MILLRACE_DATA names;
// the default is .data.
func derived(b *testing.B, name string) string {
	b.Helper()
	dir := os.Getenv("MILLRACE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", ".data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		b.Skipf("no derived data: %v", err)
	}
	return path
}

// BenchmarkFlights reads all of the derived tables in one goroutine, and reports
// the shortest time a row. MILLRACE_CPU_LEVEL names the kernels.
//
//	go test -run '^$' -bench '^BenchmarkFlights$' -benchtime 15x ./io/parquetfile
func BenchmarkFlights(b *testing.B) {
	for _, table := range []string{"flights-nulls", "flights-wide"} {
		b.Run("table="+table, func(b *testing.B) {
			r := open(b, derived(b, table+".parquet"), format.ReadOptions{})
			least := math.Inf(1)
			for b.Loop() {
				rows, start := int64(0), time.Now()
				for g := range r.spans {
					if err := r.ReadSpan(b.Context(), g, columnsOf(r), func(batch arrow.RecordBatch) error {
						rows += batch.NumRows()
						return nil
					}); err != nil {
						b.Fatal(err)
					}
				}
				least = min(least, float64(time.Since(start).Nanoseconds())/float64(rows))
			}
			b.ReportMetric(least, "ns/row")
		})
	}
}

// flightsWithNulls copies row groups, with one value in twenty null.
func flightsWithNulls(b *testing.B, r *Reader, groups []int) string {
	b.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	var batches []arrow.RecordBatch
	for _, g := range groups {
		if err := r.ReadSpan(context.Background(), g, columnsOf(r), func(batch arrow.RecordBatch) error {
			columns := make([]arrow.Array, batch.NumCols())
			defer release(columns)
			for c, col := range batch.Columns() {
				validity := make([]byte, (col.Len()+7)/8)
				for i := range col.Len() {
					if col.IsValid(i) && rng.Float64() >= 0.05 {
						validity[i>>3] |= 1 << (i & 7)
					}
				}
				data := array.NewData(col.DataType(), col.Len(), []*memory.Buffer{memory.NewBufferBytes(validity), col.Data().Buffers()[1]}, nil, array.UnknownNullCount, 0)
				columns[c] = array.MakeFromData(data)
				data.Release()
			}
			batches = append(batches, array.NewRecordBatch(batch.Schema(), columns, batch.NumRows()))
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	table := array.NewTableFromRecords(r.schema, batches)
	for _, batch := range batches {
		batch.Release()
	}
	defer table.Release()
	columns := make([]arrow.Array, table.NumCols())
	for c := range columns {
		whole, err := array.Concatenate(table.Column(c).Data().Chunks(), memory.DefaultAllocator)
		if err != nil {
			b.Fatal(err)
		}
		columns[c] = whole
	}
	batch := array.NewRecordBatch(r.schema, columns, table.NumRows())
	release(columns)
	defer batch.Release()
	return writeGroups(b, batch, compress.Codecs.Zstd, r.spans[groups[0]].Rows)
}
