package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/agree"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/models"
)

type rewriteOptions struct {
	Model, Output, ModelSHA256 string
	Force, DropLabels          bool
	Trees                      string // a models.TreeForm
	Transposed                 bool
	CheckRows                  int
	MaxDifference              float64
}

func (o *rewriteOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVarP(&o.Model, "model", "m", "", "the model: path or URI of an .onnx `FILE`")
	fs.StringVarP(&o.Output, "output", "o", "", "the .onnx `FILE` to write; a model whose tensors lie in other files needs it in the same folder")
	fs.BoolVar(&o.Force, "force", false, "replace the output if it exists, in one step")
	fs.BoolVar(&o.DropLabels, "drop-labels", false, "leave predicted labels that are strings out of the outputs, since no device holds strings")
	fs.StringVar(&o.Trees, "trees", string(models.FormAuto), "`FORM` of tree ensembles: gemm (all splits at once; trees of at most 7 splits), perfect (padded to all nodes of their depth; depth 12 at most), traversal (any), or auto (by their depth and size)")
	fs.BoolVar(&o.Transposed, "transposed", false, "let tree ensembles transpose their input first and compute with rows last, so that threads beside each other read rows beside each other")
	fs.IntVar(&o.CheckRows, "check-rows", 1000, "`ROWS` that are made and scored with both models on the CPU before anything is written; 0: do not check")
	fs.Float64Var(&o.MaxDifference, "max-difference", 1e-4, "largest `DIFFERENCE` of a score that the check allows, relative to the score, or absolute below 1")
	fs.StringVar(&o.ModelSHA256, "model-sha256", "", "refuse any model file with another SHA-256 (`HEX`)")
}

func (o *rewriteOptions) validate() error {
	var problems []error
	if o.Model == "" {
		problems = append(problems, errors.New("--model is missing: an .onnx file"))
	}
	if o.Output == "" {
		problems = append(problems, errors.New("--output is missing: the .onnx file to write"))
	}
	if o.CheckRows < 0 {
		problems = append(problems, fmt.Errorf("--check-rows (%d) must be >= 0", o.CheckRows))
	}
	if !(o.MaxDifference >= 0) {
		problems = append(problems, fmt.Errorf("--max-difference (%g) must be >= 0", o.MaxDifference))
	}
	switch models.TreeForm(o.Trees) {
	case models.FormAuto, models.FormGEMM, models.FormPerfect, models.FormTraversal:
	default:
		problems = append(problems, fmt.Errorf("--trees (%s) must be auto, gemm, perfect or traversal", o.Trees))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", engine.ErrUsage, errors.Join(problems...))
	}
	return nil
}

