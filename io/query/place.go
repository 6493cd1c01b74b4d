package query

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Place says where in a statement its character stands, counted from 1, as databases tell
// where an error is; empty where there is none.
func Place(statement string, character int) string {
	at, line, column := 0, 1, 1
	for range character - 1 {
		if at >= len(statement) {
			return ""
		}
		c, size := utf8.DecodeRuneInString(statement[at:])
		at += size
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
	}
	if character < 1 || at > len(statement) {
		return ""
	}
	rest, _, _ := strings.Cut(statement[at:], "\n")
	where := fmt.Sprintf("line %d, character %d", line, column)
	if rest == "" {
		return where + ", at its end"
	}
	return where + ", before " + Shorten(rest)
}
