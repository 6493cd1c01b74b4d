package filter

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/millrace/millrace/internal/nearest"
)

// compiler turns the parser's tree into predicates and checks types on the way.
type compiler struct {
	text    string
	schema  *arrow.Schema
	numbers map[int]string // as they are written, by place

	names   []string
	columns []*column
}

// operand is a part of the expression: exactly one of its kinds.
type operand struct {
	where   file.Location
	literal *literal
	column  *column
	number  numeric // computed
	truth   predicate
}

// describe says what an operand is, for messages.
func (o *operand) describe() string {
	switch {
	case o.literal != nil:
		switch o.literal.kind {
		case literalText, literalTime:
			return "the text " + o.literal.String()
		case literalNumber:
			return "the number " + o.literal.String()
		default:
			return o.literal.String()
		}
	case o.column != nil:
		return fmt.Sprintf("column %s (%s)", o.column, o.column.describe())
	case o.number != nil:
		return "a number"
	default:
		return "a condition"
	}
}

// predicate compiles a part that has to be true or false.
func (c *compiler) predicate(node ast.Node) (predicate, error) {
	o, err := c.operand(node)
	if err != nil {
		return nil, err
	}
	if p := o.asTruth(); p != nil {
		return p, nil
	}
	advice := "compare it with something"
	if o.column != nil {
		advice = fmt.Sprintf("compare it, such as %s != nil", o.column)
	}
	return nil, c.at(o.where, "a condition is wanted here, and this is %s: %s%s", o.describe(), advice, negated(node))
}

// negated explains what ! binds to, where that may be the mistake.
func negated(node ast.Node) string {
	if u, ok := node.(*ast.UnaryNode); ok && (u.Operator == "!" || u.Operator == "not") {
		return "; ! takes what follows it directly, so put parentheses around a comparison"
	}
	return ""
}

// asTruth is the operand as a condition; nil where it is none.
func (o *operand) asTruth() predicate {
	switch {
	case o.truth != nil:
		return o.truth
	case o.column != nil && o.column.kind == kindBool:
		return &leaf{column: o.column, test: boolean{}, text: o.column.String()}
	case o.column != nil && o.column.kind == kindNull:
		return always(isUnknown)
	case o.literal != nil && o.literal.kind == literalBool:
		if o.literal.truth {
			return always(isTrue)
		}
		return always(isFalse)
	case o.literal != nil && o.literal.kind == literalNil:
		return always(isUnknown)
	}
	return nil
}

