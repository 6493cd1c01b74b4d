package kernel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

func TestRowsLevels(t *testing.T) {
	checkRows[int32, int32](t)
	checkRows[uint32, uint32](t)
	checkRows[float32, float32](t)
	checkRows[float64, float32](t)
	checkRows[int64, float32](t)
	checkRows[int64, int32](t)
	checkRows[int32, float32](t)
	checkRows[int64, int64](t)
	checkRows[float64, float64](t)
	checkRows[int64, float64](t)
	checkRows[int32, float64](t)
	checkRows[float32, float64](t)
	checkRows[int32, int64](t)
	checkRows[uint8, float32](t)
}

// checkRows compares rows with those of columns that castFillPlain makes, bit
// by bit. A level without a kernel for the pair has to say so, and
// one whose kernel leaves special values to the plain loop may.
func checkRows[S, D Number](t *testing.T) {
	t.Helper()
	var from S
	var to D
	t.Run(fmt.Sprintf("from=%T/to=%T", from, to), func(t *testing.T) {
		leveltest.Each(t, levels(), 2*rowColumns+1, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, r := rapid.IntRange(0, 100).Draw(t, "n"), drawRandom(t)
			n += rapid.SampledFrom([]int{0, 0, -n % stepRows, 90}).Draw(t, "more") // 90: validity bits may be turned first
			first := rapid.IntRange(0, min(n, 20)).Draw(t, "first")
			width := rapid.IntRange(1, RowColumns[D]()).Draw(t, "width")
			gap := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "gap")
			nulls := rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "columns with nulls") // none, some, all
			wild := rapid.SampledFrom([]float64{0, 0, 0.001, 0.05}).Draw(t, "wild")
			rough := rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(t, "rough")
			size := 0
			if n > first {
				size = (n-first-1)*(width+gap) + width
			}
			group, values := Group[D]{Columns: make([]Column[D], width)}, make([][]D, width)
			judged := true // by every kernel
			wantRounded, wantOK := make([]int64, width), true
			for c := range values {
				src := leveltest.Slice[S](g, n)
				for i := range src {
					switch {
					case r.Float64() < wild:
						judged = false
						src[i] = drawSpecial[S](r)
					case r.Float64() < rough:
						src[i] = roughNumber[S](r)
					default:
						src[i] = S(r.IntN(200))
					}
				}
				var bitmap []byte
				bit := 0
				fill := drawNumber[D](r)
				if nulls == 2 || nulls == 1 && r.IntN(2) == 0 {
					bitmap, bit = guardedBits(t, g, n)
				}
				group.Columns[c], values[c] = ColumnOf(src, bitmap, bit, fill), make([]D, n-first)
				res := castFillPlain(values[c], src[first:], bitmap, bit+first, fill)
				wantRounded[c], wantOK = res.Inexact, wantOK && res.OutOfRange < 0
			}
			dst := leveltest.Slice[D](g, size)
			want := slices.Clone(dst)
			for i := range n - first {
				for c := range width {
					want[i*(width+gap)+c] = values[c][i]
				}
			}
			ok := group.rows(l, dst, width+gap, first, n)
			has := l.rowsKernel(kindOf[S](), kindOf[D]()).all != nil && (!l.wholeSteps || width >= StepColumns || gap == 0)
			if !has || !wantOK {
				if ok && n > first {
					t.Fatalf("rows of %d columns = true; want false", width)
				}
				return
			}
			if !ok && !judged {
				return
			}
			if !ok {
				t.Fatalf("rows of %d columns from %d to %d = false; want true", width, first, n)
			}
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("rows of %d columns from %d to %d, stride %d = %v; want %v", width, first, n, width+gap, dst, want)
			}
			if diff := cmp.Diff(wantRounded, group.Rounded[:width]); diff != "" {
				t.Fatalf("rounded values differ (-want +got):\n%s", diff)
			}
			if !leveltest.Intact[D](g, size) {
				t.Fatalf("rows of %d columns from %d to %d wrote before dst", width, first, n)
			}
		})
	})
}

// TestRowsManyLevels makes more rows than validity bits are turned of at a time, and of
// columns that are streamed.
func TestRowsManyLevels(t *testing.T) {
	for _, l := range levels() {
		t.Run("level="+l.name, func(t *testing.T) {
			checkMany[float32, float32](t, l)
			checkMany[int32, float32](t, l)
		})
	}
}

