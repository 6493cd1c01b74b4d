package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// One hard value anywhere makes a group doubt, and no difference to the rows: to neither
// the values nor the count of those that were rounded.
func TestQuickLevels(t *testing.T) {
	scale := NewLine[float32](Affine{Sub: 0.25, Mul: 1, Div: 1.5, Add: math.Copysign(0, -1), Lo: -2, Hi: 2, Fill: 0.5, FillNaN: true})
	keep := NewLine[float32](Affine{Sub: 0.25, Mul: 1, Div: 1.5, Add: math.Copysign(0, -1), Lo: -2, Hi: 2, Fill: 0.5})
	checkQuick(t, "NaN to be filled", float32(math.NaN()), scale)
	checkQuick(t, "NaN that stays", float32(math.NaN()), keep)
	checkQuick(t, "NaN of which some is filled", float32(math.NaN()), scale, keep, keep)
	checkQuick[int32, float32](t, "an int32 that is rounded", 1<<24+1)
	checkQuick[int64, float32](t, "an int64 that a float32 rounds", 1<<40+1)
	checkQuick[int64, float64](t, "an int64 that a float64 rounds", 1<<53+1)
}

// checkQuick has columns that pass lines in turn.
func checkQuick[S, D Number](t *testing.T, about string, hard S, lines ...*Line[D]) {
	t.Helper()
	for _, l := range levels()[1:] {
		quick := l.rowsKernel(kindOf[S](), kindOf[D]()).quick
		if len(lines) > 0 {
			quick = l.narrow[narrowFills].quick
		}
		if quick == nil {
			continue
		}
		for _, nulls := range []string{"none", "some", "under the hard value"} {
			t.Run(fmt.Sprintf("%s/level=%s/nulls=%s", about, l.name, nulls), func(t *testing.T) {
				const n = leastTurned + 77
				r := rand.New(rand.NewPCG(1, 2))
				for width := 1; width <= RowColumns[D](); width++ {
					group, values, bitmaps := Group[D]{}, make([][]S, width), make([][]byte, width)
					for c := range width {
						values[c] = make([]S, n)
						for i := range values[c] {
							values[c][i] = S(r.IntN(100))
						}
						fill, bit := D(c), c%8
						if nulls != "none" {
							bitmaps[c] = make([]byte, n/8+2)
							for i := range n {
								bitutil.SetBitTo(bitmaps[c], bit+i, r.IntN(5) > 0)
							}
						}
						column := ColumnOf(values[c], bitmaps[c], bit, fill)
						if len(lines) > 0 {
							column = column.Through(lines[c%len(lines)])
						}
						group.Columns = append(group.Columns, column)
					}
					doubted := patience
					if len(lines) > 0 && group.narrowKernel(l).quick == nil {
						doubted = 0 // a NaN that stays is as easy
					}
					checkQuickRows(t, l, &group, values, n)
					if doubts := group.doubts[kindOf[S]()]; doubts != 0 {
						t.Fatalf("after %d easy columns a group doubts %d calls; want 0", width, doubts)
					}
					c, i := r.IntN(width), r.IntN(n)
					values[c][i] = hard
					if bitmaps[c] != nil {
						bitutil.SetBitTo(bitmaps[c], group.Columns[c].bit+i, nulls != "under the hard value")
					}
					checkQuickRows(t, l, &group, values, n)
					if doubts := group.doubts[kindOf[S]()]; nulls != "under the hard value" && doubts != doubted {
						t.Fatalf("after a hard value in row %d of column %d of %d a group doubts %d calls; want %d", i, c, width, doubts, doubted)
					}
					values[c][i] = 1
					for range patience + 1 {
						checkQuickRows(t, l, &group, values, n)
					}
					if doubts := group.doubts[kindOf[S]()]; doubts != 0 {
						t.Fatalf("after %d easy calls a group doubts %d more; want 0", patience+1, doubts)
					}
				}
			})
		}
	}
}

// checkQuickRows compares rows and counts with those of plain loops.
func checkQuickRows[S, D Number](t *testing.T, l *level, g *Group[D], values [][]S, n int) {
	t.Helper()
	width := len(values)
	got, want := make([]D, n*width), make([]D, n*width)
	rounded := make([]int64, width)
	for c, src := range values {
		column, column2 := &g.Columns[c], make([]D, n)
		fill := Of[D](Bytes([]uint64{column.fill}))[0]
		if column.line != nil {
			fillNarrowPlain(Of[float32](Bytes(column2)), Of[float32](Bytes(src)), column.validity, column.bit, column.line)
		} else {
			rounded[c] = castFillPlain(column2, src, column.validity, column.bit, fill).Inexact
		}
		for i, v := range column2 {
			want[i*width+c] = v
		}
	}
	if !g.rows(l, got, width, 0, n) {
		t.Fatalf("rows of %d columns = false; want true", width)
	}
	for i := range want {
		if bitsOf(got[i]) != bitsOf(want[i]) {
			t.Fatalf("rows of %d columns: value %d = %v; want %v", width, i, got[i], want[i])
		}
	}
	if !slices.Equal(g.Rounded[:width], rounded) {
		t.Fatalf("rows of %d columns rounded %v; want %v", width, g.Rounded[:width], rounded)
	}
}
