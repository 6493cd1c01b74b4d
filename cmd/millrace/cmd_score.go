package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

type scoreOptions struct {
	runOptions
	head int
}

func newScore(s streams, common *commonOptions) *cobra.Command {
	opts := &scoreOptions{}
	cmd := &cobra.Command{
		Use:   "score --model M.onnx --input DATA --output OUT [flags]",
		Short: "Score every row of a data set with a model and publish the predictions in one step.",
		Example: `  millrace score --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet --nulls nan --ids id --output scores/
  millrace score --model models/reference/embed.onnx --input testdata/embed-sample.arrow --ids id --output embeddings.arrow --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runScore(cmd, opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	cmd.Flags().IntVar(&opts.head, "head", 0, "print the first `ROWS` of the output as a table")
	return cmd
}

func runScore(cmd *cobra.Command, o *scoreOptions, common *commonOptions, s streams) error {
	ctx := cmd.Context()
	opts, err := o.options(common)
	if err != nil {
		return err
	}
	if opts.Output == "" {
		return fmt.Errorf("%w: --output is missing: a directory, or a file that ends in .parquet, .arrow or .csv", engine.ErrUsage)
	}
	plan, err := engine.NewPlan(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = plan.Close() }()
	lib, err := ort.Load(opts.Library)
	if err != nil {
		return err
	}
	log := common.logger(s)
	log.Info("start", "model", filepath.Base(opts.Model), "files", len(plan.Dataset.Files()), "rows", plan.Dataset.Rows(),
		"parts", len(plan.Parts), "batch_rows", plan.Options.BatchRows, "workers", plan.Options.Workers, "onnxruntime", lib.Version)
	for _, rewrite := range plan.Model.Rewrites {
		log.Info("model rewritten", "what", rewrite)
	}
	progress := plan.NewProgress()
	finish := showProgress(s, common, log, progress)
	summary, err := plan.Run(ctx, lib, progress)
	finish(err == nil)
	if err != nil && summary == nil {
		return err
	}
	if err != nil {
		log.Warn(err.Error()) // published, and untidy
	}
	r := &scoreReport{Summary: *summary}
	if o.head > 0 {
		if r.Head, err = readHead(ctx, summary, o.head); err != nil {
			return fmt.Errorf("the output is published, but its first rows cannot be shown: %w", err)
		}
	}
	return common.print(s, r)
}

// scoreReport is the answer of score.
type scoreReport struct {
	engine.Summary
	Head *head `json:"head,omitempty"`
}

// Text writes the summary as short lines, and the first rows as a table.
func (r *scoreReport) Text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("read", "%s rows", humanize.Comma(r.Rows.Read))
	line("scored", "%s rows", humanize.Comma(r.Rows.Scored))
	line("rejected", "%s rows", humanize.Comma(r.Rows.Rejected))
	if r.Rejects != nil {
		line("rejects", "%s", filepath.Join(r.Output, r.Rejects.Name))
	}
	for _, f := range r.Features {
		if f.Nulls > 0 {
			line("nulls", "%s in column %s became %s", humanize.Comma(f.Nulls), f.Column, f.Policy)
		}
		if f.Rounded > 0 {
			line("rounded", "%s values of column %s", humanize.Comma(f.Rounded), f.Column)
		}
	}
	line("speed", "%s rows/s end to end, %.2f s (batches of %s rows, %d workers)",
		humanize.Comma(int64(r.RowsPerSecond)), r.Seconds, humanize.Comma(int64(r.BatchRows)), r.Workers)
	line("copied", "%s into tensors, %s read where it lay", humanize.IBytes(uint64(r.BytesCopied)), humanize.IBytes(uint64(r.BytesViewed)))
	var bytes int64
	for _, o := range r.Outputs {
		bytes += o.Bytes
	}
	line("output", "%s (%d part files, %s)", r.Output, len(r.Outputs), humanize.IBytes(uint64(bytes)))
	line("manifest", "%s", manifestPath(r))
	if r.Head != nil {
		b.WriteString("\n" + r.Head.table() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func manifestPath(r *scoreReport) string {
	if info, err := os.Stat(r.Output); err == nil && !info.IsDir() {
		return r.Output + ".millrace.json"
	}
	return filepath.Join(r.Output, "_millrace", r.Run, "manifest.json")
}
