package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
)

type verifyOptions struct {
	quick, inputs bool
	manifest      string
}

func (o *verifyOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.BoolVar(&o.quick, "quick", false, "compare sizes and row counts of outputs, and not their bytes")
	fs.BoolVar(&o.inputs, "inputs", false, "a model or input that has changed or gone is a problem, and inputs are read whole where the manifest has their digest (else it is a note, by size and time)")
	fs.StringVar(&o.manifest, "manifest-sha256", "", "the SHA-256 (`HEX`) that the newest manifest must have: kept where nobody who edits the output can reach it, it vouches for all of the output and its history")
}

func newVerify(s streams, common *commonOptions) *cobra.Command {
	opts := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify OUT [flags]",
		Short: "Check that a published output is as its runs wrote it: every byte, file, row count and manifest; writes nothing, needs no ONNX Runtime.",
		Example: `  millrace verify scores/
  millrace verify scores.parquet --inputs --json`,
		Args: oneOutput,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), args[0], opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// oneOutput takes the one argument of the commands about an output.
func oneOutput(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%w: %s takes one directory or file, as score's --output named it; %d were given", engine.ErrUsage, cmd.CommandPath(), len(args))
}

func runVerify(ctx context.Context, output string, o *verifyOptions, common *commonOptions, s streams) error {
	if digest, err := hex.DecodeString(o.manifest); o.manifest != "" && (err != nil || len(digest) != 32) {
		return fmt.Errorf("%w: --manifest-sha256 (%s) must be 64 hexadecimal digits, as sha256sum prints them", engine.ErrUsage, o.manifest)
	}
	progress := &ledger.VerifyProgress{}
	finish := showVerifyProgress(s, common, progress)
	v, err := common.places().Verify(ctx, output, ledger.VerifyOptions{Quick: o.quick, Inputs: o.inputs, Manifest: o.manifest, Progress: progress, Stores: common.stores()})
	finish()
	if err != nil {
		return err
	}
	if err := common.print(s, &verifyReport{v}); err != nil {
		return err
	}
	err = v.Err()
	if common.Quiet && !common.JSON { // nothing was printed: the error says it all
		for _, p := range v.Problems {
			err = errors.Join(err, errors.New(p.String()))
		}
	}
	return err
}

type verifyReport struct{ *ledger.Verification }

// notesShown is how many notes Text lists; problems are all listed.
const notesShown = 10

// Text writes what was looked at, and then a line for each problem.
func (r *verifyReport) Text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("output", "%s", r.Output)
	line("runs", "%d, %s live; the newest is %s", r.Runs, ofThem(len(r.LiveRuns), r.Runs), r.Run)
	if engine.TakesRows(r.Output) {
		line("holds", "%s", counted(r.Rows, "row"))
	} else {
		line("holds", "%s, %s, %s", counted(int64(r.Files), "file"), humanize.IBytes(uint64(max(r.Bytes, 0))), counted(r.Rows, "row"))
	}
	line("manifest", "sha256 %s", r.ManifestSHA256)
	for i, n := range r.Notes {
		if i == notesShown {
			line("note", "and %d more (--json lists all)", len(r.Notes)-i)
			break
		}
		line("note", "%s", n)
	}
	for _, p := range r.Problems {
		line("problem", "%s", p)
	}
	switch {
	case len(r.Problems) > 0:
	case r.Quick:
		line("sound", "sizes, row counts and manifests fit; bytes were not compared (--quick)")
	case len(r.Counted) > 0:
		line("sound", "row counts and manifests fit; values of %s were not compared", counted(int64(len(r.Counted)), "run"))
	case engine.TakesRows(r.Output):
		line("sound", "every row has the values that its run wrote")
	default:
		line("sound", "every byte is as its run wrote it")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ofThem(n, all int) string {
	if n == all {
		return "all"
	}
	return fmt.Sprintf("%d of them", n)
}
