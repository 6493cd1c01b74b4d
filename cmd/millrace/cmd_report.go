package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/runpage"
)

// pageOptions are the flags of score about the page of its run.
type pageOptions struct {
	path     string
	examples bool
}

func (o *pageOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.path, "report", "", "write a page of the run for people to this .html `FILE`, beside the output: rows, rejects, scores against the run before, speed; also where too many rows are rejected (see millrace report)")
	addExamplesFlag(fs, &o.examples)
}

func addExamplesFlag(fs *pflag.FlagSet, examples *bool) {
	fs.BoolVar(examples, "report-examples", true, "show the first rejected rows on the page, by file, row and ids; =false: none")
}

func (o *pageOptions) options(run string, stores map[string]dataset.Store, places engine.Places) runpage.Options {
	opts := runpage.Options{Run: run, Stores: stores, Places: places, Examples: runpage.ExamplesLeft}
	if o.examples {
		opts.Examples = runpage.ExamplesShown
	}
	return opts
}

// check refuses a place for the page before a run that may take hours. Its error wraps
// engine.ErrUsage, or ledger.ErrOutput where the place is in an output that is there.
func (o *pageOptions) check(flag string) error {
	if o.path == "" {
		return nil
	}
	if err := secret.In(o.path); err != nil {
		return fmt.Errorf("%w: %s: %w", engine.ErrUsage, flag, err)
	}
	if _, elsewhere := sink.Scheme(o.path); elsewhere {
		return fmt.Errorf("%w: %s %s: a page is written to a path of this machine, wherever the output is", engine.ErrUsage, flag, o.path)
	}
	info, err := os.Stat(filepath.Dir(o.path))
	if err != nil || !info.IsDir() {
		return fmt.Errorf("%w: %s %s: there is no folder %s", engine.ErrUsage, flag, o.path, filepath.Dir(o.path))
	}
	if info, err := os.Stat(o.path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s %s is a folder; name a file in it, such as %s", engine.ErrUsage, flag, o.path, filepath.Join(o.path, "run.html"))
	}
	if err := ledger.Replaceable(o.path); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// checkBeside is check, and refuses a place in the output that is yet to be.
func (o *pageOptions) checkBeside(flag, output string) error {
	if err := o.check(flag); err != nil {
		return err
	}
	if _, elsewhere := sink.Scheme(output); elsewhere || o.path == "" {
		return nil
	}
	within, err := lies(o.path, output)
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", engine.ErrUsage, flag, o.path, err)
	}
	if within {
		return fmt.Errorf("%w: %s %s lies in the output, which holds the runs' files alone; name a file beside it, such as %s.html", engine.ErrUsage, flag, o.path, filepath.Clean(output))
	}
	return nil
}

// lies says whether a path is a place in a folder, or the folder's own.
func lies(path, folder string) (bool, error) {
	resolve := func(path string) (string, error) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		if resolved, err := filepath.EvalSymlinks(abs); err == nil {
			return resolved, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return abs, nil //nolint:nilerr // it is not there yet, nor is its folder
		}
		return filepath.Join(parent, filepath.Base(abs)), nil
	}
	at, err := resolve(path)
	if err != nil {
		return false, err
	}
	of, err := resolve(folder)
	return at == of || strings.HasPrefix(at, of+string(filepath.Separator)), err
}

// writePublished writes the page of a published run, and says where. The run stands
// whether that can be done or not, so a failure is a warning.
func (o *pageOptions) writePublished(ctx context.Context, opts *engine.Options, summary *engine.Summary, log *slog.Logger) string {
	if o.path == "" {
		return ""
	}
	a, err := runpage.Read(ctx, opts.Output, o.options(summary.Run, opts.Stores, opts.Places))
	if errors.Is(err, engine.ErrUsage) { // a place that keeps no account
		a, err = runpage.Of(summary.Manifest, opts.Output)
	}
	if err == nil {
		err = writePage(o.path, a)
	}
	if err != nil {
		log.Warn("the run is published, but its report could not be written: millrace report makes it again", "report", o.path, "why", err)
		return ""
	}
	return o.path
}

// writeUnpublished writes the page of a run that ended with too many bad rows; of one that
// ended otherwise there is none.
func (o *pageOptions) writeUnpublished(ctx context.Context, opts *engine.Options, ended error, log *slog.Logger) {
	e, ok := errors.AsType[*engine.UnpublishedError](ended)
	if o.path == "" || !ok {
		return
	}
	a, err := runpage.ReadUnpublished(ctx, opts.Output, e, o.options("", opts.Stores, opts.Places))
	if err == nil {
		err = writePage(o.path, a)
	}
	if err != nil {
		log.Warn("the report could not be written", "report", o.path, "why", err)
		return
	}
	log.Info("what happened, for people", "report", o.path)
}

func writePage(path string, a *runpage.Account) error {
	return writeWhole(path, func(w io.Writer) error { return runpage.Write(w, a, filepath.Dir(path)) })
}

type reportOptions struct {
	pageOptions

	run string
}

func newReport(s streams, common *commonOptions) *cobra.Command {
	opts := &reportOptions{}
	cmd := &cobra.Command{
		Use:   "report OUT [flags]",
		Short: "Write a page about a published run for people: rows, rejects, scores against the run before, speed, files and proof, as one HTML file.",
		Example: `  millrace report scores/ --output scores.html
  millrace report scores/ --report-examples=false > scores.html`,
		Args: oneOutput,
		RunE: func(cmd *cobra.Command, args []string) error {
			return makeReport(cmd.Context(), args[0], opts, common, s)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&opts.run, "run", "", "the run's `ID`, as millrace runs lists them (default: the newest)")
	fs.StringVarP(&opts.path, "output", "o", "-", "`FILE` to write, beside the output, so that links to files work; - is stdout, with links as seen from the working directory")
	addExamplesFlag(fs, &opts.examples)
	return cmd
}

// pageReport is the answer of report.
type pageReport struct {
	Run    string `json:"run"`
	Report string `json:"report"`
}

// Text says where the page is.
func (r *pageReport) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%-10s %s, of run %s\n", "report", r.Report, r.Run)
	return err
}

func makeReport(ctx context.Context, output string, o *reportOptions, common *commonOptions, s streams) error {
	toStdout := o.path == "-"
	if toStdout && common.JSON {
		return fmt.Errorf("%w: --json says where the page was written; give --output FILE, or leave --json out", engine.ErrUsage)
	}
	if !toStdout {
		if err := o.check("--output"); err != nil {
			return err
		}
	}
	a, err := runpage.Read(ctx, output, o.options(o.run, common.stores(), common.places()))
	if err != nil {
		return err
	}
	if toStdout {
		return runpage.Write(s.Out, a, ".")
	}
	if err := writePage(o.path, a); err != nil {
		return err
	}
	return common.print(s, &pageReport{Run: a.Manifest.Run, Report: o.path})
}
