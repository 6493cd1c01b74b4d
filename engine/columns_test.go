package engine

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Gathered runs of rows are what the library joins of slices, whatever the type, with nulls
// or without, and wherever in their buffers the rows lie.
func TestGatherIsWhatSlicesJoin(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	types := []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Int64,
		&arrow.Decimal128Type{Precision: 20, Scale: 2}, &arrow.FixedSizeBinaryType{ByteWidth: 3}, arrow.FixedWidthTypes.Boolean, arrow.BinaryTypes.String,
		arrow.BinaryTypes.StringView,
	}
	for i := range 400 {
		dataType := types[i%len(types)]
		nulls := []float64{0, 0.05, 0.5, 1}[random.IntN(4)]
		segments := make([]arrow.Array, 1+random.IntN(3))
		var runs []rowRun
		for s := range segments {
			b := array.NewBuilder(memory.DefaultAllocator, dataType)
			n := 1 + random.IntN(300)
			for range n {
				if random.Float64() < nulls {
					b.AppendNull()
				} else if err := b.AppendValueFromString(drawText(random, dataType)); err != nil {
					t.Fatal(err)
				}
			}
			whole := b.NewArray()
			from := random.IntN(n)
			segments[s] = array.NewSlice(whole, int64(from), int64(n))
			longest := []int{1, 2, 3, 100}[random.IntN(4)]
			for row := random.IntN(3); row < n-from; row += 1 + random.IntN(4) {
				rows := min(1+random.IntN(longest), n-from-row)
				runs = append(runs, rowRun{segment: s, row: row, rows: rows})
				row += rows
			}
		}
		if len(runs) == 0 {
			continue
		}
		slices := make([]arrow.Array, len(runs))
		for k, r := range runs {
			slices[k] = array.NewSlice(segments[r.segment], int64(r.row), int64(r.row+r.rows))
		}
		want, err := array.Concatenate(slices, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		got, err := gather(segments, runs)
		if err != nil {
			t.Fatal(err)
		}
		if !array.Equal(got, want) || got.NullN() != want.NullN() {
			t.Fatalf("%s, runs %v: gathered %v; want %v", dataType, runs, got, want)
		}
		if n, most := len(got.Data().Buffers()), 2+2*len(segments); dataType.ID() == arrow.STRING_VIEW && n > most {
			t.Fatalf("%s, %d runs: gathered of %d buffers; want %d at most, however many runs", dataType, len(runs), n, most)
		}
	}
}

// drawText is a value of a type as text.
func drawText(random *rand.Rand, t arrow.DataType) string {
	switch t.ID() {
	case arrow.BOOL:
		return strconv.FormatBool(random.IntN(2) == 1)
	case arrow.STRING, arrow.STRING_VIEW: // some views hold theirs
		return strconv.FormatInt(random.Int64()>>random.IntN(60), 10)
	case arrow.FIXED_SIZE_BINARY:
		return "QUJD" // base64
	}
	return strconv.Itoa(random.IntN(100))
}
