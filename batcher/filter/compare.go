package filter

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// compare compiles a comparison of any two parts.
func (c *compiler) compare(where file.Location, op comparison, a, b operand) (predicate, error) {
	if a.literal != nil && b.literal == nil {
		a, b, op = b, a, op.flipped()
	}
	if b.literal == nil {
		return c.compareValues(where, op, a, b)
	}
	switch l := b.literal; {
	case a.literal != nil:
		return c.compareLiterals(where, op, a, b)
	case l.kind == literalNil:
		return c.compareNil(where, op, a)
	case a.column != nil && a.column.kind == kindNull:
		return always(isUnknown), nil
	case l.kind == literalBool:
		p := a.asTruth()
		if p == nil || op > opNotEqual {
			return nil, c.at(b.where, "%s cannot be compared with %s by %s", a.describe(), l, op)
		}
		if l.truth == (op == opEqual) {
			return p, nil
		}
		return &negation{p}, nil
	case a.column != nil:
		test, err := testOf(op, a.column, l)
		if err != nil {
			return nil, c.at(b.where, "%v", err)
		}
		return &leaf{column: a.column, test: test, text: fmt.Sprintf("(%s %s %s)", a.column, op, l)}, nil
	case a.number != nil && l.kind == literalNumber:
		return newNumberTest(op, a.number, l), nil
	}
	return nil, c.at(b.where, "%s cannot be compared with %s", a.describe(), b.describe())
}

// compareNil asks whether there is a value.
func (c *compiler) compareNil(where file.Location, op comparison, a operand) (predicate, error) {
	if op > opNotEqual {
		return nil, c.at(where, "nothing is %s nil; == nil and != nil ask for nulls", op)
	}
	negate := op == opNotEqual
	switch {
	case a.column != nil:
		if a.column.kind == kindOther && a.column.typ.ID() == arrow.RUN_END_ENCODED || a.column.typ.ID() == arrow.SPARSE_UNION || a.column.typ.ID() == arrow.DENSE_UNION {
			return nil, c.at(a.where, "%s has no nulls of its own that could be asked for", a.describe())
		}
		return &isNull{column: a.column, negate: negate}, nil
	case a.number != nil:
		return &isMissing{of: a.number, negate: negate}, nil
	default:
		return &isUnset{of: a.truth, negate: negate}, nil
	}
}

// compareLiterals compares two values of the expression itself.
func (c *compiler) compareLiterals(where file.Location, op comparison, a, b operand) (predicate, error) {
	for _, o := range []operand{a, b} {
		if l := o.literal; l.kind == literalText && c.schema.HasField(l.text) {
			return nil, c.at(o.where, "%s is the same in every row; the column of that name is written %s", o.describe(), &column{name: l.text})
		}
	}
	x, y := a.literal, b.literal
	var is bool
	switch {
	case x.kind == literalNil && y.kind == literalNil && op <= opNotEqual:
		is = op == opEqual
	case x.kind == literalNil && op <= opNotEqual, y.kind == literalNil && op <= opNotEqual:
		is = op == opNotEqual
	case x.kind == literalNumber && y.kind == literalNumber:
		is = op.of(x.number.Cmp(y.number))
	case x.kind == literalText && y.kind == literalText:
		is = op.of(strings.Compare(x.text, y.text))
	case x.kind == literalBool && y.kind == literalBool && op <= opNotEqual:
		is = (x.truth == y.truth) == (op == opEqual)
	default:
		return nil, c.at(where, "%s cannot be compared with %s by %s", a.describe(), b.describe(), op)
	}
	if is {
		return always(isTrue), nil
	}
	return always(isFalse), nil
}

// compareValues compares two columns, or what is computed of them.
func (c *compiler) compareValues(where file.Location, op comparison, a, b operand) (predicate, error) {
	if a.column != nil && a.column.kind == kindNull || b.column != nil && b.column.kind == kindNull {
		return always(isUnknown), nil
	}
	if x, y := a.asNumber(), b.asNumber(); x != nil && y != nil {
		return &numberPair{op: op, a: x, b: y}, nil
	}
	if x, y := a.asTruth(), b.asTruth(); x != nil && y != nil && op <= opNotEqual {
		return &same{a: x, b: y, negate: op == opNotEqual}, nil
	}
	if a.column != nil && b.column != nil {
		switch x, y := a.column, b.column; {
		case x.kind == kindText && y.kind == kindText:
			return &textPair{op: op, a: x, b: y}, nil
		case comparableTimes(x, y):
			return newTimePair(op, x, y), nil
		}
	}
	return nil, c.at(where, "%s cannot be compared with %s", a.describe(), b.describe())
}

// comparableTimes says whether two columns hold times of the same sort: a date is
// midnight of a clock without a time zone.
func comparableTimes(a, b *column) bool {
	clock := func(c *column) bool {
		t, ok := c.typ.(*arrow.TimestampType)
		return c.kind == kindDate || ok && t.TimeZone == ""
	}
	switch {
	case !a.kind.isTime() || !b.kind.isTime():
		return false
	case clock(a) || clock(b):
		return clock(a) && clock(b)
	default:
		return a.kind == b.kind
	}
}

