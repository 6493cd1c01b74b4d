package filter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// Filter is an expression on the columns of a schema.
type Filter struct {
	columns []string
	root    predicate
}

// Parse reads an expression that is true or false for each row of the schema. Its
// error is an *Error.
func Parse(text string, schema *arrow.Schema) (*Filter, error) {
	tree, numbers, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := &compiler{text: text, schema: schema, numbers: numbers}
	root, err := c.predicate(tree)
	if err != nil {
		return nil, err
	}
	return &Filter{columns: c.names, root: root}, nil
}

// String is the expression as it is understood, with all of its parentheses.
func (f *Filter) String() string { return f.root.String() }

// Columns are the columns that the expression reads, each once.
func (f *Filter) Columns() []string { return slices.Clone(f.columns) }

// Names lists the names in a text that may be columns, whether or not it is an
// expression: what to know of the data before its schema is known.
func Names(text string) []string {
	tree, _, err := parse(text)
	if err != nil {
		return nil // Parse will say it
	}
	found := nameVisitor{known: map[string]bool{}}
	ast.Walk(&tree, &found)
	return found.names
}

// nameVisitor collects identifiers and texts: col("a b") has its name in one.
type nameVisitor struct {
	names []string
	known map[string]bool
}

// Visit implements ast.Visitor.
func (v *nameVisitor) Visit(node *ast.Node) {
	name := ""
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		name = n.Value
	case *ast.StringNode:
		name = n.Value
	}
	if name != "" && !v.known[name] {
		v.names, v.known[name] = append(v.names, name), true
	}
}

// parse gives the tree of a text, and the numbers in it as they are written, by
// their place.
func parse(text string) (tree ast.Node, numbers map[int]string, err error) {
	wrong := func(at int, format string, args ...any) error {
		return &Error{Text: text, At: at, Reason: fmt.Sprintf(format, args...)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil, wrong(0, "the expression is empty; such as distance > 0")
	}
	if len(text) > maxBytes {
		return nil, nil, wrong(maxBytes, "an expression has %d bytes at most, this one %d", maxBytes, len(text))
	}
	defer func() {
		if r := recover(); r != nil { // the parser's fault: the text is no expression in any case
			tree, numbers, err = nil, nil, wrong(0, "it cannot be parsed (%v)", r)
		}
	}()
	tokens, lexed := lexer.Lex(file.NewSource(text)) // what is wrong with them the parser will say
	if at, reason := tooMuch(tokens); lexed == nil && reason != "" {
		return nil, nil, wrong(at, "%s", reason)
	}
	short := text
	if lexed == nil {
		whole, alone := paired(text, tokens)
		if alone >= 0 {
			return nil, nil, wrong(alone, "half of a character: \\ud800 to \\udfff come in pairs, such as \\ud83d\\ude42")
		}
		short = whole
	}
	short, numbers = shortened(short, tokens)
	for _, at := range slices.Sorted(maps.Keys(numbers)) {
		if _, ok := parseNumber(numbers[at]); !ok {
			return nil, nil, wrong(at, "%s is no number that fits into a float64", numbers[at])
		}
	}
	config := conf.CreateNew()
	config.MaxNodes, config.DisableIfOperator = maxTerms+2*maxListed, true // a sign is one, too
	parsed, err := parser.ParseWithConfig(short, config)
	if err != nil {
		if at, ok := errors.AsType[*file.Error](err); ok {
			if at.Message == endsEarly {
				return nil, nil, wrong(utf8.RuneCountInString(strings.TrimRight(text, " ")), "the expression ends here, and something is missing")
			}
			return nil, nil, wrong(at.From, "%s", reworded(at.Message))
		}
		return nil, nil, wrong(0, "%v", err)
	}
	return parsed.Node, numbers, nil
}

// endsEarly is the parser's message where the text ends too early.
const endsEarly = "unexpected token EOF"

// reworded is a message of the parser without its names for kinds of tokens.
func reworded(message string) string {
	if rest, ok := strings.CutPrefix(message, "unexpected token "); ok {
		hint := ""
		switch rest {
		case `Operator("=")`:
			hint = "; equality is =="
		case `Operator("&")`, `Operator("|")`:
			hint = "; logic is && and ||"
		}
		kind, value, _ := strings.Cut(strings.TrimSuffix(rest, ")"), "(")
		return strings.TrimSpace("unexpected "+strings.ToLower(kind)+" "+value) + hint
	}
	return message
}

// longestInt is how many digits of a number the parser reads without loss.
const longestInt = 18

// shortened replaces integers that the parser has no room for by shorter ones in the
// same places. numbers has all numbers as they were written, by their place.
func shortened(text string, tokens []lexer.Token) (short string, numbers map[int]string) {
	numbers = map[int]string{}
	var runes []rune
	for _, t := range tokens {
		if t.Kind != lexer.Number {
			continue
		}
		digits := strings.ReplaceAll(t.Value, "_", "")
		numbers[t.From] = digits
		if len(digits) <= longestInt || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if runes == nil {
			runes = []rune(text)
		}
		for i := t.From; i < t.To && i < len(runes); i++ {
			runes[i] = '1'
			if i >= t.From+longestInt {
				runes[i] = ' '
			}
		}
	}
	if runes == nil {
		return text, numbers
	}
	return string(runes), numbers
}