func checkMany[S, D Number](t *testing.T, l *level) {
	t.Helper()
	if l.rowsKernel(kindOf[S](), kindOf[D]()).all == nil {
		return
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{leastTurned, turnedRows, turnedRows + 24, turnedRows + leastTurned + 3, 4*turnedRows + 131} {
		for _, shape := range []struct {
			width int
			nulls bool
		}{{3, true}, {StepColumns, true}, {13, true}, {RowColumns[D](), true}, {13, false}, {RowColumns[D](), false}} {
			width, gap := shape.width, 3
			if width < StepColumns {
				gap = 0
			}
			group := Group[D]{}
			dst, want := make([]D, (n-1)*(width+gap)+width), make([]D, (n-1)*(width+gap)+width)
			for c := range width {
				src, bitmap, values := make([]S, n), make([]byte, n/8+2), make([]D, n)
				for i := range src {
					src[i] = S(r.IntN(200))
				}
				for i := range bitmap {
					bitmap[i] = byte(r.Uint32() | r.Uint32())
				}
				if !shape.nulls {
					bitmap = nil
				}
				group.Columns = append(group.Columns, ColumnOf(src, bitmap, c%8, D(1000+c)))
				castFillPlain(values, src, bitmap, c%8, D(1000+c))
				for i, v := range values {
					want[i*(width+gap)+c] = v
				}
			}
			if !group.rows(l, dst, width+gap, 0, n) {
				t.Fatalf("%d rows of %d columns = false; want true", n, width)
			}
			if !slices.Equal(dst, want) {
				t.Fatalf("%d rows of %d columns differ from the plain loop's", n, width)
			}
			if streamed := group.args.streamed != 0; streamed != (n > 4*turnedRows && width == RowColumns[D]()) {
				t.Errorf("%d rows of %d columns are streamed: %t", n, width, streamed)
			}
		}
	}
}

// TestRowsBeyondLevels puts one value that does not fit in every place.
func TestRowsBeyondLevels(t *testing.T) {
	for _, l := range levels() {
		t.Run("level="+l.name, func(t *testing.T) {
			checkBeyond[float64, float32](t, l, 1e300)
			checkBeyond[int64, int32](t, l, 1<<40)
		})
	}
}

func checkBeyond[S, D Number](t *testing.T, l *level, beyond S) {
	t.Helper()
	const n = 45
	if l.rowsKernel(kindOf[S](), kindOf[D]()).all == nil {
		return
	}
	width := RowColumns[D]()
	bitmap := bytes.Repeat([]byte{0xff}, 8)
	for _, validity := range [][]byte{nil, bitmap} {
		g, values := Group[D]{}, make([][]S, width)
		for c := range values {
			values[c] = make([]S, n)
			g.Columns = append(g.Columns, ColumnOf(values[c], validity, 0, D(0)))
		}
		dst := make([]D, n*width)
		for i := range n {
			for c := range width {
				values[c][i] = beyond
				if g.rows(l, dst, width, 0, n) {
					t.Errorf("rows from %T with %v in row %d, column %d = true; want false", beyond, beyond, i, c)
				}
				if validity != nil {
					bitutil.ClearBit(validity, i)
					for k := range g.Columns {
						if k != c {
							g.Columns[k].validity = nil
						}
					}
					if !g.rows(l, dst, width, 0, n) {
						t.Errorf("rows from %T with a null %v in row %d, column %d = false; want true", beyond, beyond, i, c)
					}
					bitutil.SetBit(validity, i)
					for k := range g.Columns {
						g.Columns[k].validity = validity
					}
				}
				values[c][i] = 0
			}
		}
	}
}

func TestRowsOfBitsLevels(t *testing.T) {
	checkRowsOfBits[uint8](t)
	checkRowsOfBits[uint16](t)
	checkRowsOfBits[int32](t)
	checkRowsOfBits[float32](t)
	checkRowsOfBits[int64](t)
	checkRowsOfBits[float64](t)
}

func checkRowsOfBits[D Number](t *testing.T) {
	t.Helper()
	var to D
	t.Run(fmt.Sprintf("to=%T", to), func(t *testing.T) {
		leveltest.Each(t, levels(), 2*maxColumns+1, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, r := rapid.SampledFrom([]int{rapid.IntRange(0, 100).Draw(t, "n"), copyRows + 205, expandRows + 11}).Draw(t, "rows"), drawRandom(t)
			first := rapid.IntRange(0, min(n, 20)).Draw(t, "first")
			width := rapid.IntRange(1, RowColumns[D]()).Draw(t, "width")
			gap := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "gap")
			if n > 100 {
				width, gap = min(width, max(1, 12000/n/sizeOf[D]())), 0 // as the arena is small
			}
			nulls := rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "columns with nulls") // none, some, all
			size := 0
			if n > first {
				size = (n-first-1)*(width+gap) + width
			}
			group, values := Group[D]{Columns: make([]Column[D], width)}, make([][]D, width)
			for c := range values {
				bits, at := guardedBits(t, g, n)
				var bitmap []byte
				bit := 0
				if nulls == 2 || nulls == 1 && r.IntN(2) == 0 {
					bitmap, bit = guardedBits(t, g, n)
				}
				fill := drawNumber[D](r)
				group.Columns[c], values[c] = ColumnOfBits(bits, at, n, bitmap, bit, fill), make([]D, n-first)
				for i := range values[c] {
					switch {
					case bitmap != nil && !bitutil.BitIsSet(bitmap, bit+first+i):
						values[c][i] = fill
					case bitutil.BitIsSet(bits, at+first+i):
						values[c][i] = 1
					}
				}
			}
			dst := leveltest.Slice[D](g, size)
			want := slices.Clone(dst)
			for i := range n - first {
				for c := range width {
					want[i*(width+gap)+c] = values[c][i]
				}
			}
			ok := group.rows(l, dst, width+gap, first, n)
			if has := l.expands[sizeOf[D]()].all != nil; !has {
				if ok && n > first {
					t.Fatalf("rows of %d columns = true; want false", width)
				}
				return
			}
			if !ok {
				t.Fatalf("rows of %d columns from %d to %d = false; want true", width, first, n)
			}
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("rows of %d columns from %d to %d, stride %d = %v; want %v", width, first, n, width+gap, dst, want)
			}
			if !leveltest.Intact[D](g, size) {
				t.Fatalf("rows of %d columns from %d to %d wrote before dst", width, first, n)
			}
		})
	})
}

func TestRowsMixed(t *testing.T) {
	g := Group[float32]{Columns: []Column[float32]{
		ColumnOf([]float32{1}, nil, 0, float32(0)), ColumnOf([]int32{1}, nil, 0, float32(0)),
	}}
	if g.Rows(make([]float32, 2), 2, 0, 1) {
		t.Error("Rows of columns of two types = true; want false")
	}
}
