package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/dataset"
)

// selectionFlags are the flags that choose among the input's files.
type selectionFlags struct {
	onChanged string
	since     since
}

func (o *selectionFlags) AddFlags(fs *pflag.FlagSet, opts *engine.Options) {
	fs.BoolVar(&opts.OnlyNew, "only-new", false, "leave out files that a published run of --output has read, whichever runs those were; none left: exit 0 (see docs/operations.md)")
	fs.StringVar(&o.onChanged, "on-changed", "", "`WHAT` becomes of a file that a run has read and that is another since, with --only-new: fail, skip, or score, as if it were new (default fail)")
	fs.Var(&o.since, "since", "leave out files from before a `TIME`: a date, a timestamp, or how long ago (36h, 7d); by the date of their KEY=VALUE folders, or else by their time of change")
}

// set puts the flags into the engine's options.
func (o *selectionFlags) set(opts *engine.Options) {
	opts.OnChanged, opts.Since = engine.OnChanged(o.onChanged), o.since.at
}

// since is the value of --since.
type since struct {
	text string
	at   time.Time
}

// String writes the flag's value.
func (s *since) String() string { return s.text }

// Set reads the flag's value.
func (s *since) Set(text string) (err error) {
	s.text = text
	s.at, err = dataset.ParseSince(text, time.Now())
	return err
}

// Type names the value in help.
func (*since) Type() string { return "TIME" }

// nothingNewReport is the answer of score and plan where there is nothing to read.
type nothingNewReport struct {
	NothingNew bool             `json:"nothing_new"` // true
	Output     string           `json:"output"`
	Selection  engine.Selection `json:"selection"`
}

// nothingNew turns the error of a run that has nothing to read into its answer.
func nothingNew(err error) (*nothingNewReport, bool) {
	e, ok := errors.AsType[*engine.NothingNewError](err)
	if !ok {
		return nil, false
	}
	return &nothingNewReport{NothingNew: true, Output: e.Output, Selection: e.Selection}, true
}

// Text writes a line.
func (r *nothingNewReport) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %s\n", "nothing new", r.Selection)
	changedText(&b, &r.Selection)
	_, err := io.WriteString(w, b.String())
	return err
}

// newFilesShown is how many files a plan lists as text.
const newFilesShown = 100

// selectionText lists the files that are read, and says what of the others.
func (r *planReport) selectionText(b *strings.Builder, w io.Writer) {
	if r.Selection == nil {
		return
	}
	fmt.Fprintf(b, "files    %s\n", r.Selection)
	t := newTable(w)
	t.AppendHeader(table.Row{"file", "rows", "size"})
	for i, f := range r.Files {
		if i == newFilesShown {
			t.AppendRow(table.Row{fmt.Sprintf("and %d more (--json has all)", len(r.Files)-i), "", ""})
			break
		}
		t.AppendRow(table.Row{cell(f.Path, 120), humanize.Comma(f.Rows), bytesOf(f.Bytes)})
	}
	b.WriteString(t.Render() + "\n")
	changedText(b, r.Selection)
}

// changedText lists changed files.
func changedText(b *strings.Builder, s *engine.Selection) {
	if len(s.Changed) == 0 {
		return
	}
	what := map[engine.OnChanged]string{
		engine.ChangedList:  "a run exits 4, unless --on-changed says skip or score",
		engine.ChangedSkip:  "left out by --on-changed skip",
		engine.ChangedScore: "read again by --on-changed score",
	}[s.OnChanged]
	fmt.Fprintf(b, "changed  %s: %s\n", english.Plural(len(s.Changed), "file", ""), what)
	for i, c := range s.Changed {
		if i == newFilesShown {
			fmt.Fprintf(b, "         and %d more (--json has all)\n", len(s.Changed)-i)
			break
		}
		fmt.Fprintf(b, "         %q, which run %s read, %s\n", c.Path, c.Run, c.What)
	}
}
