package batcher

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/models"
)

// TestAssembleEveryPair compares, for every pair of types that the type table
// does not refuse, what Assemble makes with what the plainest loop makes.
func TestAssembleEveryPair(t *testing.T) {
	for _, from := range testTypes() {
		for _, to := range tableElements {
			if cast, _ := CastOf(from, to); cast == Refused {
				continue
			}
			t.Run(fmt.Sprintf("from=%s/to=%s", from, to), rapid.MakeCheck(func(t *rapid.T) { checkAssemble(t, from, to) }))
		}
	}
}

// FuzzAssemble does the same with types of the fuzzer's choice:
//
//	go test -run '^$' -fuzz FuzzAssemble -fuzztime 60s -fuzzminimizetime 5x ./batcher
func FuzzAssemble(f *testing.F) {
	types := testTypes()
	r := rand.NewChaCha8([32]byte{})
	for range 16 {
		seed := make([]byte, 1024)
		_, _ = r.Read(seed) // never fails
		f.Add(seed)
	}
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		from := rapid.SampledFrom(types).Draw(t, "from")
		to := rapid.SampledFrom(tableElements).Draw(t, "to")
		if cast, _ := CastOf(from, to); cast == Refused {
			t.Skip("refused")
		}
		checkAssemble(t, from, to)
	}))
}

// testTypes are those of the type table and their likes.
func testTypes() []arrow.DataType {
	dict := func(index, value arrow.DataType) arrow.DataType {
		return &arrow.DictionaryType{IndexType: index, ValueType: value}
	}
	return append(slices.Clone(tableTypes),
		&arrow.Decimal32Type{Precision: 9, Scale: 2}, &arrow.Decimal64Type{Precision: 18, Scale: 2}, &arrow.Decimal256Type{Precision: 76, Scale: 2},
		&arrow.Decimal128Type{Precision: 38, Scale: 30}, &arrow.Decimal64Type{Precision: 18, Scale: -3}, &arrow.Decimal256Type{Precision: 76, Scale: 45},
		dict(arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Float64), dict(arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Float32),
		dict(arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.Binary), dict(arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int64),
		dict(arrow.PrimitiveTypes.Int16, arrow.BinaryTypes.StringView), dict(arrow.PrimitiveTypes.Uint8, arrow.FixedWidthTypes.Boolean),
		dict(arrow.PrimitiveTypes.Uint32, arrow.FixedWidthTypes.Float16), dict(arrow.PrimitiveTypes.Uint64, &arrow.Decimal128Type{Precision: 18, Scale: 2}),
		extensions.NewBool8Type(),
	)
}

// trial is one drawn case: a plan and how to make batches for it.
type trial struct {
	arrays
	schema *arrow.Schema
	types  []arrow.DataType
	width  int
	plan   *Plan
	rules  rules
	file   int
}

func checkAssemble(t *rapid.T, from arrow.DataType, to models.ElementType) {
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	c := drawTrial(t, alloc, from, to)
	most := 40
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		most = 2500 // more than a tile
	}
	sizes := rapid.SliceOfN(rapid.IntRange(1, most), 1, 3).Draw(t, "batches")
	if fixed := c.plan.FixedRows; fixed > 0 {
		for i := range sizes {
			sizes[i] = min(sizes[i], fixed)
		}
	}
	a := c.plan.NewAssembler(slices.Max(sizes), c.rules.lossy)
	if c.rules.rejectBad {
		a.RejectBad()
	}
	if c.plan.FixedRows == 0 && rapid.Bool().Draw(t, "pad") {
		a.Pad()
		padded := *c.plan // what comes out is as if the model fixed its batch
		padded.FixedRows, c.plan = slices.Max(sizes), &padded
	}
	total := Counts{}
	for _, rows := range sizes {
		batch := c.batch(rows)
		ok := c.check(t, a, batch, &total)
		batch.Release()
		if !ok {
			return
		}
	}
}

