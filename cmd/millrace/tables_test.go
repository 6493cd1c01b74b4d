package main

import (
	"io"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// On a terminal a table is no wider than that, and loses no word; elsewhere it is as wide as
// its cells.
func TestTablesFitTheTerminal(t *testing.T) {
	words := []string{"copy,", "a", "row:", "features", "are", "computed", "as", "rows", "made", "1,234", "länge"}
	for _, width := range []int{0, 40, 60, 200} {
		tab := newTable(io.Discard)
		tab.(*fittedTable).width = width
		tab.AppendHeader(table.Row{"column", "rows", "way"})
		tab.AppendRow(table.Row{"länge", "1,234", "copy, a row: features are computed as rows are made"})
		tab.AppendRow(table.Row{"b", "1", ""})
		tab.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}})
		out := tab.Render()
		lines := strings.Split(out, "\n")
		for _, line := range lines {
			if n := text.StringWidthWithoutEscSequences(line); width > 0 && n > width {
				t.Errorf("on a terminal of %d columns a line has %d: %s", width, n, line)
			}
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("width %d: %q is lost:\n%s", width, word, out)
			}
		}
		if whole := len(lines) == 6; whole != (width == 0 || width == 200) {
			t.Errorf("width %d: %d lines:\n%s", width, len(lines), out)
		}
		if !strings.Contains(out, "│     1 │") {
			t.Errorf("width %d: numbers do not stand to the right:\n%s", width, out)
		}
	}
}
