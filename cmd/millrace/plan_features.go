package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/millrace/millrace/engine"
)

// featuresText says how features are computed; empty where none is.
func featuresText(w io.Writer, inputs []engine.ExplainedInput) string {
	t := newTable(w)
	t.AppendHeader(table.Row{"feature", "of", "transforms", "values a row"})
	shown := map[string]bool{} // several models may take one
	for _, in := range inputs {
		for _, f := range in.Features {
			if f.Values == 0 || shown[f.Column] {
				continue
			}
			shown[f.Column] = true
			t.AppendRow(table.Row{f.Column, strings.Join(f.From, ", "), strings.Join(f.Transforms, "; "), strconv.Itoa(f.Values)})
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return "How features are computed\n" + t.Render() + "\n\n"
}
