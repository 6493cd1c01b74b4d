package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/file"
)

// ErrExpression says that an expression cannot be used on the data.
var ErrExpression = errors.New("the expression is wrong")

// Error is what is wrong with an expression, and where.
type Error struct {
	Text   string // the expression
	At     int    // the character that it is about, from 0
	Reason string
}

// shownAround is how many characters before and after the place are shown.
const shownAround = 70

// Error shows the line and points at the character.
func (e *Error) Error() string {
	runes := []rune(e.Text)
	at := min(max(e.At, 0), len(runes))
	first, last := at, at
	for first > 0 && runes[first-1] != '\n' && at-first < shownAround {
		first--
	}
	for last < len(runes) && runes[last] != '\n' && last-at < shownAround {
		last++
	}
	line := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(runes[first:last]))
	return fmt.Sprintf("character %d: %s\n    %s\n    %s^", at+1, e.Reason, line, strings.Repeat(" ", at-first))
}

// Unwrap makes errors.Is(err, ErrExpression) true.
func (e *Error) Unwrap() error { return ErrExpression }

// at is an error about a place of the expression that is being compiled.
func (c *compiler) at(where file.Location, format string, args ...any) error {
	return &Error{Text: c.text, At: where.From, Reason: fmt.Sprintf(format, args...)}
}