func newRewrite(s streams, common *commonOptions) *cobra.Command {
	opts := &rewriteOptions{}
	cmd := &cobra.Command{
		Use:   "rewrite --model M.onnx --output N.onnx [flags]",
		Short: "Write a model whose operators run on a GPU: ai.onnx.ml becomes plain tensor operators, checked against the original.",
		Example: `  millrace rewrite --model models/reference/flights_linear.onnx --output flights_linear_tensors.onnx
  millrace rewrite --model models/reference/flights_gbdt.onnx --output flights_gbdt_tensors.onnx --trees traversal --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRewrite(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// rewriteStep is one rewrite of a graph; left says of each node that it could
// have rewritten and did not, what it is and why.
type rewriteStep func(*models.Model) (rewritten *models.Model, left []string, err error)

// steps are the rewrites, in the order in which they are done.
func (o *rewriteOptions) steps() []rewriteStep {
	return []rewriteStep{
		func(m *models.Model) (*models.Model, []string, error) {
			m, _, err := models.StripZipMap(m)
			return m, nil, err
		},
		func(m *models.Model) (*models.Model, []string, error) {
			m, _, left, err := models.MLToTensors(m, models.MLTensors{DropLabels: o.DropLabels})
			return m, left, err
		},
		func(m *models.Model) (*models.Model, []string, error) {
			m, _, left, err := models.TreesToTensors(m, models.TensorTrees{Form: models.TreeForm(o.Trees), Transposed: o.Transposed})
			return m, left, err
		},
	}
}

func runRewrite(ctx context.Context, o *rewriteOptions, common *commonOptions, s streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	was, err := models.Open(o.Model, models.Options{SHA256: o.ModelSHA256, Fetch: engine.FetchModel(ctx, common.stores())})
	if err != nil {
		return err
	}
	if err := o.checkOutput(was); err != nil {
		return err
	}
	r := &rewriteReport{Model: o.Model, SHA256: was.SHA256, Output: o.Output, Rewrites: []string{}, Left: []string{}, OnCPU: []string{}}
	now := was
	for _, step := range o.steps() {
		var left []string
		if now, left, err = step(now); err != nil {
			return err
		}
		r.Left = append(r.Left, left...)
	}
	if now, err = models.KeepLabels(now); err != nil {
		return err
	}
	r.Rewrites = append(r.Rewrites, now.Rewrites...)
	for _, op := range now.Operators {
		if op.Domain == "ai.onnx.ml" {
			r.OnCPU = append(r.OnCPU, fmt.Sprintf("%s (%d)", op, op.Nodes))
		}
	}
	if err := o.check(ctx, common.library(), was, now, r); err != nil {
		return err
	}
	if err := writeWhole(o.Output, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(now.Data()))
		return err
	}); err != nil {
		return err
	}
	digest := sha256.Sum256(now.Data())
	r.OutputSHA256, r.Bytes = hex.EncodeToString(digest[:]), int64(len(now.Data()))
	return common.print(s, r)
}

// checkOutput refuses an output that is there, and one where the model would not
// find its tensors.
func (o *rewriteOptions) checkOutput(m *models.Model) error {
	if _, ok := sink.Scheme(o.Output); ok || o.Output == "-" {
		return fmt.Errorf("%w: --output (%s) must be a file of this machine", engine.ErrUsage, o.Output)
	}
	info, err := os.Stat(o.Output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	case info.IsDir():
		return fmt.Errorf("%w: %s is a directory: name a file in it", ledger.ErrOutput, o.Output)
	case !o.Force:
		return fmt.Errorf("%w: %s (--force replaces it)", ledger.ErrExists, o.Output)
	case sameFile(o.Model, o.Output):
		return fmt.Errorf("%w: --output is the model itself; write another file", engine.ErrUsage)
	}
	if len(m.External) == 0 {
		return nil
	}
	model, err := os.Stat(m.Folder())
	if err != nil {
		return fmt.Errorf("%w: %w", models.ErrModel, err)
	}
	if folder, err := os.Stat(filepath.Dir(o.Output)); err != nil || !os.SameFile(model, folder) {
		return fmt.Errorf("%w: the model keeps tensors in other files of its folder (%d, the first is %s): --output must lie in that folder, %s, to find them",
			engine.ErrUsage, len(m.External), m.External[0].Location, m.Folder())
	}
	return nil
}

// maxDifferingShare is the share of labels that may differ, besides those of rows
// whose best scores are as good as equal: a label alone does not show its scores.
const maxDifferingShare = 0.01

// check scores made rows with both models. The ZipMaps are taken off the
// original too: their maps hold the same numbers.
func (o *rewriteOptions) check(ctx context.Context, library ort.LibraryOptions, was, now *models.Model, r *rewriteReport) error {
	if o.CheckRows == 0 || now == was {
		return nil
	}
	was, _, err := models.StripZipMap(was)
	if err != nil {
		return err
	}
	lib, err := ort.Load(library)
	if err != nil {
		return fmt.Errorf("%w (--check-rows 0 does without)", err)
	}
	rows, err := agree.Made(was, o.CheckRows, 1)
	if err == nil {
		r.Check, err = agree.Compare(ctx, lib, was, now, rows)
	}
	switch {
	case errors.Is(err, agree.ErrTooManyRows):
		return fmt.Errorf("%w: --check-rows (%d): %w: ask for fewer", engine.ErrUsage, o.CheckRows, err)
	case errors.Is(err, agree.ErrNoRows), errors.Is(err, agree.ErrRefused):
		r.Unchecked = err.Error()
		return nil
	case err != nil:
		return err
	}
	for _, d := range r.Check.Differences {
		switch {
		case math.IsInf(d.Largest, 1):
			return fmt.Errorf("%w: rewritten, its output %q has in %d of %d values on made rows a NaN or an infinity for a number, or a number for one; nothing is written (--check-rows 0 writes it nonetheless)",
				models.ErrModel, d.Output, d.Differing, d.Values)
		case d.Largest > o.MaxDifference:
			return fmt.Errorf("%w: rewritten, its output %q differs by up to %.3g on made rows; nothing is written (--max-difference %g is the limit)",
				models.ErrModel, d.Output, d.Largest, o.MaxDifference)
		case float64(d.Differing) > maxDifferingShare*float64(d.Values):
			return fmt.Errorf("%w: rewritten, its output %q has other values in %d of %d made rows, where %g of them may; nothing is written (--check-rows 0 writes it nonetheless)",
				models.ErrModel, d.Output, d.Differing, d.Values, maxDifferingShare)
		}
	}
	return nil
}

// rewriteReport is the answer of rewrite.
type rewriteReport struct {
	Model        string        `json:"model"`
	SHA256       string        `json:"sha256"`
	Output       string        `json:"output"`
	OutputSHA256 string        `json:"output_sha256"`
	Bytes        int64         `json:"output_bytes"`
	Rewrites     []string      `json:"rewrites"`        // empty: the output is a copy
	Left         []string      `json:"left"`            // nodes that were left, and why
	OnCPU        []string      `json:"cpu_operators"`   // those that no other provider has kernels for
	Check        *agree.Result `json:"check,omitempty"` // on made rows
	Unchecked    string        `json:"unchecked,omitempty"`
}

// Text writes what was done before what was not.
func (r *rewriteReport) Text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	for _, rewrite := range r.Rewrites {
		line("rewritten", "%s", rewrite)
	}
	if len(r.Rewrites) == 0 {
		line("rewritten", "nothing: the output is a copy of the model")
	}
	for _, left := range r.Left {
		line("left", "%s", left)
	}
	if len(r.OnCPU) > 0 {
		line("CPU only", "%s", strings.Join(r.OnCPU, ", "))
	}
	switch {
	case r.Check != nil:
		largest, output := r.Check.Largest()
		text := "no score differs"
		if output != "" {
			text = fmt.Sprintf("the largest difference of a score is %.2g, in output %q", largest, output)
		}
		line("checked", "%s made rows on the CPU: %s", humanize.Comma(int64(r.Check.Rows)), text)
		for _, d := range r.Check.Differences {
			if d.Differing > 0 {
				line("", "%s of %s values of %q differ", humanize.Comma(int64(d.Differing)), humanize.Comma(int64(d.Values)), d.Output)
			}
			if d.Tied > 0 {
				line("", "%s of %s values of %q differ where two scores are equal but for rounding", humanize.Comma(int64(d.Tied)), humanize.Comma(int64(d.Values)), d.Output)
			}
		}
		if r.Check.Refused > 0 {
			line("", "%s rows more the original does not take", humanize.Comma(int64(r.Check.Refused)))
		}
	case r.Unchecked != "":
		line("unchecked", "%s", r.Unchecked)
	}
	line("written", "%s (%s, sha256 %.12s…)", r.Output, bytesOf(r.Bytes), r.OutputSHA256)
	_, err := io.WriteString(w, b.String())
	return err
}