// testOf is the test that compares a column's values with a literal.
func testOf(op comparison, col *column, l *literal) (test, error) {
	wrong := func(hint string) error {
		return fmt.Errorf("column %s is %s, and cannot be compared with %s%s", col, col.describe(), (&operand{literal: l}).describe(), hint)
	}
	switch {
	case col.kind.isNumber():
		if l.kind != literalNumber {
			if _, number := parseNumber(l.text); l.kind == literalText && number {
				return nil, wrong(": leave the quotes out")
			}
			return nil, wrong("")
		}
		return numberTestOf(op, col, l.number), nil
	case col.kind == kindText:
		if l.kind != literalText {
			if l.kind == literalNumber {
				return nil, wrong(": put it into quotes, and it is compared as text")
			}
			return nil, wrong("")
		}
		return compareText(op, l.text), nil
	case col.kind.isTime():
		if l.kind != literalText && l.kind != literalTime {
			return nil, wrong(": write a text, such as " + col.kind.example())
		}
		at, err := timeOf(l.text, col)
		if err != nil {
			return nil, err
		}
		op, with := whole(op, at, integerLimits(col.typ))
		return ints{op, with.Int64()}, nil
	}
	return nil, wrong("; only == nil and != nil are for it")
}

// numberTestOf is a test of a column of numbers.
func numberTestOf(op comparison, col *column, r *big.Rat) test {
	switch col.kind {
	case kindFloat:
		return floats{op, rounded(r, col.typ)}
	case kindDecimal:
		scale := col.typ.(arrow.DecimalType).GetScale()
		scaled := new(big.Rat).Mul(r, powerOfTen(scale))
		op, with := whole(op, scaled, integerLimits(col.typ))
		return decimals{op, with}
	case kindUnsigned:
		op, with := whole(op, r, integerLimits(col.typ))
		return uints{op, with.Uint64()}
	default:
		op, with := whole(op, r, integerLimits(col.typ))
		return ints{op, with.Int64()}
	}
}

// powerOfTen is 10^n, for n below 0 too.
func powerOfTen(n int32) *big.Rat {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil)
	if n < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), power)
	}
	return new(big.Rat).SetInt(power)
}

// interval is the integers from least to most.
type interval struct{ least, most *big.Int }

// integerLimits are the integers that a type's values are held as.
func integerLimits(t arrow.DataType) interval {
	bits := 64
	if w, ok := t.(arrow.FixedWidthDataType); ok {
		bits = w.BitWidth()
	}
	if arrow.IsUnsignedInteger(t.ID()) {
		return interval{new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))}
	}
	power := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	most, least := new(big.Int).Sub(power, big.NewInt(1)), new(big.Int).Neg(power)
	if _, ok := t.(arrow.DecimalType); ok {
		least.Neg(most) // arrow-go makes no decimal of the power itself, which no precision has
	}
	return interval{least, most}
}

// in compiles x in [a, b, c] and x in 1..5.
func (c *compiler) in(n *ast.BinaryNode) (predicate, error) {
	x, err := c.operand(n.Left)
	if err != nil {
		return nil, err
	}
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		return c.inRange(x, r)
	}
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return nil, c.at(n.Right.Location(), `in wants a list of values on its right, such as ["EWR", "JFK"]`)
	}
	values := make([]operand, len(list.Nodes))
	for i, node := range list.Nodes {
		if values[i], err = c.operand(node); err != nil {
			return nil, err
		}
		if l := values[i].literal; l != nil && l.kind == literalNil {
			return nil, c.at(values[i].where, "nil equals nothing; ask for nulls with == nil")
		}
	}
	return c.memberOf(x, values)
}

// memberOf asks whether a value is one of several.
func (c *compiler) memberOf(x operand, values []operand) (out predicate, err error) {
	if set, err := c.set(x, values); set != nil || err != nil {
		return set, err
	}
	for _, v := range values {
		p, err := c.compare(v.where, opEqual, x, v)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = p
			continue
		}
		out = join(true, out, p)
	}
	return out, nil
}

// inRange compiles x in from..to, both of them included.
func (c *compiler) inRange(x operand, r *ast.BinaryNode) (predicate, error) {
	from, err := c.operand(r.Left)
	if err != nil {
		return nil, err
	}
	to, err := c.operand(r.Right)
	if err != nil {
		return nil, err
	}
	low, err := c.compare(from.where, opGreaterEqual, x, from)
	if err != nil {
		return nil, err
	}
	high, err := c.compare(to.where, opLessEqual, x, to)
	if err != nil {
		return nil, err
	}
	return join(false, low, high), nil
}

// leastSet is from how many values on a list becomes a set.
const leastSet = 4

// set makes one test of a list of literals, where the column's type has one; nil
// where it has not.
func (c *compiler) set(x operand, values []operand) (predicate, error) {
	if x.column == nil || len(values) < leastSet {
		return nil, nil //nolint:nilnil // each value is compared by itself then
	}
	col := x.column
	var texts []string
	var numbers []int64
	for _, v := range values {
		if v.literal == nil {
			return nil, nil //nolint:nilnil // a column among them
		}
		texts = append(texts, v.literal.text)
		test, err := testOf(opEqual, col, v.literal)
		if err != nil {
			return nil, c.at(v.where, "%v", err)
		}
		switch test := test.(type) {
		case ints:
			if test.op == opEqual {
				numbers = append(numbers, test.with)
			}
		case uints:
			if test.op == opEqual {
				numbers = append(numbers, int64(test.with)) // its bits
			}
		}
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.literal.String()
	}
	p := &leaf{column: col, text: fmt.Sprintf("(%s in [%s])", col, strings.Join(names, ", "))}
	switch col.kind {
	case kindText:
		p.test = textSet(texts)
	case kindSigned, kindUnsigned, kindDate, kindTimestamp, kindTime, kindDuration:
		p.test = newIntSet(numbers)
	default:
		return nil, nil //nolint:nilnil // see above
	}
	return p, nil
}
