package filter

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

// numeric is a number in each row: of a column, or computed.
//
// Integers are computed exactly in 64 bits; a sum or product beyond them, and a
// remainder of 0, is no number: a null. Everything else is float64: whatever is
// divided, and what is computed of a decimal or with a fraction.
type numeric interface {
	class() class
	// eval gives the numbers of a tile, in memory of the tile that nobody changes.
	eval(t *tile) numbers
	String() string
}

// class is how numbers are held.
type class int

const (
	classInt class = iota
	classUint
	classFloat
	classDecimal
)

// numbers are those of one tile; valid says where there is one. Of the slices there
// is the one of the class.
type numbers struct {
	ints   []int64
	floats []float64
	valid  nullness
}

// asNumber is the operand as a number; nil where it is none.
func (o *operand) asNumber() numeric {
	switch {
	case o.number != nil:
		return o.number
	case o.column != nil && o.column.kind.isNumber():
		return columnNumber{o.column}
	case o.literal != nil && o.literal.kind == literalNumber:
		return constant(o.literal)
	}
	return nil
}

// arithmetic compiles an operator of numbers.
func (c *compiler) arithmetic(o operand, operator string, a, b operand) (operand, error) {
	if operator == "??" {
		if x, y := a.asTruth(), b.asTruth(); x != nil && y != nil {
			o.truth = &choice{&isUnset{of: x, negate: true}, x, y}
			return o, nil
		}
	}
	x, y := a.asNumber(), b.asNumber()
	for _, side := range []struct {
		n numeric
		o operand
	}{{x, a}, {y, b}} {
		if side.n == nil {
			return o, c.at(side.o.where, "%s wants numbers, and this is %s", operator, side.o.describe())
		}
	}
	if a.literal != nil && b.literal != nil {
		l, err := folded(operator, a.literal, b.literal)
		if err != nil {
			return o, c.at(o.where, "%v", err)
		}
		o.literal = l
		return o, nil
	}
	if operator == "%" && (x.class() >= classFloat || y.class() >= classFloat) {
		return o, c.at(o.where, "%% is for integers")
	}
	o.number = newArithmetic(operator, x, y)
	return o, nil
}

// folded computes with two numbers of the expression, exactly.
func folded(operator string, a, b *literal) (*literal, error) {
	x, y, r := a.number, b.number, new(big.Rat)
	switch operator {
	case "+":
		r.Add(x, y)
	case "-":
		r.Sub(x, y)
	case "*":
		r.Mul(x, y)
	case "??":
		return a, nil
	default:
		if y.Sign() == 0 {
			return nil, fmt.Errorf("%s %s 0 is no number", a, operator)
		}
		if operator == "/" {
			r.Quo(x, y)
			break
		}
		if !x.IsInt() || !y.IsInt() {
			return nil, fmt.Errorf("%% is for integers, and one of %s and %s is none", a, b)
		}
		r.SetInt(new(big.Int).Rem(x.Num(), y.Num()))
	}
	l, fits := numberLiteral(r)
	if !fits {
		return nil, fmt.Errorf("%s of these has more than %d bits", operator, maxNumberBits)
	}
	return l, nil
}

// constantNumber is a number of the expression.
type constantNumber struct {
	literal *literal
	isInt   bool
	integer int64
	float   float64
}

func constant(l *literal) constantNumber {
	n := constantNumber{literal: l}
	n.float, _ = l.number.Float64()
	if l.number.IsInt() && l.number.Num().IsInt64() {
		n.isInt, n.integer = true, l.number.Num().Int64()
	}
	return n
}

func (n constantNumber) class() class {
	if n.isInt {
		return classInt
	}
	return classFloat
}

func (n constantNumber) eval(t *tile) numbers {
	if n.isInt {
		out := t.int64s()
		for i := range out {
			out[i] = n.integer
		}
		return numbers{ints: out}
	}
	out := t.float64s()
	for i := range out {
		out[i] = n.float
	}
	return numbers{floats: out}
}

func (n constantNumber) String() string { return n.literal.String() }

// computed is an operator of two numbers.
type computed struct {
	operator string
	a, b     numeric
	of       class
}

