package feature_test

import (
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/feature"
)

// numbersOf are whole numbers and fractions, small and large, in columns of several types.
func numbersOf(n int) (floats []float64, columns []string, arrays func() (*array.Float64, *array.Int64, *array.Uint64)) {
	for i := range n {
		v := float64(i*7 - n)
		switch i % 5 {
		case 1:
			v /= 8
		case 2:
			v *= 1 << 40
		case 3:
			v = math.Ldexp(1, i%2000-1000)
		}
		floats = append(floats, v)
	}
	floats = append(floats, 0, math.Copysign(0, -1), 1<<53, -(1 << 53), 1<<53+2, 1<<24+1, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN())
	return floats, []string{"f", "i", "u"}, func() (*array.Float64, *array.Int64, *array.Uint64) {
		f, i, u := array.NewFloat64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator), array.NewUint64Builder(memory.DefaultAllocator)
		for k, v := range floats {
			f.Append(v)
			i.Append(int64(k)*1_000_003 - 1<<40)
			u.Append(math.MaxUint64 - uint64(k)*1_000_003)
		}
		return f.NewFloat64Array(), i.NewInt64Array(), u.NewUint64Array()
	}
}

// TestManyNumbersAsCategories: far more categories than a table of near integers has, of which
// every other value is one.
func TestManyNumbersAsCategories(t *testing.T) {
	t.Parallel()
	floats, names, arrays := numbersOf(20_000)
	f, i, u := arrays()
	record := recordOf(t, names, f, i, u)
	texts := [3]func(k int) string{
		func(k int) string { return strconv.FormatFloat(floats[k], 'g', -1, 64) },
		func(k int) string { return strconv.FormatInt(i.Value(k), 10) },
		func(k int) string { return strconv.FormatUint(u.Value(k), 10) },
	}
	specs := make([]feature.Feature, 0, len(names))
	want := [3]map[string]float64{}
	for c, name := range names {
		want[c] = map[string]float64{}
		m := &feature.Map{Values: map[string]float64{}, Default: new(feature.NumberOf(-1))}
		for k := 0; k < len(floats); k += 2 {
			text := texts[c](k)
			if c == 0 && (floats[k] != floats[k] || math.IsInf(floats[k], 0)) || text == "-0" {
				continue // which are no numbers in a job file, or twice the same
			}
			if _, twice := m.Values[text]; !twice {
				m.Values[text], want[c][text] = float64(k), float64(k)
			}
		}
		specs = append(specs, feature.Feature{Column: name, Transforms: []feature.Step{{Map: m}}})
	}
	matrix, _ := evaluateAll(t, compileAll(t, record.Schema(), specs), record)
	for k, got := range matrix {
		for c := range names {
			text := texts[c](k)
			if text == "-0" {
				text = "0"
			}
			number, listed := want[c][text]
			if !listed {
				number = -1
			}
			if got[c] != number {
				t.Fatalf("column %s: %s is %v; want %v", names[c], text, got[c], number)
			}
		}
	}
}

// TestBucketizeByManyEdges counts edges one by one.
func TestBucketizeByManyEdges(t *testing.T) {
	t.Parallel()
	floats, names, arrays := numbersOf(3_000)
	f, i, u := arrays()
	record := recordOf(t, names, f, i, u)
	for _, edges := range [][]float64{
		{0},
		{-1, 0, 0.125},
		{-1 << 40, -5, 0, 3, 1 << 20, 1 << 63, 1 << 64},
		{-math.MaxFloat64, -1 << 63, -100, -20, -9, -8.5, -3, math.Copysign(0, -1), 1, 2.5, 7, 70, 700, 1 << 41, 1 << 52, 1 << 62, 1<<64 - 1<<11, math.MaxFloat64},
	} {
		for _, right := range []bool{false, true} {
			specs := make([]feature.Feature, 0, len(names))
			for _, name := range names {
				specs = append(specs, feature.Feature{Column: name, Transforms: []feature.Step{{Bucketize: &feature.Bucketize{Edges: edges, Right: right}}}})
			}
			matrix, _ := evaluateAll(t, compileAll(t, record.Schema(), specs), record)
			for k, got := range matrix {
				want := [3]float64{}
				for _, e := range edges {
					orders := [3]int{compare(floats[k], e), compareExactly(big.NewInt(i.Value(k)), e), compareExactly(new(big.Int).SetUint64(u.Value(k)), e)}
					for c, order := range orders {
						if order > 0 || order == 0 && !right {
							want[c]++
						}
					}
				}
				if floats[k] != floats[k] {
					if got[0] == got[0] {
						t.Fatalf("NaN is in bucket %v", got[0])
					}
					want[0], got[0] = 0, 0
				}
				if [3]float64(got) != want {
					t.Fatalf("edges %v, right %v: %v, %d, %d are in %v; want %v", edges, right, floats[k], i.Value(k), u.Value(k), got, want)
				}
			}
		}
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// compareExactly compares an integer with an edge, all digits of both.
func compareExactly(a *big.Int, e float64) int {
	return new(big.Float).SetInt(a).Cmp(big.NewFloat(e))
}

// TestNumbersAreWritten: as strconv writes them, whole ones too.
func TestNumbersAreWritten(t *testing.T) {
	t.Parallel()
	floats, _, arrays := numbersOf(2_000)
	f, _, _ := arrays()
	narrow := array.NewFloat32Builder(memory.DefaultAllocator)
	for _, v := range floats {
		narrow.Append(float32(v))
	}
	record := recordOf(t, []string{"f", "n"}, f, narrow.NewFloat32Array())
	programs := compileAll(t, record.Schema(), []feature.Feature{
		{Column: "f", Transforms: []feature.Step{{Cast: &feature.Cast{To: feature.ToString}}}},
		{Column: "n", Transforms: []feature.Step{{Cast: &feature.Cast{To: feature.ToString}}}},
	})
	e := feature.NewEvaluator(programs, func(column string) int { return record.Schema().FieldIndices(column)[0] })
	if err := e.Open(record, 0, len(floats)); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for at := 0; at < len(floats); at += feature.TileRows {
		e.Tile(at, min(feature.TileRows, len(floats)-at))
		for c, p := range programs {
			res, err := e.Compute(p)
			if err != nil {
				t.Fatal(err)
			}
			for r := range min(feature.TileRows, len(floats)-at) {
				v, bits := floats[at+r], 64
				if c == 1 {
					v, bits = float64(float32(v)), 32
				}
				if size := math.Abs(v); v == 0 || size < 1e-6 || size >= 1e21 {
					continue // of another form
				}
				if got, want := string(res.Text(r)), strconv.FormatFloat(v, 'f', -1, bits); got != want {
					t.Errorf("%v of %d bits is %q; want %q", v, bits, got, want)
				}
			}
		}
	}
}
