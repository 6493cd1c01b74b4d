package jobfile

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// Bounds of a job file: 2,000 features of three transforms are 250 KiB and 20,000 keys, a
// list of 50,000 categories 600 KiB. The parser takes memory for each mark of the text, stack with
// the depth, and for maps that are not in braces time that grows with the square of their
// keys: 1 s for 10,000, 15 s for 40,000.
const (
	maxSourceBytes = 4 << 20
	maxMarks       = 500_000
	maxMapKeys     = 10_000
	maxDepth       = 32

	marks = "[]{},:-#'\"?*&!\n" // each token of YAML has one, or its neighbour
)

// checkText refuses what is too large, or no text.
func checkText(s *source, text []byte) bool {
	if len(text) > maxSourceBytes {
		s.bad(place{}, "it has more than %d MiB; long lists of categories belong in a fitted file", maxSourceBytes>>20)
		return false
	}
	line, marked := 1, 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if n == 1 && strings.IndexByte(marks, text[i]) >= 0 {
			marked++
		}
		switch {
		case marked > maxMarks:
			s.bad(place{line, 1}, "up to here it has more than %d signs such as , : and line ends; long lists and large maps belong in a fitted file", maxMarks)
			return false
		case r == utf8.RuneError && n == 1:
			s.bad(place{line, 1}, "this line is not UTF-8")
			return false
		case r == '\n':
			line++
		case isControl(r) && r != '\t' && r != '\r':
			s.bad(place{line, 1}, "this line has the control character %U, which YAML refuses", r)
			return false
		}
		i += n
	}
	return true
}

// refused are the parts of YAML that a job file has no use for, and that make a small
// file a large one, or one that looks like another.
var refused = map[token.Type]string{
	token.AnchorType:      "anchors (&) are not taken: write the value out, or keep shared features in a fitted file",
	token.AliasType:       "aliases (*) are not taken: write the value out; a text that begins with * needs quotes",
	token.MergeKeyType:    "merge keys (<<) are not taken: write the keys out",
	token.TagType:         "tags (!) are not taken; a text that begins with ! needs quotes",
	token.DirectiveType:   "directives (%) are not taken",
	token.MappingKeyType:  "keys with a question mark are not taken: write key: value",
	token.DocumentEndType: "the end of a document (...) is not taken: a job file is one document",
}

// checkTokens refuses, before anything is built, what is too deep or too much.
func checkTokens(s *source, tokens token.Tokens) bool {
	before := len(s.problems)
	open, entries, line, begun := 0, 0, 0, false
	var maps mapKeys
	for _, t := range tokens {
		if t.Position == nil || t.Type == token.CommentType {
			continue
		}
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		if why, ok := refused[t.Type]; ok {
			s.bad(placeOf(t), "%s", why)
			if len(s.problems) > maxProblems {
				return false
			}
			continue
		}
		switch t.Type {
		case token.MappingValueType:
			maps.key(open, t)
		case token.MappingStartType, token.SequenceStartType:
			open++
		case token.MappingEndType, token.SequenceEndType:
			maps.end(open, 0)
			open--
		case token.CollectEntryType:
			maps.end(open, 0)
		case token.SequenceEntryType:
			entries++
			maps.end(open, t.Position.Column)
		case token.DocumentHeaderType:
			if begun {
				s.bad(placeOf(t), "a second document begins here: a job file is one document")
			}
		}
		begun = true
		if open > maxDepth || entries > maxDepth {
			s.bad(placeOf(t), "lists and maps lie more than %d deep here", maxDepth)
			return false
		}
		if maps.work > maxMapKeys*maxMapKeys/2 {
			s.bad(placeOf(t), "more than %d keys in maps without braces; large maps belong in braces, {a: 1, b: 2}, or in a fitted file", maxMapKeys)
			return false
		}
	}
	return len(s.problems) == before
}

// mapKeys counts what the parser will do for the keys of maps without braces: for each as
// much as there are keys before it in its map.
type mapKeys struct {
	stack []openMap // inner ones last
	work  int
}

// openMap is a map that further keys may belong to: those at its column, within as many
// brackets.
type openMap struct{ brackets, column, keys int }

// key counts a key, by the colon behind it.
func (m *mapKeys) key(brackets int, colon *token.Token) {
	column := colon.Position.Column
	if name := colon.Prev; name != nil && name.Position != nil {
		column = name.Position.Column
	}
	m.end(brackets, column)
	if top := len(m.stack) - 1; top >= 0 && m.stack[top].brackets == brackets && m.stack[top].column == column {
		m.stack[top].keys++
		m.work += m.stack[top].keys
		return
	}
	m.stack = append(m.stack, openMap{brackets, column, 1})
}

// end forgets maps that lie deeper than a place: within more brackets, or to the right of it.
func (m *mapKeys) end(brackets, column int) {
	for top, at := range slices.Backward(m.stack) {
		if at.brackets < brackets || at.brackets == brackets && at.column <= column {
			break
		}
		m.stack = m.stack[:top]
	}
}
