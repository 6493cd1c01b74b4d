package filter

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// numberTest compares a computed number with one of the expression.
type numberTest struct {
	of    numeric
	op    comparison
	with  *literal
	ints  ints
	float float64
}

func newNumberTest(op comparison, of numeric, with *literal) *numberTest {
	p := &numberTest{of: of, op: op, with: with}
	if of.class() == classInt {
		op, bound := whole(op, with.number, integerLimits(arrow.PrimitiveTypes.Int64))
		p.ints = ints{op, bound.Int64()}
		return p
	}
	p.float, _ = with.number.Float64()
	return p
}

func (p *numberTest) eval(t *tile) truth {
	out := t.bits()
	n := p.of.eval(t)
	if p.of.class() == classInt {
		meet(out, n.ints, p.ints.op, p.ints.with)
	} else {
		meet(out, n.floats, p.op, p.float)
	}
	return t.of(out, n.valid)
}

func (p *numberTest) outcomes(statistics) outcomes { return anyOutcome }

func (p *numberTest) String() string {
	return "(" + p.of.String() + " " + p.op.String() + " " + p.with.String() + ")"
}

// isMissing is == nil of a computed number, or !=.
type isMissing struct {
	of     numeric
	negate bool
}

func (p *isMissing) eval(t *tile) truth {
	out := t.unset(p.of.eval(t).valid)
	if p.negate {
		return out.not()
	}
	return out
}

func (p *isMissing) outcomes(statistics) outcomes { return mayBeTrue | mayBeFalse }

func (p *isMissing) String() string {
	if p.negate {
		return "(" + p.of.String() + " != nil)"
	}
	return "(" + p.of.String() + " == nil)"
}

// numberPair compares two numbers of a row, exactly: an integer with a float64 by its
// value, and decimals by theirs unless the other is floating.
type numberPair struct {
	op   comparison
	a, b numeric
}

func (p *numberPair) outcomes(statistics) outcomes { return anyOutcome }

func (p *numberPair) String() string {
	return "(" + p.a.String() + " " + p.op.String() + " " + p.b.String() + ")"
}

func (p *numberPair) eval(t *tile) truth {
	x, y := p.a.class(), p.b.class()
	if max(x, y) == classDecimal && x != classFloat && y != classFloat {
		return p.exact(t)
	}
	out := t.bits()
	clear(out)
	a, b := p.a.eval(t), p.b.eval(t)
	op := p.op
	if y < x { // the floating one, and then the unsigned one, is the second
		a, b, x, y, op = b, a, y, x, op.flipped()
	}
	switch {
	case x >= classFloat:
		meetPairs(out, a.floats, b.floats, op)
	case y == classInt:
		meetPairs(out, a.ints, b.ints, op)
	default:
		compare := comparer(x, y, a, b)
		for i := range t.rows {
			s, ordered := compare(i)
			out[i/64] |= bit(ordered && op.of(s) || !ordered && op == opNotEqual) << (i % 64)
		}
	}
	return t.of(out, a.valid.and(b.valid, t))
}

// meetPairs sets the bit of each row whose numbers compare as op says.
func meetPairs[T int64 | float64](out []uint64, a, b []T, op comparison) {
	for i, x := range a {
		y := b[i]
		var meets bool
		switch op {
		case opEqual:
			meets = x == y
		case opNotEqual:
			meets = x != y
		case opLess:
			meets = x < y
		case opLessEqual:
			meets = x <= y
		case opGreater:
			meets = x > y
		default:
			meets = x >= y
		}
		out[i/64] |= bit(meets) << (i & 63)
	}
}

// comparer says how the numbers of a row compare, of classes x <= y that are not one of
// integers or floats; with a NaN they have no order.
func comparer(x, y class, a, b numbers) func(i int) (s int, ordered bool) {
	switch {
	case x == classUint && y == classUint:
		return func(i int) (int, bool) { return sign(uint64(a.ints[i]), uint64(b.ints[i])), true }
	case y == classUint:
		return func(i int) (int, bool) {
			if a.ints[i] < 0 {
				return -1, true
			}
			return sign(uint64(a.ints[i]), uint64(b.ints[i])), true
		}
	case x == classInt:
		return func(i int) (int, bool) { f := b.floats[i]; return signIntFloat(a.ints[i], f), f == f }
	default:
		return func(i int) (int, bool) { f := b.floats[i]; return signUintFloat(uint64(a.ints[i]), f), f == f }
	}
}

// signIntFloat compares without rounding.
func signIntFloat(i int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Trunc(f)
	if s := sign(i, int64(whole)); s != 0 {
		return s
	}
	return sign(whole, f)
}

// signUintFloat compares without rounding.
func signUintFloat(u uint64, f float64) int {
	switch {
	case f >= 1<<64:
		return -1
	case f < 0:
		return 1
	}
	whole := math.Trunc(f)
	if s := sign(u, uint64(whole)); s != 0 {
		return s
	}
	return sign(whole, f)
}

// exact compares decimals, with integers too, row by row.
func (p *numberPair) exact(t *tile) truth {
	a, validA := exactOf(p.a, t)
	b, validB := exactOf(p.b, t)
	return t.where(validA.and(validB, t), func(i int) bool { return p.op.of(a(i).Cmp(b(i))) })
}

// exactOf gives the numbers of rows of a tile.
func exactOf(n numeric, t *tile) (value func(i int) *big.Rat, valid nullness) {
	if n.class() != classDecimal {
		got := n.eval(t)
		return func(i int) *big.Rat {
			if n.class() == classUint {
				return new(big.Rat).SetUint64(uint64(got.ints[i]))
			}
			return new(big.Rat).SetInt64(got.ints[i])
		}, got.valid
	}
	col := n.(columnNumber).column
	a := col.array(t)
	scale, decimal := powerOfTen(col.typ.(arrow.DecimalType).GetScale()), decimalOf(a)
	return func(i int) *big.Rat {
		r := new(big.Rat).SetInt(decimal(t.from + i))
		return r.Quo(r, scale)
	}, t.validOf(a)
}

// timePair compares two columns of times, which may count in other units.
type timePair struct {
	op           comparison
	a, b         *column
	unitA, unitB uint64 // in nanoseconds
}

func newTimePair(op comparison, a, b *column) *timePair {
	return &timePair{op: op, a: a, b: b, unitA: uint64(unitsOf(a.typ)), unitB: uint64(unitsOf(b.typ))}
}

func (p *timePair) eval(t *tile) truth {
	a, b := columnNumber{p.a}.eval(t), columnNumber{p.b}.eval(t)
	return t.where(a.valid.and(b.valid, t), func(i int) bool {
		return p.op.of(signScaled(a.ints[i], p.unitA, b.ints[i], p.unitB))
	})
}

func (p *timePair) outcomes(statistics) outcomes { return anyOutcome }

func (p *timePair) String() string {
	return "(" + p.a.String() + " " + p.op.String() + " " + p.b.String() + ")"
}

// signScaled compares a*unitA with b*unitB, which take up to 128 bits.
func signScaled(a int64, unitA uint64, b int64, unitB uint64) int {
	if (a < 0) != (b < 0) {
		return sign(a, b)
	}
	highA, lowA := bits.Mul64(magnitude(a), unitA)
	highB, lowB := bits.Mul64(magnitude(b), unitB)
	s := sign(highA, highB)
	if s == 0 {
		s = sign(lowA, lowB)
	}
	if a < 0 {
		return -s
	}
	return s
}
