package filter

import (
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/decimal"
)

// columnNumber is a column as a number.
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
	from, values := t.from, a
	d, encoded := a.(*array.Dictionary)
	if encoded { // all its values, of which rows take theirs
		from, values = 0, storage(d.Dictionary())
	}
	rows := t.rows
	if encoded {
		rows = values.Len()
	}
	switch n.class() {
	case classInt, classUint:
		all := t.int64s()
		if encoded {
			all = make([]int64, rows)
		}
		widen(all, values, from)
		out.ints = all
		if encoded {
			out.ints = t.int64s()
			pick(out.ints, all, d, t.from)
		}
	default:
		all := t.float64s()
		if encoded {
			all = make([]float64, rows)
		}
		if n.class() == classDecimal {
			decimalFloats(all, values, from)
		} else {
			widenFloats(all, values, from)
		}
		out.floats = all
		if encoded {
			out.floats = t.float64s()
			pick(out.floats, all, d, t.from)
		}
	}
	return out
}

// pick gives each row the value of its index.
func pick[T any](out, values []T, d *array.Dictionary, from int) {
	for i := range out {
		if row := from + i; d.IsValid(row) {
			out[i] = values[d.GetValueIndex(row)]
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
		value := decimalOf(storage(a.Dictionary()))
		return func(row int) *big.Int { return value(a.GetValueIndex(row)) }
	}
	return func(int) *big.Int { return new(big.Int) }
}
