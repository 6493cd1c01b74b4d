package jsonlfile

import (
	"bytes"
	"strings"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// syntax is JSON Lines as they are read: an object a line, whose members are columns.
type syntax struct{ nested lines.Nested }

// NewSyntax is JSON Lines as a lines.Set reads them.
func NewSyntax(_ string, opts *lines.Options) (lines.Syntax, error) {
	return &syntax{nested: opts.Nested}, nil
}

// Format implements lines.Syntax.
func (*syntax) Format() format.Name { return format.JSONLines }

// Begin implements lines.Syntax.
func (*syntax) Begin(head []byte, _ bool) (names []string, at int, err error) {
	at, err = lines.SkipMark(head)
	return nil, at, err
}

// Names implements lines.Syntax.
func (s *syntax) Names(record []byte, see func(name string)) {
	var names []string
	p := parser{text: record, dots: s.nested == lines.NestedDots, member: func(name []byte, _, _ int) string {
		names = append(names, string(name))
		return ""
	}}
	if p.record(0, len(record)) == "" {
		for _, name := range names {
			see(strings.Clone(name))
		}
	}
}

// inLine is the state in a line that is not blank.
const inLine = lines.OwnState

// Guess implements lines.Syntax.
func (*syntax) Guess(before byte, _ []byte) []lines.State {
	if before == '\n' {
		return []lines.State{lines.AtRecord}
	}
	return []lines.State{inLine}
}

// Finish implements lines.Syntax.
func (*syntax) Finish(lines.State) (row, broken bool) { return true, false }

// Split implements lines.Syntax: no line can be broken but by itself.
func (*syntax) Split(block []byte, from lines.State, _ int) lines.Split {
	s := lines.Split{First: -1, Open: -1, State: from}
	if from == lines.Skipping {
		s.State = inLine
	}
	for at := 0; at < len(block); {
		end, whole := len(block), false
		if lf := bytes.IndexByte(block[at:], '\n'); lf >= 0 {
			end, whole = at+lf, true
		}
		if s.State == lines.AtRecord {
			if begin := skipBlank(block[:end], at); begin < end {
				s.State, s.Open = inLine, at
			}
		}
		if !whole {
			break
		}
		if s.State == inLine {
			s.Rows++
		}
		if at = end + 1; s.First < 0 {
			s.First = at
		}
		s.Last, s.State, s.Open = at, lines.AtRecord, -1
	}
	return s
}

// skipBlank is the place of the first byte that is no space.
func skipBlank(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}
