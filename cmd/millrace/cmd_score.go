package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/runpage"
)

type scoreOptions struct {
	runOptions
	head     int
	dryRun   bool
	isolated string // path of the engine.Apart that this process is to score
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
			return runScore(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&opts.isolated, isolatedFlag, "", "`FILE` that says which part of another process's run to score")
	_ = cmd.Flags().MarkHidden(isolatedFlag) // it was just made
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show what would be done, as millrace plan does, and do none of it")
	cmd.Flags().IntVar(&opts.head, "head", 0, "print the first `ROWS` of the output, or any of a table's, as a table")
	return cmd
}

func runScore(ctx context.Context, o *scoreOptions, common *commonOptions, s streams) error {
	if o.dryRun {
		return runPlan(ctx, &o.runOptions, common, s)
	}
	opts, err := o.options(common)
	if err != nil {
		return err
	}
	if opts.Output == "" {
		return fmt.Errorf("%w: --output is missing: a directory, or a file that ends in %s", engine.ErrUsage, engine.OneFileEndings)
	}
	if o.isolated != "" {
		return runIsolated(ctx, opts, o.isolated)
	}
	if o.head < 0 {
		return fmt.Errorf("%w: --head (%d) must be a number of rows", engine.ErrUsage, o.head)
	}
	if o.head > 0 && opts.StreamsOut() {
		return fmt.Errorf("%w: --head shows rows of what was published, and --output - is gone with who reads it", engine.ErrUsage)
	}
	opts.ScoreApart = common.isolate
	if err := o.page.checkBeside("--report", opts.Output); err != nil {
		return err
	}
	// Before anything that takes time: whoever comes second should know at once.
	look, err := opts.LookHeld(ctx)
	if err != nil {
		return err
	}
	defer look.Close()
	closePipes, err := openPipes(&opts, s)
	defer closePipes()
	if err != nil {
		return err
	}
	// ONNX Runtime takes as long to load as a model takes to check: 40 ms that a
	// small run would notice.
	load := sync.OnceValues(func() (*ort.Library, error) { return ort.Load(opts.Library) })
	var loading sync.WaitGroup
	loading.Go(func() { _, _ = load() })
	defer loading.Wait()
	if opts.StreamsOut() { // standard output has the rows
		s.Out = s.Err
	}
	sc := &scorer{scoreOptions: o, opts: opts, load: load, look: look, common: common, streams: s}
	return sc.run(ctx)
}

// scorer runs a command's run, and where that finishes one that stopped, the run of what
// is new since.
type scorer struct {
	*scoreOptions
	opts    engine.Options
	load    func() (*ort.Library, error)
	look    *engine.HeldLook
	common  *commonOptions
	streams streams
}

func (c *scorer) run(ctx context.Context) error {
	var r *scoreReport
	for {
		next, err := c.score(ctx)
		nothing, isNothing := nothingNew(err)
		switch {
		case isNothing && r != nil: // what was left is older than --since
			return c.common.print(c.streams, r)
		case isNothing:
			c.common.logger(c.streams).Info("nothing new", "output", nothing.Output, "files", nothing.Selection.Listed, "seen", nothing.Selection.Seen,
				"older", nothing.Selection.Older, "changed", len(nothing.Selection.Changed))
			return c.common.print(c.streams, nothing)
		case err != nil:
			return err
		}
		next.Before = r
		if r = next; r.Selection == nil || r.Selection.Later == 0 {
			return c.common.print(c.streams, r)
		}
	}
}

