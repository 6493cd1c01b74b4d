package batcher

import (
	"math/big"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/models"
)

// TestDecimalsRoundOnce takes decimals whose nearest float64 lies just between
// two values of the tensor's type, where the decimal itself does not.
func TestDecimalsRoundOnce(t *testing.T) {
	tests := []struct {
		name     string
		unscaled string
		scale    int32
		elem     models.ElementType
		want     float64
	}{
		{"above the middle of two float32", "1000000059604644775390625000001", 30, models.Float32, 1 + 1.0/(1<<23)},
		{"the middle itself is even", "1000000059604644775390625000000", 30, models.Float32, 1},
		{"below another middle", "1000000178813934326171874999999", 30, models.Float32, 1 + 1.0/(1<<23)},
		{"that middle", "1000000178813934326171875000000", 30, models.Float32, 1 + 2.0/(1<<23)},
		{"below zero it is the same", "-1000000059604644775390625000001", 30, models.Float32, -1 - 1.0/(1<<23)},
		{"below a middle that is its nearest float64", "4000000715255737", 15, models.Float32, 4 + 1.0/(1<<21)},
		{"above a middle that is its nearest float64", "4000002145767212", 15, models.Float32, 4 + 5.0/(1<<21)},
		{"above the middle of two bfloat16", "100390625000000000000001", 23, models.BFloat16, 1 + 1.0/(1<<7)},
		{"above the middle of two float16", "100048828125000000000001", 23, models.Float16, 1 + 1.0/(1<<10)},
		{"a scale below zero multiplies", "7", -3, models.Float64, 7000},
		{"beyond float64, within float32", "1" + "000000000000000000000000000001", 0, models.Float32, 1e30},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer alloc.AssertSize(t, 0)
			unscaled, ok := new(big.Int).SetString(test.unscaled, 10)
			if !ok {
				t.Fatalf("%q is no integer", test.unscaled)
			}
			typ := &arrow.Decimal256Type{Precision: 50, Scale: test.scale}
			b := array.NewDecimal256Builder(alloc, typ)
			defer b.Release()
			b.Append(decimal256.FromBigInt(unscaled))
			plan, err := Bind([]models.Value{input("x", test.elem, -1)}, schemaOf("x", typ), Options{Lossy: AllowLossy})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schemaOf("x", typ), []arrow.Array{b.NewArray()})
			defer batch.Release()
			tensors, err := plan.NewAssembler(1, AllowLossy).Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			want := float64(float32(test.want))
			if got := elementsOf(&tensors.Inputs[0])[0].float; got != want {
				t.Errorf("%se%d as %s = %v; want %v", test.unscaled, -test.scale, test.elem, got, want)
			}
		})
	}
}
