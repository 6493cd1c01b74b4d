package main

import (
	"io"
	"strings"
	"testing"
)

// A text of the data does not move a terminal's cursor, nor break the table.
func TestHeadShowsTextsOfTheDataInOneLine(t *testing.T) {
	h := &head{Columns: []string{"a\x1b[31m"}, Rows: [][]string{{"one\ntwo"}, {"\x1b[2Jred\u202e"}}}
	text := h.table(io.Discard)
	if got := strings.Count(text, "\n"); got != 5 || strings.ContainsAny(text, "\x1b\r\u202e") {
		t.Errorf("table of %d lines: %q; want 6 lines without what moves a cursor", got+1, text)
	}
}
