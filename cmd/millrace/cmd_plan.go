package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine"
)

func newPlan(s streams, common *commonOptions) *cobra.Command {
	opts := &runOptions{}
	cmd := &cobra.Command{
		Use:   "plan --model M.onnx --input DATA [flags]",
		Short: "Show what score would do with the same flags: reads no rows, writes nothing.",
		Example: `  millrace plan --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet --nulls nan
  millrace plan --model models/reference/nyc_pipeline.onnx --input testdata/nyc-sample.parquet --nulls nan --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPlan(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runPlan(ctx context.Context, opts *runOptions, common *commonOptions, s streams) error {
	o, err := opts.options(common)
	if err != nil {
		return err
	}
	if o.OnlyNew && (o.OnChanged == "" || o.OnChanged == engine.ChangedFail) {
		o.OnChanged = engine.ChangedList
	}
	plan, err := engine.NewPlan(ctx, o)
	if nothing, ok := nothingNew(err); ok {
		return common.print(s, nothing)
	}
	if err != nil {
		return err
	}
	defer func() { _ = plan.Close() }()
	return common.print(s, &planReport{Explanation: plan.Explain(), Selection: plan.Selection, JobFile: o.JobFile, Unused: plan.UnusedFeatures()})
}

type planReport struct {
	*engine.Explanation
	Selection *engine.Selection `json:"selection,omitempty"` // nil: all that the input names
	JobFile   engine.JobFile    `json:"job_file,omitzero"`
	Unused    []string          `json:"unused_features,omitempty"` // that the job defines and no model takes
}

// Text writes the plan from what is read to what is written.
func (r *planReport) Text(w io.Writer) error {
	var b strings.Builder
	jobText(&b, &r.JobFile)
	r.modelText(&b)
	for _, rewrite := range r.Rewrites {
		fmt.Fprintf(&b, "         rewritten: %s\n", rewrite)
	}
	fmt.Fprintf(&b, "input    %s in %s, %s, %s stored\n", counted(r.Rows, "row"), counted(int64(len(r.Files)), "file"), counted(int64(r.Spans), "span"), humanize.IBytes(uint64(r.Bytes)))
	for _, c := range r.Partitions {
		note := ""
		if c.Shadows {
			note = ", and not from the files, which have a column of that name too"
		}
		fmt.Fprintf(&b, "         column %s (%s) from folders%s\n", c.Column, c.Type, note)
	}
	r.selectionText(&b, w)
	r.filterText(&b)
	linesText(&b, w, r.Lines)
	b.WriteString("\nHow columns become tensors\n")
	t := newTable(w)
	t.AppendHeader(table.Row{"model input", "column", "type", "cast", "nulls expected", "a null becomes", "way"})
	for _, in := range r.Inputs {
		way := "view " + in.Note
		if in.Way == "copy" {
			way = fmt.Sprintf("copy, %d B a row: %s", in.BytesPerRow, in.Note)
		}
		for i, f := range in.Features {
			name := ""
			if i == 0 {
				name = fmt.Sprintf("%s %s", in.Input, in.Type)
				if len(in.Models) > 0 {
					name += " of " + strings.Join(in.Models, ", ")
				}
			} else {
				way = ""
			}
			nulls := "unknown"
			if f.Nulls != nil {
				nulls = humanize.Comma(*f.Nulls)
			}
			policy := f.Policy
			if policy == "" {
				policy = `""`
			}
			t.AppendRow(table.Row{name, f.Column, f.Type, f.Cast, nulls, policy, way})
		}
	}
	b.WriteString(t.Render() + "\n\n" + featuresText(w, r.Inputs) + unusedText(r.Unused) + "What is written\n")
	t = newTable(w)
	t.AppendHeader(table.Row{"column", "type", "from"})
	for _, c := range r.Outputs {
		from := c.From
		if c.Model != "" {
			from += " of " + c.Model
		}
		t.AppendRow(table.Row{c.Column, c.Type, from})
	}
	b.WriteString(t.Render() + "\n\n")
	r.comparedText(&b, w)
	r.partsText(&b)
	most := ""
	if r.Filter != nil {
		most = "at most "
	}
	fmt.Fprintf(&b, "batches  %s%s of up to %s; %s, %s\n", most, humanize.Comma(r.Batches), counted(int64(r.BatchRows), "row"), counted(int64(r.Workers), "worker"), counted(int64(r.Readers), "reader"))
	if r.BatchAuto {
		b.WriteString("         a tuned profile, or the first rows, may choose another size when the run starts (--batch-size auto)\n")
	}
	if r.Unique != nil {
		fmt.Fprintf(&b, "unique   %s\n", uniqueText(r.Unique))
	}
	r.providerText(&b)
	m := &r.Memory
	comparison := ""
	if m.Agreement > 0 {
		comparison = ", comparison of models " + bytesOf(m.Agreement)
	}
	rejects := ""
	if m.Rejects > 0 {
		rejects = ", rejected rows " + bytesOf(m.Rejects)
	}
	fmt.Fprintf(&b, "memory   about %s: program %s, model %s, tensors %s%s, columns %s, results written %s%s, garbage %s\n",
		bytesOf(m.Total), bytesOf(m.Program), bytesOf(m.Model), bytesOf(m.Tensors+m.Activations), comparison, bytesOf(m.Decoded), bytesOf(m.Written), rejects, bytesOf(m.Slack))
	switch {
	case m.Limit == 0:
		b.WriteString("limit    none\n")
	case len(m.Lowered) == 0:
		fmt.Fprintf(&b, "limit    %s (%s): it fits\n", bytesOf(m.Limit), m.Source)
	default:
		fmt.Fprintf(&b, "limit    %s (%s): lowered to fit: %s\n", bytesOf(m.Limit), m.Source, loweredText(m.Lowered))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// differencesShown is how many differences between files are written as text.
const differencesShown = 20

// filterText says which rows and values are wanted, and where files differ.
func (r *planReport) filterText(b *strings.Builder) {
	for i, line := range r.Differences {
		if i == differencesShown {
			fmt.Fprintf(b, "         and %d more differences; --json has all\n", len(r.Differences)-i)
			break
		}
		name := "differ"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(b, "%-8s %s: not needed here\n", name, line)
	}
	if f := r.Filter; f != nil {
		fmt.Fprintf(b, "filter   %s\n", f.Expression)
		if f.SpansSkipped > 0 {
			fmt.Fprintf(b, "         not read: %s rows, %d of %d files whole and %d of %d spans in all, none of which can pass by statistics and folders\n",
				humanize.Comma(f.RowsSkipped), f.FilesSkipped, len(r.Files), f.SpansSkipped, r.Spans)
		}
		fmt.Fprintf(b, "         read: %s rows; every row passes in %d spans\n", humanize.Comma(f.RowsToRead), f.SpansWhole)
	}
	for i, rule := range r.Rules {
		name := "rules"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(b, "%-8s %s\n", name, rule)
	}
}

// partsText says which files come of the input's parts.
func (r *planReport) partsText(b *strings.Builder) {
	if r.PartRows == math.MaxInt64 {
		fmt.Fprintf(b, "parts    1: one %s file\n", r.Format)
		return
	}
	each := fmt.Sprintf("one %s file each", r.Format)
	if r.TargetFileBytes > 0 {
		each = fmt.Sprintf("%s files of about %s at most", r.Format, bytesOf(r.TargetFileBytes))
	}
	if len(r.PartitionBy) > 0 {
		each += ", for each value of " + strings.Join(r.PartitionBy, ", ")
	}
	fmt.Fprintf(b, "parts    %d, of %s rows or more but the last; %s\n", r.Parts, humanize.Comma(r.PartRows), each)
}

// modelText says which models there are.
func (r *planReport) modelText(b *strings.Builder) {
	if len(r.Models) == 0 {
		fmt.Fprintf(b, "model    %s (sha256 %.12s…)\n", r.Model, r.SHA256)
	}
	for i, m := range r.Models {
		with := ""
		if i > 0 {
			with = ", compared with " + r.Models[0].Name
		}
		fmt.Fprintf(b, "model    %s: %s (sha256 %.12s…)%s\n", m.Name, m.Path, m.SHA256, with)
	}
}

// comparedText says which predictions of several models are compared.
func (r *planReport) comparedText(b *strings.Builder, w io.Writer) {
	if len(r.Compared) == 0 && len(r.NotCompared) == 0 {
		return
	}
	b.WriteString("What is compared\n")
	t := newTable(w)
	t.AppendHeader(table.Row{"prediction", "beside", "kind"})
	for _, p := range r.Compared {
		t.AppendRow(table.Row{p.Challenger, p.Champion, p.Kind})
	}
	for _, name := range r.NotCompared {
		t.AppendRow(table.Row{name, "nothing", ""})
	}
	b.WriteString(t.Render() + "\n\n")
}

// providerText says where the model would run.
func (r *planReport) providerText(b *strings.Builder) {
	reason := ""
	if r.ProviderReason != "" {
		reason = " (auto: " + r.ProviderReason + ")"
	}
	d := r.Devices
	if d == nil {
		fmt.Fprintf(b, "provider %s%s\n", r.Provider, reason)
		return
	}
	numbers := make([]string, len(d.Numbers))
	for i, n := range d.Numbers {
		numbers[i] = strconv.Itoa(n)
	}
	limit, rounding := "", ""
	if d.Memory > 0 {
		limit = fmt.Sprintf(", at most %s of memory on each", bytesOf(d.Memory))
	}
	if d.TF32 {
		rounding = ", products rounded to TF32"
	}
	fmt.Fprintf(b, "provider %s:%s%s: %d streams on each%s%s\n", r.Provider, strings.Join(numbers, ","), reason, d.Streams, limit, rounding)
	if d.Padded {
		fmt.Fprintf(b, "         compiled for batches of %s rows, kept in %s; shorter ones are padded\n", humanize.Comma(int64(r.BatchRows)), cmp.Or(d.EngineCache, "memory alone"))
	}
	if len(d.OnCPU) == 0 {
		return
	}
	allowed := "which a run refuses (--allow-cpu-nodes lets it)"
	if d.AllowCPUNodes {
		allowed = "which --allow-cpu-nodes lets it"
	}
	fmt.Fprintf(b, "         %d nodes would run on the CPU, as far as the graph tells, %s; see millrace inspect %s --provider %s\n", len(d.OnCPU), allowed, r.Model, r.Provider)
}

// loweredText lists what a memory limit lowered, such as "readers 4 -> 1".
func loweredText(lowered []engine.Lowered) string {
	texts := make([]string, len(lowered))
	for i, l := range lowered {
		texts[i] = fmt.Sprintf("%s %s -> %s", strings.ReplaceAll(l.Setting, "_", " "), humanize.Comma(l.From), humanize.Comma(l.To))
	}
	return strings.Join(texts, ", ")
}

func bytesOf(n int64) string { return humanize.IBytes(uint64(n)) }

// unusedText warns of features that are defined for nothing.
func unusedText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "Not used, since the model's own list of features does not name them: " + strings.Join(names, ", ") + "\n\n"
}
