package jobfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/secret"
)

// ErrJob says that a job file cannot be read, or asks for what no job can do.
var ErrJob = errors.New("job file")

// problemError is one thing that is wrong in a file.
type problemError struct {
	File         string
	Line, Column int    // from 1; 0: of the whole file
	Text         string // what is wrong, and what to do
	Excerpt      string // the line, and a caret under the column; empty where it may hold a secret

	secret bool
}

// Error gives the place first, as compilers do.
func (p *problemError) Error() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	if p.Excerpt == "" {
		return at + ": " + p.Text
	}
	return at + ": " + p.Text + "\n" + p.Excerpt
}

// Bounds of what is said of a bad file.
const (
	maxProblems   = 25
	maxNameBytes  = 100 // of a name that is quoted
	excerptBefore = 60  // characters before and after the column
	excerptAfter  = 40
)

// source is a text and the problems that were found in it.
type source struct {
	file     string
	lines    []string
	problems []*problemError
}

func newSource(file string, text []byte) *source {
	return &source{file: file, lines: strings.Split(string(text), "\n")}
}

// bad notes a problem at a place. Its line is only taken where it is shown: a line can
// be all of the file, and have a problem at every second character.
func (s *source) bad(at place, format string, args ...any) {
	s.problems = append(s.problems, &problemError{File: s.file, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)})
}

// badSecret does so, and its line is never shown.
func (s *source) badSecret(at place, text string) {
	s.bad(at, "%s", text)
	s.problems[len(s.problems)-1].secret = true
}

// excerpt draws a line and a caret under a column.
func (s *source) excerpt(at place) string {
	if at.line < 1 || at.line > len(s.lines) {
		return ""
	}
	text := strings.TrimRight(s.lines[at.line-1], "\r")
	if safe := masked(text); safe != text {
		text, at.column = safe, min(at.column, 1+len(text)-len(strings.TrimLeft(text, " "))) // where the caret still stands right
	}
	line := []rune(text)
	column := min(max(at.column-1, 0), len(line))
	from, to := max(column-excerptBefore, 0), min(column+excerptAfter, len(line))
	shown := make([]rune, 0, to-from)
	for _, r := range line[from:to] {
		if isControl(r) || r == utf8.RuneError {
			r = ' ' // so that the caret stands right, and a terminal is left alone
		}
		shown = append(shown, r)
	}
	number := fmt.Sprintf("%5d | ", at.line)
	return fmt.Sprintf("%s%s\n%s| %s^", number, string(shown), strings.Repeat(" ", len(number)-2), strings.Repeat(" ", column-from))
}

// problemsOf joins the problems of files in the order of their lines; nil for none.
func problemsOf(path string, sources ...*source) error {
	var all []error
	total := 0
	for _, s := range sources {
		slices.SortStableFunc(s.problems, func(a, b *problemError) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		for _, p := range s.problems {
			if total++; total > maxProblems {
				continue
			}
			if !p.secret {
				p.Excerpt = s.excerpt(place{p.Line, p.Column})
			}
			all = append(all, p)
		}
	}
	switch {
	case total == 0:
		return nil
	case total > maxProblems:
		all = append(all, fmt.Errorf("and %d problems more", total-maxProblems))
	}
	return fmt.Errorf("%w %s:\n%w", ErrJob, path, errors.Join(all...))
}

// quoted writes a name from a file for people, in bounds.
func quoted(name string) string {
	name = secret.Hide(urlPassword.ReplaceAllString(name, "://***@"))
	if len(name) <= maxNameBytes {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q...", strings.ToValidUTF8(name[:maxNameBytes], ""))
}
