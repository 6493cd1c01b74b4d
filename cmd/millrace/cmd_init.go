package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/jobfile"
	"github.com/millrace/millrace/engine/ledger"
)

// initOptions are what a new job file is made from.
type initOptions struct {
	model, output     string
	inputs, ids, keep []string
	columns           inputColumns
	lines             lineOptions
}

func (o *initOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVarP(&o.model, "model", "m", "", "the model: path or URI of an .onnx `FILE`")
	fs.StringArrayVarP(&o.inputs, "input", "i", nil, "input `FILE`, directory or quoted glob of Parquet, Arrow, CSV or JSON Lines files; repeatable")
	fs.StringVarP(&o.output, "output", "o", "job.yaml", "the job `FILE` to write, or - for stdout; one that is there is left alone")
	fs.StringArrayVar(&o.ids, "ids", nil, "comma separated `COLUMNS` that identify a row (default: id, if there is one)")
	fs.StringArrayVar(&o.keep, "keep", nil, "comma separated `COLUMNS` to pass through to the output")
	o.columns.AddFlags(fs)
	o.lines.AddFlags(fs)
}

func newInit(s streams, common *commonOptions) *cobra.Command {
	opts := &initOptions{}
	cmd := &cobra.Command{
		Use:   "init --model M.onnx --input DATA [flags]",
		Short: "Write a job file from a model's signature and the data's schema, with comments, that runs as it is.",
		Example: `  millrace init --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet
  millrace init --model models/reference/nyc_pipeline.onnx --input testdata/nyc-sample.parquet --output -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runInit(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// stdoutName stands for stdout as a file to write.
const stdoutName = "-"

func runInit(ctx context.Context, o *initOptions, common *commonOptions, s streams) error {
	opts := engine.Options{Model: o.model, Inputs: o.inputs, IDs: joinColumns(o.ids), Keep: joinColumns(o.keep), Stores: common.stores()}
	if err := o.columns.set(&opts); err != nil {
		return err
	}
	if err := o.lines.set(&opts); err != nil {
		return err
	}
	dir := "."
	if o.output != stdoutName {
		dir = filepath.Dir(o.output)
		if _, err := os.Lstat(o.output); err == nil { // before anything that takes time
			return jobExists(o.output)
		}
	}
	text, guesses, err := jobfile.Draft(ctx, opts, dir)
	if err != nil {
		return err
	}
	log := common.logger(s)
	for _, guess := range guesses {
		log.Warn("check what was guessed", "guess", guess)
	}
	if o.output == stdoutName {
		_, err := s.Out.Write(text)
		return unanswered(err)
	}
	if err := writeNew(o.output, text); err != nil {
		return err
	}
	return common.print(s, &initReport{Job: o.output, Guesses: append([]string{}, guesses...)})
}

func jobExists(path string) error {
	return fmt.Errorf("%w: %s is left as it is: choose another --output", ledger.ErrExists, path)
}

// writeNew writes a file that was not there.
func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return jobExists(path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// initReport is the answer of init.
type initReport struct {
	Job     string   `json:"job"`
	Guesses []string `json:"guesses"`
}

// Text says what to do next.
func (r *initReport) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "wrote %s; next: millrace plan --job %s, then millrace score --job %s\n", r.Job, r.Job, r.Job)
	return err
}
