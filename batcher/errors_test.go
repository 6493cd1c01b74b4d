package batcher

import (
	"errors"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/models"
)

// raw makes an array of buffers as a file might hold them.
func raw(t arrow.DataType, n, nulls int, children []arrow.ArrayData, buffers ...[]byte) arrow.Array {
	list := make([]*memory.Buffer, len(buffers))
	for i, b := range buffers {
		list[i] = buffer(b)
	}
	data := array.NewData(t, n, list, children, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func int32s(v ...int32) []byte { return arrow.Int32Traits.CastToBytes(v) }

// TestRowErrors: the message names the column, the row in its file, the value
// and the way out.
func TestRowErrors(t *testing.T) {
	numbers := func(mem memory.Allocator, null int, values ...float64) arrow.Array {
		b := array.NewFloat64Builder(mem)
		defer b.Release()
		for i, v := range values {
			if i == null {
				b.AppendNull()
			} else {
				b.Append(v)
			}
		}
		return b.NewArray()
	}
	tests := []struct {
		name  string
		input models.Value
		lossy LossyCasts
		make  func(mem memory.Allocator) arrow.Array
		want  string
	}{
		{
			"a null where none is allowed", input("x", models.Float64, -1), RefuseLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, 2, 1, 2, 3) },
			`column "x", row 102: is null; say what a null becomes: --nulls x=nan, x=0 or x=reject`,
		},
		{
			"integers have no NaN to become", input("x", models.Int64, -1), RefuseLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, 2, 1, 2, 3) },
			`column "x", row 102: is null; say what a null becomes: --nulls x=VALUE or x=reject`,
		},
		{
			"a fraction into an integer", input("x", models.Int8, -1), AllowLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, -1, 1, 2.5, 1000) },
			`column "x", row 101: value 2.5 does not fit int8, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"NaN into an integer", input("x", models.Int64, -1), AllowLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, -1, 1, math.NaN()) },
			`column "x", row 101: value NaN does not fit int64, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"the last int64 is not the last float64", input("x", models.Int64, -1), AllowLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, -1, math.MinInt64, 1<<63) },
			`column "x", row 101: value 9.223372036854776e+18 does not fit int64, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"an overflow is never allowed", input("x", models.Float32, -1), AllowLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, -1, 0.1, 1e39) },
			`column "x", row 101: value 1e+39 does not fit float32, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"the first bad value is named, of either kind", input("x", models.Float32, -1), RefuseLossy,
			func(mem memory.Allocator) arrow.Array { return numbers(mem, -1, 0.5, 0.1, 1e39) },
			`column "x", row 101: value 0.1 would be rounded to fit float32, which model input "x" wants; allow it by --allow-lossy-casts, or correct the data`,
		},
		{
			"a list's value belongs to its row", input("x", models.Int8, -1, 2), RefuseLossy,
			func(mem memory.Allocator) arrow.Array {
				return cutOut(lists(numbers(mem, -1, 500, 500, 1, 2, 3, 500), 2), 1, 3)
			},
			`column "x", row 101: value 500 does not fit int8, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"also behind a null list of no length", input("x", models.Int8, -1, 2), RefuseLossy,
			func(mem memory.Allocator) arrow.Array {
				values := numbers(mem, -1, 1, 2, 500, 3)
				defer values.Release()
				return raw(arrow.ListOf(f64), 3, 1, []arrow.ArrayData{values.Data()}, []byte{0b101}, int32s(0, 2, 2, 4))
			},
			`column "x", row 102: value 500 does not fit int8, which model input "x" wants; correct the data, or export the model with a wider input`,
		},
		{
			"a list of another length", input("x", models.Float64, -1, 2), RefuseLossy,
			func(mem memory.Allocator) arrow.Array {
				values := numbers(mem, -1, 1, 2, 3)
				defer values.Release()
				return raw(arrow.ListOf(f64), 2, 0, []arrow.ArrayData{values.Data()}, nil, int32s(0, 2, 3))
			},
			`column "x", row 101: list has 1 values; the model wants 2; correct the data, or write the column as a FixedSizeList`,
		},
		{
			"bytes that are not text", input("x", models.String, -1), RefuseLossy,
			func(memory.Allocator) arrow.Array {
				return raw(arrow.BinaryTypes.Binary, 2, 0, nil, nil, int32s(0, 1, 3), []byte("a\xff\xfe"))
			},
			`column "x", row 101: value "\xff\xfe" is not UTF-8; write the column as text`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer alloc.AssertSize(t, 0)
			column := test.make(alloc)
			schema := schemaOf("x", column.DataType())
			opts := Options{Lossy: AllowLossy}
			if column.NullN() > 0 && column.DataType().ID() == arrow.LIST {
				opts.Nulls.Default.Action = NullReject
			}
			plan, err := Bind([]models.Value{test.input}, schema, opts)
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, []arrow.Array{column})
			defer batch.Release()
			batch.Segments[0].Origin = Origin{File: 3, Row: 100}
			tensors, err := plan.NewAssembler(10, test.lossy).Assemble(batch)
			var row *RowError
			if tensors != nil || !errors.As(err, &row) || err.Error() != test.want || row.Origin.File != 3 || row.Input != "x" {
				t.Errorf("Assemble = %v, %v; want %s", tensors, err, test.want)
			}
		})
	}
}

// TestDamagedColumns: buffers that contradict each other are an error, not a
// panic and not a read beyond them.
func TestDamagedColumns(t *testing.T) {
	eight := func() arrow.Array {
		return raw(f32, 8, 0, nil, nil, make([]byte, 32))
	}
	child := func(t arrow.DataType, n int, nulls int, buffers ...[]byte) arrow.Array {
		values := eight()
		defer values.Release()
		return raw(t, n, nulls, []arrow.ArrayData{values.Data()}, buffers...)
	}
	dictType := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: f32}
	tests := []struct {
		name  string
		input models.Value
		make  func() arrow.Array
	}{
		{"a bitmap is too short", input("x", models.Float32, -1), func() arrow.Array {
			return raw(f32, 20, 5, nil, []byte{0xff}, make([]byte, 80))
		}},
		{"bools are too few", input("x", models.Bool, -1), func() arrow.Array {
			return raw(arrow.FixedWidthTypes.Boolean, 20, 0, nil, nil, []byte{0xff})
		}},
		{"there are no values", input("x", models.Float32, -1), func() arrow.Array {
			return raw(f32, 4, 0, nil, nil, nil)
		}},
		{"there are no integers", input("x", models.Float16, -1), func() arrow.Array {
			return raw(i64, 4, 0, nil, nil, nil)
		}},
		{"a place is not in the dictionary", input("x", models.Float32, -1), func() arrow.Array {
			entries, index := eight(), raw(arrow.PrimitiveTypes.Int32, 2, 0, nil, nil, int32s(7, 8))
			defer entries.Release()
			defer index.Release()
			return array.NewDictionaryArray(dictType, index, entries)
		}},
		{"a place is negative", input("x", models.Float32, -1), func() arrow.Array {
			entries, index := eight(), raw(arrow.PrimitiveTypes.Int32, 2, 0, nil, nil, int32s(7, -1))
			defer entries.Release()
			defer index.Release()
			return array.NewDictionaryArray(dictType, index, entries)
		}},
		{"fixed lists have too few values", input("x", models.Float32, -1, 4), func() arrow.Array {
			return child(fsl(4, f32), 3, 0, nil)
		}},
		{"their bitmap is too short", input("x", models.Float32, -1, 1), func() arrow.Array {
			values := raw(f32, 9, 0, nil, nil, make([]byte, 36))
			defer values.Release()
			return raw(fsl(1, f32), 9, 1, []arrow.ArrayData{values.Data()}, []byte{1})
		}},
		{"list offsets go back", input("x", models.Float32, -1, 2), func() arrow.Array {
			return child(arrow.ListOf(f32), 3, 0, nil, int32s(4, 6, 0, 2))
		}},
		{"list offsets go beyond", input("x", models.Float32, -1, 4), func() arrow.Array {
			return child(arrow.ListOf(f32), 2, 0, nil, int32s(2, 6, 10))
		}},
		{"list offsets begin before", input("x", models.Float32, -1, 4), func() arrow.Array {
			return child(arrow.ListOf(f32), 2, 0, nil, int32s(-4, 0, 4))
		}},
		{"list offsets are too few", input("x", models.Float32, -1, 4), func() arrow.Array {
			return child(arrow.ListOf(f32), 2, 0, nil, int32s(0, 4))
		}},
		{"text offsets go back", input("x", models.String, -1), func() arrow.Array {
			return raw(text, 2, 0, nil, nil, int32s(0, 3, 2), []byte("abc"))
		}},
		{"text offsets begin before", input("x", models.String, -1), func() arrow.Array {
			return raw(text, 2, 0, nil, nil, int32s(-1, 1, 2), []byte("abc"))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			column := test.make()
			schema := schemaOf("x", column.DataType())
			plan, err := Bind([]models.Value{test.input}, schema, Options{Nulls: NullPolicies{Default: NullPolicy{Action: NullReject}}})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, []arrow.Array{column})
			defer batch.Release()
			if tensors, err := plan.NewAssembler(20, RefuseLossy).Assemble(batch); !errors.Is(err, ErrDamaged) {
				t.Errorf("Assemble = %v, %v; want %v", tensors, err, ErrDamaged)
			}
		})
	}
}

// TestAssembleOtherSchema: a record of other types than were bound is refused,
// not cast in some other way.
func TestAssembleOtherSchema(t *testing.T) {
	tests := []struct {
		name       string
		bound, now arrow.DataType
		fits       bool
	}{
		{"a wider type", f32, f64, false},
		{"another unit", arrow.FixedWidthTypes.Timestamp_ms, arrow.FixedWidthTypes.Timestamp_us, false},
		{"a list", f32, fsl(1, f32), false},
		{"a dictionary of the same", f32, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: f32}, true},
		{"the same of another nullability", fsl(2, f32), arrow.FixedSizeListOfNonNullable(2, f32), true},
		{"lists of another length", fsl(2, f32), fsl(3, f32), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := input("x", models.Float32, -1, -1)
			if test.bound.ID() == arrow.TIMESTAMP {
				in = input("x", models.Int64, -1)
			}
			plan, err := Bind([]models.Value{in}, schemaOf("x", test.bound), Options{})
			if err != nil {
				t.Fatal(err)
			}
			b := array.NewBuilder(memory.DefaultAllocator, test.now)
			b.AppendEmptyValue()
			column := b.NewArray()
			b.Release()
			batch := batchOf(schemaOf("x", test.now), []arrow.Array{column})
			defer batch.Release()
			_, err = plan.NewAssembler(1, RefuseLossy).Assemble(batch)
			if test.fits && err != nil || !test.fits && !errors.Is(err, ErrBind) {
				t.Errorf("Assemble(%s) bound as %s = %v; want fits = %t", test.now, test.bound, err, test.fits)
			}
		})
	}
}

// TestAssembleTwoInputs: inputs of one batch are made beside each other, and
// the tensors of an empty batch hold nothing of the one before.
func TestAssembleTwoInputs(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	schema := schemaOf("x", f32, "s", text)
	plan, err := Bind([]models.Value{input("s", models.String, -1), input("x", models.Float32, -1, 1)}, schema, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewStringBuilder(alloc)
	defer b.Release()
	b.AppendValues([]string{"a", "bc"}, nil)
	// A record's columns are those of plan.Columns, in that order.
	batch := batchOf(schemaOf("s", text, "x", f32), []arrow.Array{b.NewArray(), floats(alloc, 2, nil)})
	defer batch.Release()
	a := plan.NewAssembler(2, RefuseLossy)
	tensors, err := a.Assemble(batch)
	if err != nil {
		t.Fatal(err)
	}
	if s, x := elementsOf(&tensors.Inputs[0]), elementsOf(&tensors.Inputs[1]); len(s) != 2 || s[1].text != "bc" || len(x) != 2 || x[1].float != 1 {
		t.Errorf("Assemble = %v and %v; want a, bc and 0, 1", s, x)
	}
	tensors, err = a.Assemble(&Batch{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tensors.Inputs {
		in := &tensors.Inputs[i]
		if n := len(elementsOf(in)); n != 0 || len(in.Text) != 0 || in.View {
			t.Errorf("Assemble(no rows): %s has %d elements, %d bytes of text, View = %t; want none", in.Name, n, len(in.Text), in.View)
		}
	}
}
