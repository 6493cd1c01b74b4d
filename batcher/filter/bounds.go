package filter

import (
	"fmt"

	"github.com/expr-lang/expr/parser/lexer"
)

// Bounds of an expression. What is nested, or a chain of operators, is as deep a tree, and
// takes stack; a list is none, and may have the 10,000 ids that somebody wants.
const (
	maxBytes  = 1 << 20
	maxTerms  = 10_000 // names, values and operators that are not values of lists
	maxListed = 50_000 // values of all lists
	maxDepth  = 32_768 // of parentheses and brackets
)

// tooMuch says, before a tree is built, where an expression goes beyond its bounds; the reason
// is empty where it does not.
func tooMuch(tokens []lexer.Token) (at int, reason string) {
	terms, listed, lists, depth := 0, 0, 0, 0
	begins, signed := false, false // a value of a list may begin here; a sign has begun one
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.Is(lexer.Bracket, "["), t.Is(lexer.Bracket, "("), t.Is(lexer.Bracket, "{"):
			if depth++; t.Value == "[" {
				lists++
			}
		case t.Kind == lexer.Bracket:
			if depth--; t.Value == "]" {
				lists--
			}
		case t.Is(lexer.Operator, ","), t.Kind == lexer.EOF:
		case lists > 0 && begins:
			listed++
		case lists > 0 && signed && t.Kind == lexer.Number:
		default:
			terms++
		}
		signed = begins && t.Is(lexer.Operator, "-", "+")
		begins = t.Is(lexer.Operator, ",") || t.Is(lexer.Bracket, "[")
		switch {
		case depth > maxDepth:
			return t.From, fmt.Sprintf("parentheses and brackets lie more than %d deep here", maxDepth)
		case terms > maxTerms:
			return t.From, fmt.Sprintf("an expression has %d names, values and operators at most, beside the values of lists", maxTerms)
		case listed > maxListed:
			return t.From, fmt.Sprintf("an expression has lists of %d values at most; leave out what other columns can say, or filter the input before", maxListed)
		}
	}
	return 0, ""
}
