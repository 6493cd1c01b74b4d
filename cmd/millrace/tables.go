package main

import (
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// newTable is the look of every table: light lines, names as they are; and on a terminal no
// wider than that.
func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.SeparateRows = false
	t.SetStyle(style)
	return &fittedTable{Writer: t, width: terminalWidth(w)}
}

// fittedTable is a table that is folded to fit into a width, if that is not 0.
type fittedTable struct {
	table.Writer

	width   int
	configs []table.ColumnConfig
}

// leastCell is how narrow a column is folded at most.
const leastCell = 7

// SetColumnConfigs keeps them, for what folding sets beside.
func (t *fittedTable) SetColumnConfigs(configs []table.ColumnConfig) {
	t.configs = configs
	t.Writer.SetColumnConfigs(configs)
}

// Render folds the widest columns, as far as needed, between words; rows are separated then.
func (t *fittedTable) Render() string {
	whole := t.Writer.Render()
	widths := cellWidths(whole)
	total := 1
	for _, n := range widths {
		total += n + 3 // with its blanks and line
	}
	if t.width == 0 || total <= t.width {
		return whole
	}
	folded := map[int]bool{}
	for ; total > t.width; total-- {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= leastCell {
			break
		}
		widths[widest]--
		folded[widest] = true
	}
	configs := slices.Clone(t.configs)
	for column := range folded {
		at := slices.IndexFunc(configs, func(c table.ColumnConfig) bool { return c.Number == column+1 })
		if at < 0 {
			at = len(configs)
			configs = append(configs, table.ColumnConfig{Number: column + 1})
		}
		configs[at].WidthMax, configs[at].WidthMaxEnforcer = widths[column], text.WrapSoft
	}
	style := *t.Style()
	style.Options.SeparateRows = true
	t.SetStyle(style)
	t.Writer.SetColumnConfigs(configs)
	return t.Writer.Render()
}

// cellWidths are those of a table's columns, as its upper edge has them.
func cellWidths(table string) (widths []int) {
	edge, _, _ := strings.Cut(table, "\n")
	for cell := range strings.SplitSeq(strings.Trim(edge, "┌┐"), "┬") {
		widths = append(widths, max(text.StringWidthWithoutEscSequences(cell)-len("  "), 0))
	}
	return widths
}
