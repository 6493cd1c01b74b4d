package parquetfile

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// Integers are written as differences by one implementation and read by
// another: each keeps every value, at the ends of its range too, where a
// difference does not fit its type.
func TestIntegersAsDifferences(t *testing.T) {
	const rows = 5000
	random := rand.New(rand.NewPCG(3, 4))
	shapes := map[string]func(row int) int64{
		"sequence":      func(row int) int64 { return int64(row) },
		"constant":      func(int) int64 { return -7 },
		"ends of int64": func(row int) int64 { return []int64{math.MinInt64, math.MaxInt64}[row%2] },
		"ends of int32": func(int) int64 { return []int64{math.MinInt32, math.MaxInt32}[random.IntN(2)] },
		"noise":         func(int) int64 { return int64(random.Uint64()) },
	}
	for name, value := range shapes {
		for _, every := range []int{0, 3, 1} { // every how manieth is null
			long, short := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt32Builder(memory.DefaultAllocator)
			unsigned := array.NewUint32Builder(memory.DefaultAllocator)
			for row := range rows {
				if every > 0 && row%every == 0 {
					long.AppendNull()
					short.AppendNull()
					unsigned.AppendNull()
					continue
				}
				v := value(row)
				long.Append(v)
				short.Append(int32(v))
				unsigned.Append(uint32(v))
			}
			columns := []arrow.Array{long.NewArray(), short.NewArray(), unsigned.NewArray()}
			schema := arrow.NewSchema([]arrow.Field{
				{Name: "long", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
				{Name: "short", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
				{Name: "unsigned", Type: arrow.PrimitiveTypes.Uint32, Nullable: true},
			}, nil)
			batch := array.NewRecordBatch(schema, columns, rows)
			r := open(t, write(t, format.WriteOptions{RowGroupRows: 1700}, batch), format.ReadOptions{})
			got, n, err := readAll(r, columnsOf(r), 1<<14, memory.DefaultAllocator)
			if err != nil || n != rows {
				t.Fatalf("%s, null every %d: %d rows, %v; want %d", name, every, n, err, rows)
			}
			for i := range got {
				if !array.Equal(got[i], columns[i]) {
					t.Errorf("%s, null every %d: column %q changed on its way through a file", name, every, schema.Field(i).Name)
				}
			}
			release(got)
			release(columns)
			batch.Release()
		}
	}
}
