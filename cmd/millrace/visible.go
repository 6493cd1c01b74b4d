package main

import (
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/page"
)

// visibleWriter passes text on as visible makes it. Names in models and in data are
// anybody's, and so are the messages of ONNX Runtime that have them.
type visibleWriter struct{ w io.Writer }

func (v visibleWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(v.w, visible(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// visible puts U+FFFD for what would move a terminal's cursor, change its colours,
// turn the writing direction or hide, and for bytes that are no UTF-8.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

// oneLine is visible for what has a line of its own and must not begin another.
func oneLine(text string) string { return page.PlainTo(text, math.MaxInt) }
