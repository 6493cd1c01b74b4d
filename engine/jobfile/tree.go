package jobfile

import (
	"bytes"
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind int

const (
	nullNode kind = iota
	boolNode
	numberNode
	textNode
	listNode
	mapNode
)

// String is the kind's name with its article, for messages.
func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "keys and values"}[k]
}

// place is where something stands, from 1.
type place struct{ line, column int }

// node is a value of a file, whatever the file's form. A map keeps its keys in order,
// doubled ones too.
type node struct {
	kind    kind
	text    string // of a scalar; see resolvePlain
	quoted  bool   // in quotes or a block, so that it is a text whatever it looks like
	at      place
	items   []*node
	entries []entry
}

type entry struct {
	key   string
	at    place
	value *node
}

// field is the value of a key; nil where there is none.
func (n *node) field(key string) *node {
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].value
		}
	}
	return nil
}

// parseYAML gives the tree of a YAML document; nil with problems in s.
func parseYAML(s *source, text []byte) (root *node) {
	defer func() {
		if r := recover(); r != nil { // the parser's fault, on a text that is not YAML
			s.bad(place{}, "this is not YAML that can be read (the parser says: %v)", r)
			root = nil
		}
	}()
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // a line's end to YAML, and to the parser no blank in quotes
	if !checkText(s, text) || !checkTokens(s, lexer.Tokenize(string(text))) {
		return nil
	}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // which are ours to report, with all else
	if err != nil {
		if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok && syntax.Token != nil {
			s.bad(placeOf(syntax.Token), "this is not YAML: %s", syntax.Message)
		} else {
			s.bad(place{}, "this is not YAML: %v", err)
		}
		return nil
	}
	b := &treeBuilder{source: s}
	root = &node{at: place{1, 1}}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			root = b.node(doc.Body, place{1, 1}, 0)
		}
	}
	if len(s.problems) > 0 {
		return nil
	}
	return root
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, max(t.Position.Column, 1)}
}

// treeBuilder makes nodes of the parser's.
type treeBuilder struct{ *source }

// node makes one node; one that is not written down stands at its parent's place.
func (b *treeBuilder) node(from ast.Node, at place, depth int) *node {
	if depth > maxDepth {
		b.bad(at, "lists and maps lie more than %d deep here", maxDepth)
		return &node{at: at}
	}
	switch from := from.(type) {
	case nil:
		return &node{at: at}
	case *ast.MappingNode:
		return b.mapping(from.Values, b.start(from, at), depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{from}, b.start(from.Key, at), depth)
	case *ast.SequenceNode:
		n := &node{kind: listNode, at: b.start(from, at)}
		for _, item := range from.Values {
			n.items = append(n.items, b.node(item, n.at, depth+1))
		}
		return n
	case *ast.LiteralNode:
		n := &node{kind: textNode, quoted: true, at: b.start(from, at)}
		if from.Value != nil {
			n.text = from.Value.Value
		}
		return n
	case *ast.StringNode:
		n := &node{kind: textNode, text: from.Value, at: b.start(from, at)}
		if n.quoted = from.Token.Type == token.SingleQuoteType || from.Token.Type == token.DoubleQuoteType; !n.quoted {
			n.kind, n.text = resolvePlain(from.Value)
		}
		return n
	case ast.ScalarNode:
		n := &node{at: b.start(from, at)}
		if t := from.GetToken(); t != nil && t.Type != token.ImplicitNullType {
			n.kind, n.text = resolvePlain(strings.TrimSpace(t.Value))
		} else {
			n.at = at
		}
		return n
	default:
		b.bad(b.start(from, at), "this form of YAML (%s) is not taken", from.Type())
		return &node{at: at}
	}
}

func (b *treeBuilder) start(n ast.Node, at place) place {
	if p := placeOf(n.GetToken()); p.line > 0 {
		return p
	}
	return at
}

// mapping makes a map, which stands where its first key does.
func (b *treeBuilder) mapping(values []*ast.MappingValueNode, at place, depth int) *node {
	n := &node{kind: mapNode, at: at}
	for i, v := range values {
		key := b.node(v.Key, at, depth+1)
		if i == 0 && key.at.line > 0 && at.line == key.at.line {
			n.at = key.at
		}
		name := key.text
		switch t := v.Key.GetToken(); {
		case key.kind == listNode || key.kind == mapNode:
			b.bad(key.at, "a key must be a name")
		case t != nil && !key.quoted: // as it is written: 1.50 is no other key than 1.50
			name = strings.TrimSpace(t.Value)
		}
		n.entries = append(n.entries, entry{key: name, at: key.at, value: b.node(v.Value, key.at, depth+1)})
	}
	return n
}
