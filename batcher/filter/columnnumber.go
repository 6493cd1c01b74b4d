package filter

import (
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/decimal"
	"github.com/millrace/millrace/internal/storage"
)

// columnNumber is a column as a number; one of times counts its unit.
type columnNumber struct{ column *column }

func (n columnNumber) class() class {
	switch n.column.kind {
	case kindFloat:
		return classFloat
	case kindDecimal:
		return classDecimal
	case kindUnsigned:
		if n.column.typ.ID() == arrow.UINT64 {
			return classUint
		}
	default:
	}
	return classInt
}

func (n columnNumber) String() string { return n.column.String() }

// eval gives decimals as the nearest float64; numberPair compares them as they are.
func (n columnNumber) eval(t *tile) numbers {
	a := n.column.array(t)
	out := numbers{valid: t.validOf(a)}
	switch n.class() {
	case classInt, classUint:
		out.ints = t.int64s()
		eachRow(out.ints, a, t.from, widen)
	case classDecimal:
		out.floats = t.float64s()
		eachRow(out.floats, a, t.from, decimalFloats)
	default:
		out.floats = t.float64s()
		eachRow(out.floats, a, t.from, widenFloats)
	}
	return out
}

// eachRow reads the values of rows: of a dictionary all its values, of which each row
// takes that of its index.
func eachRow[T any](out []T, a arrow.Array, from int, read func(out []T, values arrow.Array, from int)) {
	d, ok := a.(*array.Dictionary)
	if !ok {
		read(out, a, from)
		return
	}
	values := storage.Array(d.Dictionary())
	all := make([]T, values.Len())
	read(all, values, 0)
	for i := range out {
		if row := from + i; d.IsValid(row) {
			out[i] = all[d.GetValueIndex(row)]
		}
	}
}

// decimalFloats are decimals as the nearest float64.
func decimalFloats(out []float64, a arrow.Array, from int) {
	value, _ := decimal.Values(a) // it is one
	for i := range out {
		if a.IsValid(from + i) {
			out[i] = value(from + i).Nearest
		}
	}
}

// decimalOf gives an array's decimals without their scale.
func decimalOf(a arrow.Array) func(row int) *big.Int {
	switch a := a.(type) {
	case *array.Decimal32:
		return func(row int) *big.Int { return big.NewInt(int64(a.Value(row))) }
	case *array.Decimal64:
		return func(row int) *big.Int { return big.NewInt(int64(a.Value(row))) }
	case *array.Decimal128:
		return func(row int) *big.Int { return a.Value(row).BigInt() }
	case *array.Decimal256:
		return func(row int) *big.Int { return a.Value(row).BigInt() }
	case *array.Dictionary:
		value := decimalOf(storage.Array(a.Dictionary()))
		return func(row int) *big.Int { return value(a.GetValueIndex(row)) }
	}
	return func(int) *big.Int { return new(big.Int) }
}
