package feature_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/batcher/feature"
)

// TestChains: random transforms of random columns give what a plain loop gives, row by
// row, whatever the encoding, the offsets and the nulls.
func TestChains(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.SampledFrom(columnTypes).Draw(t, "type")
		c := randomColumn(t, "c", of, rapid.IntRange(0, 40).Draw(t, "rows"))
		defer c.array.Release()
		spec := feature.Feature{Name: "f", Column: "c"}
		for k := of.kind; len(spec.Transforms) < 4; {
			s := randomStep(t, k, c)
			spec.Transforms = append(spec.Transforms, s)
			k = kindAfter(&s, k)
			if wide := s.OneHot != nil || s.Hash != nil && s.Hash.OneHot || s.DateTime != nil && s.DateTime.Cyclic == "both"; wide {
				break
			}
			if k != 't' && !rapid.Bool().Draw(t, "more") {
				break
			}
		}
		if last := spec.Transforms[len(spec.Transforms)-1]; of.kind == 't' && last.DateTime == nil && last.Cast == nil && allFills(spec.Transforms) {
			spec.Transforms = append(spec.Transforms, feature.Step{Cast: &feature.Cast{To: feature.ToInt64}})
		}
		check(t, spec, of.kind, c)
	})
}

func allFills(steps []feature.Step) bool {
	for i := range steps {
		if steps[i].Fill == nil {
			return false
		}
	}
	return true
}

// TestCombined is TestChains for transforms that combine columns.
func TestCombined(t *testing.T) {
	t.Parallel()
	numbers := slices.DeleteFunc(slices.Clone(columnTypes), func(c columnType) bool { return c.kind == 's' || c.kind == 't' })
	degrees := []columnType{columnTypes[0]}
	degrees[0].draw = func(t *rapid.T) cell { return rapid.Float64Range(-400, 400).Draw(t, "degrees") }
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 30).Draw(t, "rows")
		step := rapid.SampledFrom([]feature.Step{
			{Diff: &feature.Plain{}},
			{Product: &feature.Plain{}},
			{Ratio: &feature.Ratio{}},
			{Ratio: &feature.Ratio{OnZero: new(feature.TextOf("reject"))}},
			{Ratio: &feature.Ratio{OnZero: new(feature.NumberOf(-1))}},
			{Ratio: &feature.Ratio{OnZero: new(feature.TextOf("nan"))}},
			{Haversine: &feature.Haversine{}},
			{Haversine: &feature.Haversine{Unit: "mi"}},
			{Haversine: &feature.Haversine{Unit: "nmi"}},
			{Haversine: &feature.Haversine{Unit: "m"}},
		}).Draw(t, "transform")
		n, types := 2, numbers
		if step.Haversine != nil {
			n, types = 4, degrees
		} else if step.Product != nil {
			n = rapid.IntRange(2, 5).Draw(t, "columns")
		}
		spec := feature.Feature{Name: "f", Transforms: []feature.Step{step}}
		columns := make([]*column, n)
		for i := range columns {
			columns[i] = randomColumn(t, fmt.Sprint("c", i), rapid.SampledFrom(types).Draw(t, "type"), rows)
			defer columns[i].array.Release()
			spec.Columns = append(spec.Columns, columns[i].name)
		}
		if step.Haversine == nil && rapid.Bool().Draw(t, "more") { // a distance has no exact digits
			spec.Transforms = append(spec.Transforms, randomStep(t, 'f', columns[0]))
		}
		check(t, spec, 'f', columns...)
	})
}

// check compares a feature with the plain loop.
func check(t *rapid.T, spec feature.Feature, k kind, columns ...*column) {
	fields, arrays := make([]arrow.Field, len(columns)), make([]arrow.Array, len(columns))
	for i, c := range columns {
		fields[i], arrays[i] = arrow.Field{Name: c.name, Type: c.typ, Nullable: true}, c.array
	}
	schema := arrow.NewSchema(fields, nil)
	rows := len(columns[0].cells)
	record := array.NewRecordBatch(schema, arrays, int64(rows))
	defer record.Release()
	programs, err := feature.Compile([]feature.Feature{spec}, schema)
	if err != nil {
		t.Fatalf("Compile(%v) = %v", programs, err)
	}
	p := programs[0]
	e := feature.NewEvaluator(programs, func(name string) int { return schema.FieldIndices(name)[0] })
	if rapid.Bool().Draw(t, "few texts") {
		e.Bounds(rapid.IntRange(0, 8).Draw(t, "texts"), rapid.IntRange(1, 30).Draw(t, "passing"))
	}
	from := rapid.IntRange(0, rows).Draw(t, "from")
	if err := e.Open(record, from, rows-from); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := rapid.IntRange(1, 20).Draw(t, "tile")
	for at := 0; at < rows-from; at += size {
		n := min(size, rows-from-at)
		e.Tile(at, n)
		res, err := e.Compute(p)
		if err != nil {
			t.Fatal(err)
		}
		bad := map[int]feature.Problem{}
		for _, problem := range res.Problems {
			bad[problem.Row] = problem
		}
		for r := range n {
			in := make([]cell, len(columns))
			for i, c := range columns {
				in[i] = c.cells[from+at+r]
			}
			want := loop(spec.Transforms, in, k)
			problem, isBad := bad[r]
			if isBad != want.bad || problem.Asked != want.asked {
				t.Fatalf("%v of %v: problem %+v (%v); want bad %v, asked %v", p.Describe(), in, problem, isBad, want.bad, want.asked)
			}
			if want.bad {
				continue
			}
			if got := cellsOf(p, res, r); !sameCells(got, want.values) {
				t.Fatalf("%v of %v = %v; want %v", p.Describe(), in, got, want.values)
			}
		}
	}
}

// cellsOf are a row's values as the plain loop has them.
func cellsOf(p *feature.Program, res *feature.Result, r int) []cell {
	values := make([]cell, p.Width())
	if res.Marks != nil && res.Marks[r] == feature.NullMark {
		return values
	}
	switch p.Values() {
	case feature.Texts:
		values[0] = string(res.Text(r))
	case feature.Integers:
		values[0] = res.Ints[r]
	case feature.Unsigned:
		values[0] = uint64(res.Ints[r])
	default:
		for i, v := range valuesOf(p, res, r) {
			values[i] = v
		}
	}
	return values
}

// sameCells says that values are equal, within the last bits of a distance.
func sameCells(got, want []cell) bool {
	if len(got) != len(want) {
		return false
	}
	for i, g := range got {
		w := want[i]
		if (g == nil) != (w == nil) {
			return false
		}
		if g == w {
			continue
		}
		_, gotText := g.(string)
		_, wantText := w.(string)
		a, b := toFloat(g), toFloat(w)
		if gotText || wantText || !(a == b || a != a && b != b || math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b))) {
			return false
		}
	}
	return true
}
