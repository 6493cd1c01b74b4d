package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
)

func newRuns(s streams, common *commonOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "runs OUT|ROOT [flags]",
		Short: "List the runs of an output, or of every output below a folder, newest first, as their manifests tell.",
		Example: `  millrace runs scores/
  millrace runs /data/predictions --json`,
		Args: oneOutput,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := listRuns(cmd.Context(), args[0], common.places())
			if err != nil {
				return err
			}
			r.width = terminalWidth(s.Out)
			return common.print(s, r)
		},
	}
}

// runsReport is the answer of runs.
type runsReport struct {
	Outputs []outputReport   `json:"outputs"`
	Unread  []ledger.Problem `json:"unread,omitempty"`

	width int // of the terminal, in columns; 0: no terminal
}

type outputReport struct {
	Output   string      `json:"output"`
	Runs     []runReport `json:"runs"`     // newest first
	Problems int         `json:"problems"` // of the manifests; millrace verify lists them
}

// runState says what became of a run's files.
type runState string

const (
	stateLive       runState = "live"       // the output has them
	stateReplaced   runState = "replaced"   // a later run's took their place
	stateUnreadable runState = "unreadable" // its manifest is
)

type runReport struct {
	Run           string              `json:"run"`
	State         runState            `json:"state"`
	Mode          ledger.Mode         `json:"mode,omitempty"`
	Started       time.Time           `json:"started,omitzero"`
	Finished      time.Time           `json:"finished,omitzero"`
	Seconds       float64             `json:"seconds"`
	RowsPerSecond float64             `json:"rows_per_second"`
	By            ledger.Starter      `json:"by"`
	Model         ledger.ModelFile    `json:"model"`            // of several the first
	Models        []ledger.NamedModel `json:"models,omitempty"` // of a run of several
	Rows          ledger.Rows         `json:"rows"`
	Inputs        ledger.Interval     `json:"inputs"`
}

// interval is what time the run's inputs are of, for the table.
func (r *runReport) interval() string {
	from, to := day(r.Inputs.From), day(r.Inputs.To)
	if from == to {
		return from
	}
	return from + " to " + to
}

// day is the date that a time begins with.
func day(text string) string {
	date, _, _ := strings.Cut(text, "T")
	return date
}