func drawTrial(t *rapid.T, mem memory.Allocator, from arrow.DataType, to models.ElementType) *trial {
	seed := rapid.Uint64().Draw(t, "seed")
	c := &trial{arrays: arrays{
		Rand: rand.New(rand.NewPCG(seed, 0)), mem: mem,
		nulls:  rapid.SampledFrom([]float64{0, 0.05, 0.5, 1}).Draw(t, "nulls"),
		wild:   rapid.SampledFrom([]float64{0, 0.01, 1}).Draw(t, "wild"),
		halves: to == models.Float32 || to == models.Float64 || to == models.Float16 || to == models.BFloat16,
	}}
	in := models.Value{Name: "x", Elem: to, HasShape: true, Shape: models.Shape{{Size: -1, Param: "N"}}}
	if rapid.IntRange(0, 4).Draw(t, "fixed") == 0 {
		in.Shape[0] = models.Dim{Size: int64(rapid.IntRange(1, 60).Draw(t, "fixed rows"))}
	}
	var names []string
	switch form := rapid.SampledFrom([]string{"column", "column", "matrix", "matrix", "fixed list", "nested lists", "list", "large list"}).Draw(t, "form"); form {
	case "column":
		names, c.types, c.width = append(names, "c0"), append(c.types, from), 1
	case "matrix":
		c.width = rapid.IntRange(1, 21).Draw(t, "columns")
		for i := range c.width {
			names, c.types = append(names, fmt.Sprint("c", i)), append(c.types, from)
		}
		in.Shape = append(in.Shape, models.Dim{Size: int64(c.width)})
	default:
		c.width = 2 * rapid.IntRange(1, 4).Draw(t, "half width")
		field := arrow.Field{Name: "item", Type: from, Nullable: true}
		list := map[string]arrow.DataType{
			"fixed list":   arrow.FixedSizeListOfField(int32(c.width), field),
			"nested lists": arrow.FixedSizeListOf(int32(c.width/2), arrow.FixedSizeListOfField(2, field)),
			"list":         arrow.ListOfField(field),
			"large list":   arrow.LargeListOfField(field),
		}[form]
		names, c.types = append(names, "c0"), append(c.types, list)
		in.Shape = append(in.Shape, models.Dim{Size: int64(c.width)})
	}
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		fields[i] = arrow.Field{Name: name, Type: c.types[i], Nullable: true}
	}
	c.schema = arrow.NewSchema(fields, nil)
	c.rules.lossy = rapid.SampledFrom([]LossyCasts{RefuseLossy, AllowLossy}).Draw(t, "lossy")
	c.rules.rejectBad = rapid.Bool().Draw(t, "reject bad rows")
	policies := []string{"error", "nan", "7", "reject"}
	if to == models.Bool {
		policies[2] = "true"
	}
	opts := Options{Columns: map[string][]string{"x": names}, Lossy: AllowLossy}
	opts.Finite.All = rapid.IntRange(0, 2).Draw(t, "finite") == 0
	opts.Nulls.Default = ParseNullPolicy(rapid.SampledFrom(policies).Draw(t, "policy"))
	plan, err := Bind([]models.Value{in}, c.schema, opts)
	if err != nil {
		t.Fatalf("Bind(%s, %s) = %v; want a plan", c.schema, to, err)
	}
	c.plan = plan
	return c
}

// batch draws segments of some rows, each some rows of a record batch.
func (c *trial) batch(rows int) *Batch {
	batch := &Batch{Rows: rows}
	for left := rows; left > 0; {
		n := 1 + c.IntN(left)
		if c.chance(0.4) {
			n = left
		}
		from, after := 0, 0
		if c.chance(0.5) {
			from, after = c.IntN(70), c.IntN(70)
		}
		columns := make([]arrow.Array, len(c.types))
		for i, t := range c.types {
			columns[i] = c.sliced(from+n+after, func(n int) arrow.Array { return c.list(t, n, c.width) })
		}
		record := array.NewRecordBatch(c.schema, columns, int64(from+n+after))
		for _, column := range columns {
			column.Release()
		}
		c.file++
		batch.Segments = append(batch.Segments, Segment{Record: record, From: from, Rows: n, Origin: Origin{File: c.file, Row: int64(c.IntN(1000))}})
		left -= n
	}
	return batch
}