// score is one run.
func (c *scorer) score(ctx context.Context) (*scoreReport, error) {
	o, opts, common, s := c.scoreOptions, c.opts, c.common, c.streams
	plan, err := engine.NewPlan(c.look.Planning, opts) //nolint:contextcheck // which is made of this one
	if err == nil {
		defer func() { _ = plan.Close() }()
	}
	if err := cmp.Or(c.look.Held(), err); err != nil {
		return nil, err
	}
	if err := plan.CheckBeside("--report", o.page.path); err != nil {
		return nil, err
	}
	lib, err := c.load()
	if err != nil {
		return nil, err
	}
	log := common.logger(s)
	progress := plan.NewProgress()
	if progress.TotalRows == engine.UnknownRows {
		log.Info("start", "model", modelsText(&opts), "input", "a stream", "onnxruntime", lib.Version)
	} else {
		log.Info("start", "model", modelsText(&opts), "files", len(plan.Dataset.Files()), "rows", plan.Dataset.Rows(),
			"parts", len(plan.Parts), "onnxruntime", lib.Version)
	}
	if sel := plan.Selection; sel != nil {
		log.Info("files chosen", "read", sel.Chosen, "of", sel.Listed, "seen", sel.Seen, "older", sel.Older, "changed", len(sel.Changed), "left_for_later", sel.Later)
	}
	if opts.ProviderReason != "" {
		log.Info("provider chosen", "provider", opts.Provider, "why", opts.ProviderReason)
	}
	for _, path := range plan.Skipped {
		log.Warn("skipped: neither Parquet nor Arrow by name or content", "file", path)
	}
	for _, column := range plan.Dataset.Shadowed() {
		log.Warn("a column stands in the paths and in the files: the paths' values are taken (--partitions says otherwise)", "column", column)
	}
	for _, name := range plan.UnusedFeatures() {
		log.Warn("a feature is not used: the model's own list of features does not name it", "feature", name)
	}
	for _, rewrite := range plan.Rewrites() {
		log.Info("model rewritten", "what", rewrite)
	}
	if m := plan.Explain().Memory; len(m.Lowered) > 0 {
		log.Info("settings lowered for memory", "limit", humanize.IBytes(uint64(m.Limit)), "from", m.Source, "lowered", loweredText(m.Lowered))
	}
	defer limitHeap(plan)()
	progress.OnResume = func(j *ledger.Journal) {
		logResume(log, j, len(plan.Parts))
	}
	progress.OnApart = func(part, deaths int) {
		log.Warn("scoring a part by itself, in a process of its own: earlier starts died in it", "part", part, "times", deaths)
	}
	progress.OnDuplicates = func(d *engine.DuplicatesFound) {
		log.Info("duplicates looked for", "columns", d.Columns, "found", d.Rows, "on_duplicate", d.On, "exact", d.Exact, "seconds", d.Seconds)
	}
	progress.OnChoice = func(c *engine.Choice) {
		settings := []any{"rows", c.BatchRows, "workers", c.Workers}
		if c.Streams > 0 {
			settings = append(settings, "streams", c.Streams)
		}
		log.Info("batches", append(settings, "chosen_by", c.Source, "why", c.Reason)...)
	}
	if common.timeline != nil {
		progress.Record(common.timeline)
	}
	finish := showProgress(s, common, log, progress)
	done := onSignal(ctx, func(cause error) {
		log.Warn("stopping", "why", cause, "grace", o.grace.String())
		plan.Stop(fmt.Errorf("%w: nothing is published", cause), o.grace)
	})
	summary, err := plan.Run(ctx, lib, progress)
	done()
	finish(err == nil && !summary.Already)
	if closedByReader(&opts, err) {
		log.Info("stopping: nobody reads the stream any more", "rows", progress.RowsWritten.Load())
		return nil, &quietError{err}
	}
	if err != nil && summary == nil {
		o.page.writeUnpublished(ctx, &opts, common.settings.place(err), log)
		return nil, err
	}
	if err != nil {
		log.Warn(err.Error()) // published, and untidy
	}
	if summary.Already {
		log.Info("nothing to do: an equal run published this already", "run", summary.Run, "output", summary.Output)
	}
	r := &scoreReport{Summary: *summary, manifest: opts.Piped.Manifest, Selection: plan.Selection, Report: o.page.writePublished(ctx, &opts, summary, log)}
	if o.head > 0 {
		if r.Head, err = readHead(ctx, &opts, summary, o.head); err != nil {
			return nil, fmt.Errorf("the output is published, but its first rows cannot be shown: %w", err)
		}
	}
	return r, nil
}

