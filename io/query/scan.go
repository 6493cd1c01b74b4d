package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Dialect is whose SQL a statement is.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota
	SQLite
	DuckDB
)

// begins are the words that a statement that gives rows begins with.
var begins = map[Dialect][]string{
	PostgreSQL: {"select", "with", "values", "table"},
	SQLite:     {"select", "with", "values"},
	DuckDB:     {"select", "with", "values", "table", "from", "pivot", "unpivot", "describe", "summarize"},
}

// scanner goes over a statement's text.
type scanner struct {
	text    string
	dialect Dialect
	at      int

	depth   int    // of brackets
	first   string // word
	before  string // the word before, at depth 0
	ordered bool   // ORDER BY was seen at depth 0
	ended   bool   // by a semicolon, which stood at end
	end     int
}

// scan checks that a text is one statement, which begins as those do that give rows, and
// gives it without semicolon; ordered says whether it has an ORDER BY outside of all
// brackets.
func scan(text string, d Dialect) (statement string, ordered bool, err error) {
	if strings.ContainsRune(text, 0) {
		return "", false, errors.New("it has a NUL byte")
	}
	s := &scanner{text: text, dialect: d}
	for s.at < len(text) {
		if err := s.token(); err != nil {
			return "", false, err
		}
	}
	switch {
	case s.first == "":
		return "", false, errors.New("it is empty")
	case s.depth != 0:
		return "", false, errors.New("a bracket is not closed")
	case s.first != "(" && !slices.Contains(begins[d], s.first):
		return "", false, fmt.Errorf("it begins with %s, and does not give rows", Shorten(s.first))
	}
	if s.ended {
		text = text[:s.end]
	}
	return text, s.ordered, nil
}

// token goes past one comment, text, name, bracket or word.
func (s *scanner) token() error {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		s.at++
		return nil
	case strings.HasPrefix(rest, "--"):
		s.past(strings.IndexByte(rest, '\n'), 1)
		return nil
	case strings.HasPrefix(rest, "/*"):
		return s.comment()
	}
	if s.ended {
		return errors.New("more stands after its semicolon; it must be one statement")
	}
	return s.solid(rest)
}

// solid goes past what is part of the statement.
func (s *scanner) solid(rest string) error {
	c := rest[0]
	switch {
	case c == '\'':
		escapes := s.dialect != SQLite && s.at > 0 && (s.text[s.at-1] == 'e' || s.text[s.at-1] == 'E') && s.before == "e"
		s.word("'")
		return s.quoted('\'', escapes)
	case c == '"':
		s.word(`"`)
		return s.quoted('"', false)
	case c == '`' && s.dialect == SQLite:
		s.word("`")
		return s.quoted('`', false)
	case c == '[' && s.dialect == SQLite:
		s.word("[")
		return s.until("]", 1)
	case c == '$' && s.dialect != SQLite:
		return s.dollar(rest)
	case c == '(' || c == '[' || c == '{':
		s.word("(")
		s.depth++
	case c == ')' || c == ']' || c == '}':
		if s.depth--; s.depth < 0 {
			return errors.New("a bracket is closed that was not opened")
		}
	case c == ';':
		if s.depth > 0 {
			return errors.New("a semicolon stands within brackets")
		}
		s.ended, s.end = true, s.at
	case letter(c):
		n := 1
		for n < len(rest) && (letter(rest[n]) || '0' <= rest[n] && rest[n] <= '9' || rest[n] == '$') {
			n++
		}
		s.word(strings.ToLower(rest[:n]))
		s.at += n
		return nil
	default:
		s.word(string(c))
	}
	s.at++
	return nil
}

// letter says whether a byte may begin a name; those of UTF-8 beyond ASCII may.
func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// word notes what stands at the scanner's depth.
func (s *scanner) word(w string) {
	if s.first == "" {
		s.first = w
	}
	if s.depth == 0 {
		s.ordered = s.ordered || s.before == "order" && w == "by"
	}
	s.before = w
}

// past goes to what comes n bytes after a place in the rest, or to the end if it is below 0.
func (s *scanner) past(place, n int) {
	if place < 0 {
		s.at = len(s.text)
		return
	}
	s.at += place + n
}

// until goes past what ends something of which so many bytes are open.
func (s *scanner) until(end string, open int) error {
	i := strings.Index(s.text[s.at+open:], end)
	if i < 0 {
		return fmt.Errorf("%s is not closed", Shorten(s.text[s.at:s.at+open]))
	}
	s.at += open + i + len(end)
	return nil
}

// comment goes past one, which nests but in SQLite.
func (s *scanner) comment() error {
	if s.dialect == SQLite {
		if err := s.until("*/", 2); err != nil { // SQLite lets the end of the text close it; a wrapper could not
			return err
		}
		return nil
	}
	for depth := 0; s.at < len(s.text); {
		switch rest := s.text[s.at:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.at += 2
		case strings.HasPrefix(rest, "*/"):
			s.at += 2
			if depth--; depth == 0 {
				return nil
			}
		default:
			s.at++
		}
	}
	return errors.New("a comment is not closed")
}

// quoted goes past a text or a name; the quote stands for itself when it stands twice.
func (s *scanner) quoted(quote byte, escapes bool) error {
	for i := s.at + 1; i < len(s.text); i++ {
		switch {
		case escapes && s.text[i] == '\\':
			i++
		case s.text[i] == quote && i+1 < len(s.text) && s.text[i+1] == quote:
			i++
		case s.text[i] == quote:
			s.at = i + 1
			return nil
		}
	}
	return fmt.Errorf("%c is not closed", quote)
}

// dollar goes past a text such as $$...$$ or $tag$...$tag$, or past a parameter.
func (s *scanner) dollar(rest string) error {
	s.word("$")
	n := 1
	for n < len(rest) && (letter(rest[n]) || n > 1 && '0' <= rest[n] && rest[n] <= '9') {
		n++
	}
	if n == len(rest) || rest[n] != '$' {
		s.at++
		return nil
	}
	return s.until(rest[:n+1], n+1)
}
