package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/page"
	"github.com/millrace/millrace/io/dataset"
)

// head is the first rows of an output, or any of a table, as text.
type head struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// errEnough stops a read that has all it wants.
var errEnough = errors.New("enough")

// readHead reads the first rows back from what was published, or some of a table.
func readHead(ctx context.Context, opts *engine.Options, s *engine.Summary, rows int) (*head, error) {
	data, err := opts.OpenPublished(ctx, s.Manifest, rows)
	if err != nil {
		return nil, err
	}
	h := &head{}
	for _, f := range data.Schema().Fields() {
		h.Columns = append(h.Columns, f.Name)
	}
	err = h.read(ctx, data, rows)
	return h, errors.Join(err, data.Close())
}

func (h *head) read(ctx context.Context, data *dataset.Dataset, rows int) error {
	for _, part := range data.Parts(1) {
		for _, span := range part.Spans {
			err := data.ReadSpan(ctx, span, h.Columns, func(batch arrow.RecordBatch) error {
				for i := 0; i < int(batch.NumRows()); i++ {
					if len(h.Rows) == rows {
						return errEnough
					}
					row := make([]string, batch.NumCols())
					for c := range row {
						// A copy: the text may lie in the mapped file.
						row[c] = strings.Clone(shorten(batch.Column(c).ValueStr(i)))
					}
					h.Rows = append(h.Rows, row)
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shorten keeps a cell narrow enough for a terminal.
func shorten(s string) string { return text.Snip(s, 48, "…") }

// table is for a terminal, which no text of the data must move the cursor of.
func (h *head) table(w io.Writer) string {
	t := newTable(w)
	header := make(table.Row, 0, len(h.Columns))
	for _, c := range h.Columns {
		header = append(header, page.Plain(c))
	}
	t.AppendHeader(header)
	for _, cells := range h.Rows {
		row := make(table.Row, 0, len(cells))
		for _, c := range cells {
			row = append(row, page.Plain(c))
		}
		t.AppendRow(row)
	}
	return t.Render()
}