// scoreReport is the answer of score.
type scoreReport struct {
	engine.Summary
	Selection *engine.Selection `json:"selection,omitempty"` // nil: all that the input names
	Head      *head             `json:"head,omitempty"`
	Report    string            `json:"report,omitempty"` // path of the page that was written
	// Before is the run that had stopped, which this command finished first.
	Before *scoreReport `json:"finished_before,omitempty"`

	manifest string // of a stream; empty where there is none
}

// Text writes the summary as short lines, and the first rows as a table.
func (r *scoreReport) Text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Before != nil {
		if err := r.Before.Text(w); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	if r.Selection != nil {
		line("files", "%s", r.Selection)
		changedText(&b, r.Selection)
	}
	if r.Already {
		line("published", "already, by run %s at %s, of the same model, input, settings and versions: nothing to do (--restart scores again)",
			r.Run, r.Finished.Format("2006-01-02 15:04:05Z"))
	}
	line("read", "%s", counted(r.Rows.Read, "row"))
	line("scored", "%s", counted(r.Rows.Scored, "row"))
	nulled := ""
	if r.Rows.Nulled > 0 {
		nulled = fmt.Sprintf(", %s of them in the output with null predictions", humanize.Comma(r.Rows.Nulled))
	}
	line("rejected", "%s%s", counted(r.Rows.Rejected, "row"), nulled)
	if r.Rows.Filtered > 0 {
		line("filtered", "%s by --where", counted(r.Rows.Filtered, "row"))
	}
	if r.Rejects != nil {
		place := r.Rejects.Name // of a stream
		if r.Output != engine.StreamName {
			place = engine.RejectsPlace(r.Output, r.Run)
		}
		line("rejects", "%s", place)
	}
	if r.Duplicates != nil {
		line("duplicates", "%s", duplicatesText(r.Duplicates))
	}
	if !r.Already {
		r.workLines(line)
	}
	var bytes int64
	for _, o := range r.Outputs {
		bytes += o.Bytes
	}
	switch {
	case r.Output == engine.StreamName:
		line("output", "a stream of %s", humanize.IBytes(uint64(bytes)))
	case engine.TakesRows(r.Output):
		line("output", "%s", r.Output)
		r.manifest = engine.ManifestPlace(r.Output, r.Run)
	default:
		line("output", "%s (%s, %s)", r.Output, counted(int64(len(r.Outputs)), "file"), humanize.IBytes(uint64(bytes)))
		r.manifest = engine.ManifestPlace(r.Output, r.Run)
	}
	if r.manifest != "" {
		line("manifest", "%s", r.manifest)
	}
	if r.Report != "" {
		line("report", "%s", r.Report)
	}
	agreementText(&b, w, r.Agreement, r.NotCompared, runpage.InputNames(r.Manifest))
	if r.Head != nil {
		b.WriteString("\n" + r.Head.table(w) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// workLines say how the run went.
func (r *scoreReport) workLines(line func(name, format string, args ...any)) {
	r.featureLines(line)
	if r.Starts > 1 {
		line("continued", "start %d of this run; earlier ones had finished %s", r.Starts, counted(r.RowsTaken, "row"))
	}
	line("speed", "%s rows/s end to end, %.2f s, %s",
		humanize.Comma(int64(r.RowsPerSecond)), r.Seconds, counted(int64(r.Workers), "worker"))
	for _, d := range r.Devices {
		pieces := ""
		if d.Pieces > 1 {
			pieces = fmt.Sprintf(", each in %d pieces: whole ones did not fit into its memory", d.Pieces)
		}
		line("device", "%d, %s: %s%s", d.Number, d.Name, english.Plural(int(d.Batches), "batch", "batches"), pieces)
	}
	r.nodeLines(line)
	streams := ""
	if r.Choice.Streams > 0 {
		streams = fmt.Sprintf(" on %d streams", r.Choice.Streams)
	}
	line("batches", "of %s rows%s: %s", humanize.Comma(int64(r.BatchRows)), streams, r.Choice.Reason)
	line("copied", "%s into tensors, %s read where it lay", humanize.IBytes(uint64(r.BytesCopied)), humanize.IBytes(uint64(r.BytesViewed)))
	if r.Output != engine.StreamName || r.manifest != "" {
		r.digestLine(line)
	}
	line("memory", "%s at most", humanize.IBytes(uint64(r.PeakMemoryBytes)))
}

// digestLine says what proves the inputs.
func (r *scoreReport) digestLine(line func(name, format string, args ...any)) {
	by := r.Digest.Algorithm
	if by == "" {
		by = "size and time of change"
	}
	if r.Digest.Reason == engine.VersionsReason {
		by = "version"
	}
	line("inputs", "known by %s (%s)", by, r.Digest.Reason)
}

// logResume says what of a run is done already, and which parts killed a start.
func logResume(log *slog.Logger, j *ledger.Journal, parts int) {
	log.Info("continuing", "run", j.Head.Run, "begun", j.Head.Started, "starts_before", len(j.Starts), "parts_done", len(j.Parts), "parts", parts)
	for _, part := range slices.Sorted(maps.Keys(j.Deaths)) {
		log.Warn("an earlier start died while this part was being scored", "part", part, "times", j.Deaths[part])
	}
}

// nodeLines says where nodes run, when that is not on the CPU alone.
func (r *scoreReport) nodeLines(line func(name, format string, args ...any)) {
	for _, on := range slices.Sorted(maps.Keys(r.Nodes)) {
		line("on "+on, "%s", nodesText(r.Nodes[on]))
	}
}

// nodesText lists operators and how many nodes of them there are.
func nodesText(counts map[string]int) string {
	names := make([]string, 0, len(counts))
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[op]; n > 1 {
			op = fmt.Sprintf("%d %s", n, op)
		}
		names = append(names, op)
	}
	return strings.Join(names, ", ")
}

// featureColumnsShown is how many columns one line of the summary names.
const featureColumnsShown = 4

// firstOf joins the first of some names, and says how many more there are of what: two at
// least, since one takes no more room than to say so.
func firstOf(names []string, most int, what string) string {
	if len(names) == most+1 {
		most++
	}
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more%s", more, what)
	}
	return text
}

// featureLines writes one line per null policy, and one about rounded values.
func (r *scoreReport) featureLines(line func(name, format string, args ...any)) {
	type group struct {
		values  int64
		columns []string
	}
	nulls, rounded := map[string]*group{}, &group{}
	for _, f := range ledger.ByColumn(r.Features) {
		if f.Nulls > 0 {
			g := nulls[f.Policy]
			if g == nil {
				g = &group{}
				nulls[f.Policy] = g
			}
			g.values += f.Nulls
			g.columns = append(g.columns, f.Column)
		}
		if f.Rounded > 0 {
			rounded.values += f.Rounded
			rounded.columns = append(rounded.columns, f.Column)
		}
	}
	names := func(columns []string) string { return firstOf(columns, featureColumnsShown, " columns") }
	for _, policy := range slices.Sorted(maps.Keys(nulls)) {
		became := fmt.Sprintf("became %q", policy)
		switch policy {
		case "nan":
			became = "became NaN"
		case "reject":
			became = "had their rows rejected"
		case "error":
			became = "made their rows bad"
		}
		line("nulls", "%s %s, in %s", humanize.Comma(nulls[policy].values), became, names(nulls[policy].columns))
	}
	if rounded.values > 0 {
		line("rounded", "%s, in %s", counted(rounded.values, "value"), names(rounded.columns))
	}
}
