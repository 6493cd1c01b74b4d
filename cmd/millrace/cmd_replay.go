package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/dataset"
)

type replayOptions struct {
	engine.ReplayOptions
	where    []string
	models   []string
	provider string
}

func (o *replayOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringArrayVar(&o.where, "where", nil, "`COLUMN=VALUE` of the rows to score again: an id, a kept column or a prediction; repeatable, and a row meets all")
	fs.IntVar(&o.Limit, "limit", 20, "most `ROWS` to score again")
	fs.Float64Var(&o.Tolerance, "tolerance", 1e-5, "how far a number may be from the one published, as a `SHARE` of the larger of that and 1; 0: not at all")
	fs.StringArrayVarP(&o.models, "model", "m", nil, "path of the model `FILE` where it has moved, or NAME=FILE of one of several; it must have the recorded SHA-256")
	fs.StringVar(&o.provider, "provider", "", "execution `PROVIDER`: cpu, for a run on devices that this machine lacks (default: the recorded one)")
}

func newReplay(s streams, common *commonOptions) *cobra.Command {
	opts := &replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay OUT --where COLUMN=VALUE [flags]",
		Short: "Score rows of a published output again, from the recorded inputs by the recorded model and settings, and compare; exit 3 when predictions differ.",
		Example: `  millrace replay scores/ --where id=60
  millrace replay scores/ --where id=60 --tolerance 0 --json`,
		Args: oneOutput,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Output = args[0]
			return runReplay(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runReplay(ctx context.Context, o *replayOptions, common *commonOptions, s streams) error {
	for _, text := range o.where {
		column, value, ok := strings.Cut(text, "=")
		if !ok || column == "" {
			return fmt.Errorf("%w: --where (%s) must be COLUMN=VALUE, such as id=4711", engine.ErrUsage, text)
		}
		o.Where = append(o.Where, engine.Condition{Column: column, Value: value})
	}
	var err error
	if o.Model, o.Models, err = movedModels(o.models); err != nil {
		return err
	}
	o.Provider = ort.Provider(o.provider)
	o.Build, o.Stores, o.Places = engine.Build{Version: version, Commit: commit}, common.stores(), common.places()
	o.Load = func(provider ort.Provider) (*ort.Library, error) {
		library := common.library()
		library.Provider = provider
		return ort.Load(library)
	}
	r, err := o.Replay(ctx)
	if err != nil {
		return err
	}
	if err := common.print(s, &replayReport{r}); err != nil {
		return err
	}
	return r.Err()
}

type replayReport struct{ *engine.Replay }

// Text writes a line of a table for each prediction, then the count.
func (r *replayReport) Text(w io.Writer) error {
	var b strings.Builder
	if len(r.Rows) > 0 {
		b.WriteString(r.table(w).Render() + "\n")
		fmt.Fprintf(&b, "%s: %d equal, %d within a tolerance of %g, %d different\n",
			english.Plural(len(r.Rows), "row", ""), r.Equal, r.Within, r.Tolerance, r.Different)
	}
	for _, row := range r.Rejected {
		column := ""
		if row.Column != "" { // a duplicate is of no one column
			column = fmt.Sprintf("column %q, ", row.Column)
		}
		fmt.Fprintf(&b, "rejected: %s, row %d of %s: %s%s: %s\n", rejectedText(row.Columns), row.Row, cell(row.Input, 200), column, cell(row.Stage, 32), cell(row.Reason, 200))
	}
	if r.More {
		b.WriteString("More rows meet the conditions than --limit allows.\n")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", cell(n, 400))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rejectedColumnsShown is how many columns of a rejected row one line names: its ids
// come first, the model's last.
const rejectedColumnsShown = 5

func rejectedText(columns []engine.ColumnValue) string {
	text := valuesText(columns[:min(len(columns), rejectedColumnsShown)])
	if more := len(columns) - rejectedColumnsShown; more > 0 {
		text += fmt.Sprintf(" and %d more columns", more)
	}
	return text
}

func (r *replayReport) table(w io.Writer) table.Writer {
	t := newTable(w)
	t.AppendHeader(table.Row{"row", "input", "prediction", "published", "again", "outcome", "difference"})
	t.SuppressEmptyColumns() // the difference, where all is equal
	inputs := make([]string, len(r.Rows))
	for i := range inputs {
		inputs[i] = r.Rows[i].Input
	}
	names := dataset.ShortNames(inputs)
	for i := range r.Rows {
		row := &r.Rows[i]
		name, input := rowName(row), fmt.Sprintf("%s:%d", cell(names[row.Input], 48), row.InputRow)
		for _, p := range row.Predictions {
			column, difference := p.Column, ""
			if p.Element != nil {
				column += "[" + strconv.Itoa(*p.Element) + "]"
			}
			if p.Difference != nil {
				difference = fmt.Sprintf("%.3g", *p.Difference)
			}
			t.AppendRow(table.Row{name, input, cell(column, 32), cell(p.Recorded, 24), cell(p.Again, 24), p.Outcome.String(), difference})
			name, input = "", ""
		}
	}
	return t
}

// rowName is how a table calls a row: by ids and kept columns, or by its place.
func rowName(r *engine.ReplayedRow) string {
	if len(r.Columns) == 0 {
		return fmt.Sprintf("%s:%d", r.File, r.Row)
	}
	return valuesText(r.Columns)
}

func valuesText(columns []engine.ColumnValue) string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = c.Column + "=" + c.Value
	}
	return cell(strings.Join(texts, " "), 40)
}