// operand compiles any part.
func (c *compiler) operand(node ast.Node) (operand, error) {
	o := operand{where: node.Location()}
	var err error
	switch n := node.(type) {
	case *ast.NilNode:
		o.literal = &literal{kind: literalNil}
	case *ast.BoolNode:
		o.literal = &literal{kind: literalBool, truth: n.Value}
	case *ast.IntegerNode:
		o.literal, err = c.number(n.Location(), strconv.Itoa(n.Value))
	case *ast.FloatNode:
		o.literal, err = c.number(n.Location(), strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.StringNode:
		o.literal = &literal{kind: literalText, text: n.Value}
	case *ast.BytesNode:
		o.literal = &literal{kind: literalText, text: string(n.Value)}
	case *ast.IdentifierNode:
		o.column, err = c.column(n.Value, n.Location())
	case *ast.MemberNode:
		o.column, err = c.member(n)
	case *ast.CallNode:
		return c.call(o, calledName(n.Callee), n.Arguments)
	case *ast.BuiltinNode:
		return c.call(o, n.Name, n.Arguments)
	case *ast.UnaryNode:
		return c.unary(o, n)
	case *ast.BinaryNode:
		return c.binary(o, n)
	case *ast.ConditionalNode:
		o.truth, err = c.conditional(n)
	case *ast.ArrayNode:
		err = c.at(o.where, "a list stands only on the right of in")
	default:
		err = c.at(o.where, "%s is not part of a filter's language", nodeName(node))
	}
	return o, err
}

// nodeName is what a node of the parser is, in words.
func nodeName(node ast.Node) string {
	switch node.(type) {
	case *ast.VariableDeclaratorNode:
		return "let"
	case *ast.SequenceNode:
		return "a sequence of expressions"
	case *ast.MapNode:
		return "a map"
	case *ast.SliceNode:
		return "a slice"
	case *ast.ChainNode:
		return "?."
	default:
		return "this"
	}
}

// number is a number with all the digits that it is written with.
func (c *compiler) number(where file.Location, short string) (*literal, error) {
	digits, ok := c.numbers[where.From]
	if !ok {
		digits = short
	}
	l, ok := parseNumber(digits)
	if !ok {
		return nil, c.at(where, "%q is no number that fits", digits)
	}
	return l, nil
}

// column finds a column of the schema.
func (c *compiler) column(name string, where file.Location) (*column, error) {
	if i := slices.Index(c.names, name); i >= 0 {
		return c.columns[i], nil
	}
	at := c.schema.FieldIndices(name)
	switch len(at) {
	case 1:
	case 0:
		names := make([]string, c.schema.NumFields())
		for i, f := range c.schema.Fields() {
			names[i] = f.Name
		}
		return nil, c.at(where, "no column %q in the data%s%s", name, nearest.DidYouMean(name, names), columnHint(name, names))
	default:
		return nil, c.at(where, "column %q stands %d times in the data; which one is meant cannot be told", name, len(at))
	}
	col := newColumn(len(c.names), c.schema.Field(at[0]))
	c.names, c.columns = append(c.names, name), append(c.columns, col)
	return col, nil
}

// columnHint tells how a column is named that is no identifier, where a name is the
// beginning of one.
func columnHint(name string, names []string) string {
	for _, n := range names {
		if n != name && strings.HasPrefix(n, name) && !reserved[n] && (&column{name: n}).String() != n {
			return fmt.Sprintf("; a name with other characters than letters, digits, _ and $ is written %s", &column{name: n})
		}
	}
	return ""
}

// member is $env["name"], which is a column; there is no other member.
func (c *compiler) member(n *ast.MemberNode) (*column, error) {
	of, known := n.Node.(*ast.IdentifierNode)
	name, text := n.Property.(*ast.StringNode)
	if known && text && of.Value == "$env" {
		return c.column(name.Value, n.Location())
	}
	if known && text {
		if whole := of.Value + "." + name.Value; len(c.schema.FieldIndices(whole)) > 0 {
			return nil, c.at(of.Location(), "a column with a dot in its name is written %s", &column{name: whole})
		}
	}
	return nil, c.at(n.Location(), "parts of a value are not part of a filter's language")
}

func calledName(callee ast.Node) string {
	if id, ok := callee.(*ast.IdentifierNode); ok {
		return id.Value
	}
	return ""
}

// functions are those of the language.
var functions = []string{"col", "date", "timestamp", "time", "duration"}

// call compiles a function: col("name"), or one that marks a text as a time.
func (c *compiler) call(o operand, name string, arguments []ast.Node) (operand, error) {
	if !slices.Contains(functions, name) {
		return o, c.at(o.where, "no function %q in a filter's language%s; it has %s", name, nearest.DidYouMean(name, functions), strings.Join(functions, ", "))
	}
	var text *ast.StringNode
	if len(arguments) == 1 {
		text, _ = arguments[0].(*ast.StringNode)
	}
	if text == nil {
		return o, c.at(o.where, "%s takes one text, such as %s(%q)", name, name, map[string]string{
			"col": "arr delay", "date": "2013-01-31", "timestamp": "2013-01-31T15:04:05", "time": "15:04:05", "duration": "1h30m",
		}[name])
	}
	var err error
	if name == "col" {
		o.column, err = c.column(text.Value, text.Location())
		return o, err
	}
	o.literal = &literal{kind: literalTime, text: text.Value}
	return o, nil
}

func (c *compiler) unary(o operand, n *ast.UnaryNode) (operand, error) {
	if n.Operator == "!" || n.Operator == "not" {
		p, err := c.predicate(n.Node)
		if err != nil {
			return o, err
		}
		o.truth = &negation{of: p}
		return o, nil
	}
	of, err := c.operand(n.Node)
	if err != nil {
		return o, err
	}
	if of.literal != nil && of.literal.kind == literalNumber {
		if n.Operator == "-" {
			of.literal = &literal{kind: literalNumber, number: new(big.Rat).Neg(of.literal.number), text: "-" + of.literal.text}
		}
		return of, nil
	}
	x := of.asNumber()
	if x == nil {
		return o, c.at(of.where, "%s wants a number, and this is %s", n.Operator, of.describe())
	}
	if n.Operator == "-" {
		x = newArithmetic("*", x, constant(&literal{kind: literalNumber, number: big.NewRat(-1, 1), text: "-1"}))
	}
	o.number = x
	return o, nil
}

func (c *compiler) conditional(n *ast.ConditionalNode) (predicate, error) {
	cond, err := c.predicate(n.Cond)
	if err != nil {
		return nil, err
	}
	then, err := c.predicate(n.Exp1)
	if err != nil {
		return nil, err
	}
	otherwise, err := c.predicate(n.Exp2)
	if err != nil {
		return nil, err
	}
	return &choice{cond, then, otherwise}, nil
}

func (c *compiler) binary(o operand, n *ast.BinaryNode) (operand, error) {
	var err error
	switch n.Operator {
	case "&&", "and", "||", "or":
		var a, b predicate
		if a, err = c.predicate(n.Left); err != nil {
			return o, err
		}
		if b, err = c.predicate(n.Right); err != nil {
			return o, err
		}
		o.truth = join(n.Operator == "||" || n.Operator == "or", a, b)
		return o, nil
	case "in":
		o.truth, err = c.in(n)
		return o, err
	}
	a, err := c.operand(n.Left)
	if err != nil {
		return o, err
	}
	b, err := c.operand(n.Right)
	if err != nil {
		return o, err
	}
	if op, ok := comparisons[n.Operator]; ok {
		o.truth, err = c.compare(o.where, op, a, b)
		return o, err
	}
	if makeTest := textOperators[n.Operator]; makeTest != nil {
		o.truth, err = c.textTest(n.Operator, a, b)
		return o, err
	}
	switch n.Operator {
	case "+", "-", "*", "/", "%", "??":
		return c.arithmetic(o, n.Operator, a, b)
	}
	return o, c.at(o.where, "the operator %s is not part of a filter's language", n.Operator)
}

// textTest compiles startsWith and the like.
func (c *compiler) textTest(operator string, a, b operand) (predicate, error) {
	if a.column == nil || a.column.kind != kindText {
		if a.column != nil && a.column.kind == kindNull {
			return always(isUnknown), nil
		}
		return nil, c.at(a.where, "%s wants a column of text on its left, and this is %s", operator, a.describe())
	}
	if b.literal == nil || b.literal.kind != literalText {
		return nil, c.at(b.where, "%s wants a text on its right, and this is %s", operator, b.describe())
	}
	test, err := textOperators[operator](b.literal.text)
	if err != nil {
		return nil, c.at(b.where, "%v", err)
	}
	return &leaf{column: a.column, test: test, text: fmt.Sprintf("(%s %s %s)", a.column, operator, b.literal)}, nil
}