func newArithmetic(operator string, a, b numeric) *computed {
	n := &computed{operator: operator, a: a, b: b}
	if operator == "/" || a.class() >= classFloat || b.class() >= classFloat {
		n.of = classFloat
	}
	return n
}

func (n *computed) class() class { return n.of }

func (n *computed) String() string {
	return "(" + n.a.String() + " " + n.operator + " " + n.b.String() + ")"
}

func (n *computed) eval(t *tile) numbers {
	a, b := n.side(t, n.a), n.side(t, n.b)
	if n.operator == "??" {
		return n.coalesce(t, a, b)
	}
	out := numbers{valid: a.valid.and(b.valid, t)}
	if n.of == classFloat {
		out.floats = t.float64s()
		floatArithmetic(n.operator, out.floats, a.floats, b.floats)
		return out
	}
	out.ints = t.int64s()
	beyond := t.bits()
	clear(beyond)
	intArithmetic(n.operator, out.ints, a.ints, b.ints, beyond)
	out.valid = out.valid.without(beyond, t)
	return out
}

// side gives one side's numbers in the class of the result.
func (n *computed) side(t *tile, of numeric) numbers {
	got := of.eval(t)
	if of.class() == classUint { // beyond 63 bits there is no number
		beyond := t.bits()
		meet(beyond, got.ints, opLess, 0)
		if n.of == classFloat {
			got.floats = t.float64s()
			for i, v := range got.ints {
				got.floats[i] = float64(uint64(v))
			}
			return got
		}
		got.valid = got.valid.without(beyond, t)
		return got
	}
	if n.of == classFloat && of.class() == classInt {
		got.floats = t.float64s()
		for i, v := range got.ints {
			got.floats[i] = float64(v)
		}
	}
	return got
}

// without leaves some rows out of those that have a value.
func (n nullness) without(rows []uint64, t *tile) nullness {
	if count(rows) == 0 {
		return n
	}
	out := t.bits()
	if n == nil {
		fill(out, t.rows)
	} else {
		copy(out, n)
	}
	for i, w := range rows {
		out[i] &^= w
	}
	return out
}

// coalesce takes b where a has no number.
func (n *computed) coalesce(t *tile, a, b numbers) numbers {
	if a.valid == nil {
		return a
	}
	out := numbers{}
	if b.valid != nil {
		out.valid = t.bits()
		for i := range out.valid {
			out.valid[i] = a.valid[i] | b.valid[i]
		}
	}
	if n.of == classFloat {
		out.floats = t.float64s()
		for i := range out.floats {
			if out.floats[i] = b.floats[i]; a.valid.has(i) {
				out.floats[i] = a.floats[i]
			}
		}
		return out
	}
	out.ints = t.int64s()
	for i := range out.ints {
		if out.ints[i] = b.ints[i]; a.valid.has(i) {
			out.ints[i] = a.ints[i]
		}
	}
	return out
}

func floatArithmetic(operator string, out, a, b []float64) {
	switch operator {
	case "+":
		for i := range out {
			out[i] = a[i] + b[i]
		}
	case "-":
		for i := range out {
			out[i] = a[i] - b[i]
		}
	case "*":
		for i := range out {
			out[i] = a[i] * b[i]
		}
	default:
		for i := range out {
			out[i] = a[i] / b[i]
		}
	}
}

// intArithmetic computes, and sets the bits of the rows where there is no result.
func intArithmetic(operator string, out, a, b []int64, beyond []uint64) {
	for i, x := range a {
		y := b[i]
		wrong := false
		switch operator {
		case "+":
			out[i] = x + y
			wrong = (x^out[i])&(y^out[i]) < 0
		case "-":
			out[i] = x - y
			wrong = (x^y)&(x^out[i]) < 0
		case "*":
			out[i] = x * y
			high, low := bits.Mul64(magnitude(x), magnitude(y))
			limit := uint64(math.MaxInt64) + bit((x < 0) != (y < 0))
			wrong = high != 0 || low > limit
		default:
			switch y {
			case 0:
				wrong = true
			case -1: // MinInt64 % -1 is 0, and traps on some processors
				out[i] = 0
			default:
				out[i] = x % y
			}
		}
		if wrong {
			beyond[i/64] |= 1 << (i % 64)
		}
	}
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}