// check assembles a batch and compares; false after a batch that is not to
// become a tensor.
func (c *trial) check(t *rapid.T, a *Assembler, batch *Batch, total *Counts) bool {
	want := plainLoop(batch, c.plan, 0, c.rules)
	got, err := a.Assemble(batch)
	if len(want.complaints) > 0 || err != nil {
		checkError(t, err, want)
		return false
	}
	in := &got.Inputs[0]
	rows := max(c.plan.FixedRows, batch.Rows)
	if shape := append([]int64{int64(rows)}, c.plan.Bindings[0].Item...); got.Rows != batch.Rows || !slices.Equal(in.Shape, shape) {
		t.Fatalf("Assemble = %d rows of shape %v; want %d of %v", got.Rows, in.Shape, batch.Rows, shape)
	}
	elements := elementsOf(in)
	if len(elements) != len(want.elements) {
		t.Fatalf("Assemble made %d elements; want %d", len(elements), len(want.elements))
	}
	for i, e := range elements {
		anything := want.unknown && i/c.plan.Bindings[0].Width < batch.Rows
		if !anything && !e.equal(want.elements[i]) {
			t.Fatalf("element %d (row %d of %d) = %v; want %v", i, i/c.plan.Bindings[0].Width, rows, e, want.elements[i])
		}
	}
	if total.Features == nil {
		total.Features = [][]FeatureCount{make([]FeatureCount, len(want.nulls))}
	}
	for i := range want.nulls {
		f := &total.Features[0][i]
		f.Nulls += want.nulls[i]
		f.Rounded += want.rounded[i]
		if have := a.Counts().Features[0][i]; have != *f {
			t.Fatalf("Counts of feature %d = %+v; want %+v", i, have, *f)
		}
	}
	rejects := map[rejectedRow]bool{}
	for _, r := range got.Rejects {
		at := rejectedRow{r.Row, r.Column}
		rejects[at] = rejects[at] || r.Asked
	}
	if fmt.Sprint(rejects) != fmt.Sprint(want.rejects) {
		t.Fatalf("Rejects = %v; want %v", rejects, want.rejects)
	}
	total.Rows += int64(batch.Rows)
	size := int64(len(in.Data))
	if in.Elem == models.String {
		size = in.Offsets[len(in.Offsets)-1] - in.Offsets[0]
	}
	if in.View {
		total.BytesViewed += size
	} else {
		total.BytesCopied += size
	}
	if have := a.Counts(); have.Rows != total.Rows || have.BytesCopied != total.BytesCopied || have.BytesViewed != total.BytesViewed {
		t.Fatalf("Counts = %+v; want %+v", have, total)
	}
	if in.View && !c.plan.Bindings[0].Viewable() {
		t.Fatalf("Viewable = false, but the tensor is a view")
	}
	return true
}

// checkError wants an error that names a bad row, and of its column and kind
// the first in its segment.
func checkError(t *rapid.T, err error, want *outcome) {
	var row *RowError
	if !errors.As(err, &row) {
		t.Fatalf("Assemble = %v; want one of the errors %v", err, want.complaints)
	}
	kind := "value"
	switch {
	case row.Reason == "is null":
		kind = "null"
	case strings.HasPrefix(row.Reason, "list has"):
		kind = "length"
	case strings.HasSuffix(row.Reason, "is not finite"):
		kind = "finite"
	}
	for _, complaint := range want.complaints {
		if complaint.column == row.Column && complaint.kind == kind && complaint.file == row.Origin.File {
			if complaint.row != row.Origin.Row {
				t.Fatalf("Assemble = %v; want row %d to be named first", err, complaint.row)
			}
			return
		}
	}
	t.Fatalf("Assemble = %v, file %d; want one of %v", err, row.Origin.File, want.complaints)
}