func listRuns(ctx context.Context, path string, places engine.Places) (*runsReport, error) {
	found, err := places.FindHistories(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &runsReport{Outputs: []outputReport{}, Unread: found.Unread}
	for _, h := range found.Histories {
		o := outputReport{Output: h.Output, Problems: len(h.Problems)}
		for _, run := range h.Runs {
			o.Runs = append(o.Runs, reportRun(run))
		}
		r.Outputs = append(r.Outputs, o)
	}
	return r, nil
}

func reportRun(r *ledger.Recorded) runReport {
	m := r.Manifest
	if m == nil {
		return runReport{Run: r.Run, State: stateUnreadable}
	}
	out := runReport{
		Run: r.Run, State: stateReplaced, Mode: m.Mode, Started: m.Started, Finished: m.Finished,
		Seconds: m.Finished.Sub(m.Started).Seconds(), By: m.By, Model: m.Model, Models: m.Models, Rows: m.Ledger,
		Inputs: r.Interval,
	}
	if r.Live {
		out.State = stateLive
	}
	if out.Seconds > 0 {
		out.RowsPerSecond = float64(m.Ledger.Read) / out.Seconds
	}
	return out
}

// modelName is what the table has room for.
func (r *runReport) modelName() string {
	name := cell(strings.TrimSuffix(filepath.Base(r.Model.Path), ".onnx"), 18)
	if more := len(r.Models) - 1; more > 0 {
		name = fmt.Sprintf("%s and %d more", name, more)
	}
	return name
}

// Text writes a table for each output.
func (r *runsReport) Text(w io.Writer) error {
	var b strings.Builder
	missing := map[string]bool{}
	for i := range r.Outputs {
		o := &r.Outputs[i]
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s\n", o.Output, english.Plural(len(o.Runs), "run", ""))
		columns := r.fitting(o)
		for _, c := range runColumns {
			if !columns[c.name] {
				missing[c.name] = true
			}
		}
		b.WriteString(o.table(columns).Render() + "\n")
		if o.Problems > 0 {
			fmt.Fprintf(&b, "%s: see millrace verify %s\n", english.Plural(o.Problems, "problem", ""), o.Output)
		}
	}
	for _, p := range r.Unread {
		fmt.Fprintf(&b, "unread: %s\n", p)
	}
	if len(missing) > 0 {
		var names []string
		for _, c := range runColumns {
			if missing[c.name] {
				names = append(names, c.name)
			}
		}
		fmt.Fprintf(&b, "Left out for want of room: %s (--json has all).\n", strings.Join(names, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// runColumn is one column of the table. Where there is no room for all, those
// with the highest rank go first.
type runColumn struct {
	name   string
	rank   int
	number bool
	cell   func(r *runReport) string
}

var runColumns = []runColumn{
	{"run", 0, false, func(r *runReport) string { return r.Run }},
	{"state", 1, false, func(r *runReport) string { return string(r.State) }},
	{"mode", 4, false, func(r *runReport) string { return cell(string(r.Mode), 10) }},
	{"finished", 9, false, func(r *runReport) string { return r.Finished.UTC().Format("2006-01-02 15:04:05Z") }},
	{"by", 6, false, func(r *runReport) string { return cell(r.By.User, 24) }},
	{"interval", 10, false, (*runReport).interval},
	{"files", 13, true, func(r *runReport) string { return humanize.Comma(int64(r.Inputs.Files)) }},
	{"model", 3, false, (*runReport).modelName},
	{"sha256", 7, false, func(r *runReport) string { return cell(fmt.Sprintf("%.8s", r.Model.SHA256), 8) }},
	{"read", 11, true, func(r *runReport) string { return humanize.Comma(r.Rows.Read) }},
	{"scored", 2, true, func(r *runReport) string { return humanize.Comma(r.Rows.Scored) }},
	{"rejected", 5, true, func(r *runReport) string { return humanize.Comma(r.Rows.Rejected) }},
	{"seconds", 10, true, func(r *runReport) string { return fmt.Sprintf("%.1f", r.Seconds) }},
	{"rows/s", 8, true, func(r *runReport) string { return si(r.RowsPerSecond) }},
}

// cell makes text from a manifest fit for a table and a terminal.
func cell(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
	return text.Snip(s, most, "…")
}

// fitting is the set of columns that the terminal has room for.
func (r *runsReport) fitting(o *outputReport) map[string]bool {
	columns := map[string]bool{}
	for _, c := range runColumns {
		columns[c.name] = true
	}
	for r.width > 0 {
		first, _, _ := strings.Cut(o.table(columns).Render(), "\n")
		if text.StringWidthWithoutEscSequences(first) <= r.width {
			break
		}
		last := -1
		for i, c := range runColumns {
			if columns[c.name] && (last < 0 || c.rank > runColumns[last].rank) {
				last = i
			}
		}
		if runColumns[last].rank == 0 {
			break // a run's name is whole or of no use
		}
		delete(columns, runColumns[last].name)
	}
	return columns
}

func (o *outputReport) table(columns map[string]bool) table.Writer {
	t := newTable(io.Discard) // it is what fitting leaves
	var header table.Row
	var configs []table.ColumnConfig
	for _, c := range runColumns {
		if !columns[c.name] {
			continue
		}
		header = append(header, c.name)
		if c.number {
			configs = append(configs, table.ColumnConfig{Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for i := range o.Runs {
		run := &o.Runs[i]
		row := make(table.Row, 0, len(header))
		for _, c := range runColumns {
			switch {
			case !columns[c.name]:
			case run.State == stateUnreadable && c.rank > 1:
				row = append(row, "")
			default:
				row = append(row, c.cell(run))
			}
		}
		t.AppendRow(row)
	}
	return t
}

// terminalWidth is the number of columns of the terminal that a stream is; 0 for
// other streams.
func terminalWidth(w io.Writer) int {
	if v, ok := w.(visibleWriter); ok {
		w = v.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
