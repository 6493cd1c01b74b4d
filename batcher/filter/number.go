package filter

import (
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/millrace/millrace/batcher/kernel"
)

// comparison is a comparing operator.
type comparison int

const (
	opEqual comparison = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opAlways // of any value
	opNever
)

// comparisons are the operators as they are written.
var comparisons = map[string]comparison{
	"==": opEqual, "!=": opNotEqual, "<": opLess, "<=": opLessEqual, ">": opGreater, ">=": opGreaterEqual,
}

func (op comparison) String() string {
	return [...]string{"==", "!=", "<", "<=", ">", ">=", "always", "never"}[op]
}

// flipped is the operator with its sides changed.
func (op comparison) flipped() comparison {
	return [...]comparison{opEqual, opNotEqual, opGreater, opGreaterEqual, opLess, opLessEqual, opAlways, opNever}[op]
}

// of says whether two values that compare as sign meet it.
func (op comparison) of(sign int) bool {
	switch op {
	case opEqual:
		return sign == 0
	case opNotEqual:
		return sign != 0
	case opLess:
		return sign < 0
	case opLessEqual:
		return sign <= 0
	case opGreater:
		return sign > 0
	case opGreaterEqual:
		return sign >= 0
	default:
		return op == opAlways
	}
}

// whole turns a comparison of the integers of an interval with any number into one
// with one of them, or into opAlways or opNever: x < 2.5 is x <= 2.
func whole(op comparison, with *big.Rat, among interval) (comparison, *big.Int) {
	least, most := among.least, among.most
	floor := new(big.Int).Div(with.Num(), with.Denom()) // Euclidean, and the denominator is positive
	switch op {
	case opEqual, opNotEqual:
		if !with.IsInt() || floor.Cmp(least) < 0 || floor.Cmp(most) > 0 {
			return [...]comparison{opNever, opAlways}[op], new(big.Int)
		}
		return op, floor
	case opLess:
		if with.IsInt() {
			floor.Sub(floor, big.NewInt(1))
		}
		op = opLessEqual
	case opGreater:
		floor.Add(floor, big.NewInt(1))
		op = opGreaterEqual
	case opGreaterEqual:
		if !with.IsInt() {
			floor.Add(floor, big.NewInt(1))
		}
	}
	if op == opLessEqual {
		switch {
		case floor.Cmp(least) < 0:
			return opNever, new(big.Int)
		case floor.Cmp(most) >= 0:
			return opAlways, new(big.Int)
		}
		return op, floor
	}
	switch {
	case floor.Cmp(most) > 0:
		return opNever, new(big.Int)
	case floor.Cmp(least) <= 0:
		return opAlways, new(big.Int)
	}
	return op, floor
}

// number is what kernels compare.
type number interface {
	integer | ~float32 | ~float64
}

// meet sets the bit of each value that compares with another as op says. A NaN only
// meets !=.
func meet[T number](out []uint64, values []T, op comparison, with T) {
	if op == opAlways || op == opNever {
		clear(out)
		if op == opAlways {
			fill(out, len(values))
		}
		return
	}
	for w := range out {
		var word uint64
		some := values[w*64 : min(w*64+64, len(values))]
		switch op {
		case opLess:
			for i, v := range some {
				word |= bit(v < with) << (i & 63)
			}
		case opLessEqual:
			for i, v := range some {
				word |= bit(v <= with) << (i & 63)
			}
		case opGreater:
			for i, v := range some {
				word |= bit(v > with) << (i & 63)
			}
		case opGreaterEqual:
			for i, v := range some {
				word |= bit(v >= with) << (i & 63)
			}
		case opNotEqual:
			for i, v := range some {
				word |= bit(v != with) << (i & 63)
			}
		default:
			for i, v := range some {
				word |= bit(v == with) << (i & 63)
			}
		}
		out[w] = word
	}
}

// bit compiles to no branch.
func bit(b bool) uint64 {
	var u uint64
	if b {
		u = 1
	}
	return u
}

// ints compares integers, and counts of a unit as times are.
type ints struct {
	op   comparison
	with int64
}

func (p ints) eval(t *tile, a arrow.Array) truth {
	out := t.bits()
	from, rows := t.from, t.rows
	switch a := a.(type) {
	case *array.Int8:
		meet(out, a.Int8Values()[from:][:rows], p.op, int8(p.with))
	case *array.Int16:
		meet(out, a.Int16Values()[from:][:rows], p.op, int16(p.with))
	case *array.Int32:
		meet(out, a.Int32Values()[from:][:rows], p.op, int32(p.with))
	case *array.Int64:
		meet(out, a.Int64Values()[from:][:rows], p.op, p.with)
	case *array.Date32:
		meet(out, a.Date32Values()[from:][:rows], p.op, arrow.Date32(p.with))
	case *array.Date64:
		meet(out, a.Date64Values()[from:][:rows], p.op, arrow.Date64(p.with))
	case *array.Timestamp:
		meet(out, a.TimestampValues()[from:][:rows], p.op, arrow.Timestamp(p.with))
	case *array.Time32:
		meet(out, a.Time32Values()[from:][:rows], p.op, arrow.Time32(p.with))
	case *array.Time64:
		meet(out, a.Time64Values()[from:][:rows], p.op, arrow.Time64(p.with))
	case *array.Duration:
		meet(out, a.DurationValues()[from:][:rows], p.op, arrow.Duration(p.with))
	}
	return t.of(out, t.valid(a))
}

func (p ints) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[int64](s)
	if !known {
		return p.op.unbounded()
	}
	return ordered(p.op, sign(low, p.with), sign(high, p.with))
}

// unbounded are the outcomes where nothing is known of the values.
func (op comparison) unbounded() outcomes {
	switch op {
	case opAlways:
		return mayBeTrue
	case opNever:
		return mayBeFalse
	}
	return mayBeTrue | mayBeFalse
}

func sign[T number](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// uints compares unsigned integers.
type uints struct {
	op   comparison
	with uint64
}

func (p uints) eval(t *tile, a arrow.Array) truth {
	out := t.bits()
	from, rows := t.from, t.rows
	switch a := a.(type) {
	case *array.Uint8:
		meet(out, a.Uint8Values()[from:][:rows], p.op, uint8(p.with))
	case *array.Uint16:
		meet(out, a.Uint16Values()[from:][:rows], p.op, uint16(p.with))
	case *array.Uint32:
		meet(out, a.Uint32Values()[from:][:rows], p.op, uint32(p.with))
	case *array.Uint64:
		meet(out, a.Uint64Values()[from:][:rows], p.op, p.with)
	}
	return t.of(out, t.valid(a))
}

func (p uints) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[uint64](s)
	if !known {
		return p.op.unbounded()
	}
	return ordered(p.op, sign(low, p.with), sign(high, p.with))
}

// floats compares floating point numbers. With is of the column's own precision.
type floats struct {
	op   comparison
	with float64
}

func (p floats) eval(t *tile, a arrow.Array) truth {
	out := t.bits()
	from, rows := t.from, t.rows
	switch a := a.(type) {
	case *array.Float16:
		values := t.float64s()
		widenFloats(values, a, from)
		meet(out, values, p.op, p.with)
	case *array.Float32:
		meet(out, a.Float32Values()[from:][:rows], p.op, float32(p.with))
	case *array.Float64:
		meet(out, a.Float64Values()[from:][:rows], p.op, p.with)
	}
	return t.of(out, t.valid(a))
}

// outcomes: a NaN, which bounds leave out, meets != and nothing else.
func (p floats) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[float64](s)
	if !known {
		return mayBeTrue | mayBeFalse
	}
	out := ordered(p.op, sign(low, p.with), sign(high, p.with))
	if p.op == opNotEqual {
		return out | mayBeTrue
	}
	return out | mayBeFalse
}

// rounded is a number in the precision of a floating point type.
func rounded(r *big.Rat, t arrow.DataType) float64 {
	switch t.ID() {
	case arrow.FLOAT16:
		f, _ := r.Float64()
		var half [1]uint16
		kernel.Float16.Narrow(half[:], []float64{f}, nil, 0)
		back := []float64{0}
		kernel.Float16.Widen(back, half[:])
		return back[0]
	case arrow.FLOAT32:
		f, _ := r.Float32()
		return float64(f)
	}
	f, _ := r.Float64()
	return f
}

// decimals compares decimals, whose values are integers of 10^-scale.
type decimals struct {
	op   comparison
	with *big.Int
}

func (p decimals) eval(t *tile, a arrow.Array) truth {
	out := t.bits()
	from, rows := t.from, t.rows
	switch a := a.(type) {
	case *array.Decimal32:
		meet(out, a.Values()[from:][:rows], p.op, decimal.Decimal32(p.with.Int64()))
	case *array.Decimal64:
		meet(out, a.Values()[from:][:rows], p.op, decimal.Decimal64(p.with.Int64()))
	case *array.Decimal128:
		meetDecimals(out, a.Values()[from:][:rows], p.op, decimal128.FromBigInt(p.with))
	case *array.Decimal256:
		meetDecimals(out, a.Values()[from:][:rows], p.op, decimal256.FromBigInt(p.with))
	}
	return t.of(out, t.valid(a))
}

// wideDecimal is a decimal of more than one word.
type wideDecimal[T any] interface{ Cmp(other T) int }

func meetDecimals[T wideDecimal[T]](out []uint64, values []T, op comparison, with T) {
	clear(out)
	for i, v := range values {
		out[i/64] |= bit(op.of(v.Cmp(with))) << (i % 64)
	}
}

func (p decimals) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[int64](s)
	if !known {
		return p.op.unbounded()
	}
	return ordered(p.op, big.NewInt(low).Cmp(p.with), big.NewInt(high).Cmp(p.with))
}
