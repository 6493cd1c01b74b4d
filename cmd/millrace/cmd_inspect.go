package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/models"
)

// inspectOptions say where a model is to run, and on whose kernels.
type inspectOptions struct {
	provider, kernels, partitions string
	lines                         lineOptions
}

func (o *inspectOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&o.provider, "provider", "cpu", "execution `PROVIDER` whose placement of a model's nodes is shown: cuda[:DEVICE] or tensorrt[:DEVICE], which opens a session there; cpu has all nodes, and shows none; or auto")
	fs.StringVar(&o.kernels, "kernels", "auto", "`WHOSE` kernels compute, as for score: auto or onnxruntime")
	addPartitionsFlag(fs, &o.partitions)
	o.lines.AddFlags(fs)
}

func newInspect(s streams, common *commonOptions) *cobra.Command {
	opts := &inspectOptions{}
	cmd := &cobra.Command{
		Use:   "inspect MODEL|DATA [flags]",
		Short: "Show what a model takes and gives and where its nodes run, or what a data set holds: schema, spans, sizes, nulls.",
		Example: `  millrace inspect models/reference/nyc_pipeline.onnx
  millrace inspect models/reference/nyc_pipeline.onnx --provider cuda
  millrace inspect testdata/flights-sample.parquet --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: inspect takes one model, file, directory or quoted glob; %d were given", engine.ErrUsage, len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			run, err := opts.run(common)
			if err != nil {
				return err
			}
			partitions, err := dataset.ParsePartitions(opts.partitions)
			if err != nil {
				return fmt.Errorf("%w: --%w", engine.ErrUsage, err)
			}
			as, read, err := opts.lines.read()
			if err != nil {
				return err
			}
			r, err := inspect(cmd.Context(), args[0], run.Kernels, dataset.Options{Partitions: partitions, Stores: common.stores(), Format: as, Lines: read})
			if err != nil {
				return err
			}
			var unplaced error
			if m, ok := r.(*modelReport); ok && run.Provider != ort.CPU {
				if unplaced = m.place(cmd.Context(), run); m.Placement == nil {
					return unplaced
				}
			}
			return cmp.Or(common.print(s, r), unplaced)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// inspect looks at a model when the name says so, or when it is a file that is
// no data.
func inspect(ctx context.Context, path string, kernels engine.Kernels, opts dataset.Options) (report, error) {
	if strings.HasSuffix(strings.ToLower(path), ".onnx") {
		return inspectModel(ctx, path, kernels, opts.Stores)
	}
	r, err := inspectData(ctx, path, opts)
	if errors.Is(err, dataset.ErrUnknownFormat) {
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			m, modelErr := inspectModel(ctx, path, kernels, opts.Stores)
			if modelErr == nil {
				return m, nil
			}
			return nil, errors.Join(err, modelErr)
		}
	}
	return r, err
}

// modelReport is a model as inspect shows it.
type modelReport struct {
	Kind      string            `json:"kind"` // model
	Path      string            `json:"path"`
	SHA256    string            `json:"sha256"`
	Bytes     int64             `json:"bytes"`
	Producer  string            `json:"producer"`
	IRVersion int64             `json:"ir_version"`
	Opsets    map[string]int64  `json:"opsets"`
	Inputs    []valueReport     `json:"inputs"`
	Outputs   []valueReport     `json:"outputs"`
	Features  []string          `json:"feature_names"`
	Metadata  map[string]string `json:"metadata"`
	Operators map[string]int    `json:"operators"`
	Custom    []string          `json:"custom_operators"`
	Rewrites  []string          `json:"rewrites"` // what score would do to the graph
	External  []string          `json:"external_data"`
	Doc       string            `json:"doc,omitempty"`

	Placement *placementReport `json:"placement,omitempty"` // on a device
}

type valueReport struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // such as float32[N,32]
	Classes any    `json:"classes,omitempty"`
}

func inspectModel(ctx context.Context, path string, kernels engine.Kernels, stores map[string]dataset.Store) (*modelReport, error) {
	m, err := models.Open(path, models.Options{Fetch: engine.FetchModel(ctx, stores)})
	if err != nil {
		return nil, err
	}
	r := &modelReport{
		Kind: "model", Path: path, SHA256: m.SHA256, Bytes: m.Bytes, IRVersion: m.IRVersion, Metadata: m.Metadata,
		Producer: strings.TrimSpace(m.Producer + " " + m.ProducerVersion), Features: m.FeatureNames(), Doc: m.Doc,
		Opsets: map[string]int64{}, Operators: map[string]int{}, Custom: []string{}, External: []string{}, Rewrites: []string{},
		Inputs: []valueReport{}, Outputs: []valueReport{},
	}
	for _, o := range m.Opsets {
		domain := o.Domain
		if domain == "" {
			domain = "ai.onnx"
		}
		r.Opsets[domain] = o.Version
	}
	for _, o := range m.Operators {
		r.Operators[o.String()] = o.Nodes
	}
	for _, o := range m.Custom {
		r.Custom = append(r.Custom, o.String())
	}
	rewritten, _, err := models.StripZipMap(m)
	if err != nil {
		return nil, err
	}
	if kernels == engine.KernelsAuto {
		if rewritten, _, err = models.UseKernels(rewritten); err != nil {
			return nil, err
		}
	}
	r.Rewrites = append(r.Rewrites, rewritten.Rewrites...)
	for _, f := range m.External {
		r.External = append(r.External, f.Location)
	}
	for i := range m.Inputs {
		r.Inputs = append(r.Inputs, describeValue(&m.Inputs[i]))
	}
	for i := range m.Outputs {
		v := describeValue(&m.Outputs[i])
		if labels, ok := m.OutputLabels(i); ok {
			if len(labels.Strings) > 0 {
				v.Classes = labels.Strings
			} else {
				v.Classes = labels.Ints
			}
		}
		r.Outputs = append(r.Outputs, v)
	}
	return r, nil
}

func describeValue(v *models.Value) valueReport {
	r := valueReport{Name: v.Name}
	shape := " of unknown shape"
	if v.HasShape {
		shape = v.Shape.String()
	}
	switch v.Kind {
	case models.SequenceOfMaps:
		r.Type = fmt.Sprintf("sequence of maps from %s to %s (ZipMap)", v.Key, v.Elem)
	case models.Sequence:
		r.Type = "sequence of " + v.Elem.String()
	case models.Map:
		r.Type = fmt.Sprintf("map from %s to %s", v.Key, v.Elem)
	case models.Optional:
		r.Type = "optional " + v.Elem.String()
	case models.SparseTensor:
		r.Type = "sparse " + v.Elem.String() + shape
	default:
		r.Type = v.Elem.String() + shape
	}
	return r
}

// Text writes the signature first, since that is what most people come for.
func (r *modelReport) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model      %s\nsize       %s\nsha256     %s\nproducer   %s\nopsets     %s\n",
		r.Path, humanize.IBytes(uint64(r.Bytes)), r.SHA256, orNone(oneLine(r.Producer)), oneLine(joinMap(r.Opsets)))
	fmt.Fprintf(&b, "operators  %s\n", oneLine(joinMap(r.Operators)))
	if len(r.Custom) > 0 {
		fmt.Fprintf(&b, "custom     %s (ONNX Runtime has no kernel for these)\n", oneLine(strings.Join(r.Custom, ", ")))
	}
	for _, rewrite := range r.Rewrites {
		fmt.Fprintf(&b, "rewritten  %s\n", rewrite)
	}
	if r.Placement != nil {
		r.Placement.text(&b)
	}
	if len(r.External) > 0 {
		fmt.Fprintf(&b, "external   %s\n", oneLine(strings.Join(r.External, ", ")))
	}
	t := newTable(w)
	t.AppendHeader(table.Row{"", "name", "type", "classes"})
	for _, v := range r.Inputs {
		t.AppendRow(table.Row{"input", v.Name, v.Type, ""})
	}
	for _, v := range r.Outputs {
		classes := ""
		if v.Classes != nil {
			classes = fmt.Sprint(v.Classes)
		}
		t.AppendRow(table.Row{"output", v.Name, v.Type, shorten(classes)})
	}
	b.WriteString("\n" + t.Render() + "\n")
	if len(r.Features) > 0 {
		fmt.Fprintf(&b, "\nfeatures   %d: %s\n", len(r.Features), oneLine(strings.Join(r.Features, ", ")))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		if key != "feature_names" {
			fmt.Fprintf(&b, "metadata   %s = %s\n", oneLine(key), shorten(oneLine(r.Metadata[key])))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dataReport is a data set as inspect shows it.
type dataReport struct {
	Kind    string                 `json:"kind"` // data
	Rows    int64                  `json:"rows"`
	Files   []fileReport           `json:"files"`
	Columns []columnReport         `json:"columns"`
	Lines   *engine.ExplainedLines `json:"lines,omitempty"` // of CSV and JSON Lines
}

type fileReport struct {
	Path    string `json:"path"`
	Format  string `json:"format"`
	Bytes   int64  `json:"bytes"`
	Rows    int64  `json:"rows"`
	Spans   int    `json:"spans"`
	Largest int64  `json:"largest_span_rows"`
}

type columnReport struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Nulls    *int64 `json:"nulls"` // nil where the files do not say
	From     string `json:"from"`  // file; path: a KEY=VALUE folder; or path, not file: where a file has the column too
}

func inspectData(ctx context.Context, path string, opts dataset.Options) (*dataReport, error) {
	listing, err := dataset.Lister{Stores: opts.Stores, Format: opts.Format}.List(ctx, []string{path})
	if err != nil {
		return nil, err
	}
	data, err := dataset.Open(ctx, listing.Files, opts)
	if err != nil {
		return nil, err
	}
	r := &dataReport{Kind: "data", Rows: data.Rows(), Columns: []columnReport{}}
	largest := map[int]int64{}
	for _, part := range data.Parts(data.Rows() + 1) {
		for _, span := range part.Spans {
			largest[span.File] = max(largest[span.File], span.Rows)
		}
	}
	for i, f := range data.Files() {
		r.Files = append(r.Files, fileReport{Path: f.Path, Format: string(f.Format), Bytes: f.Size, Rows: f.Rows, Spans: f.Spans, Largest: largest[i]})
	}
	for _, f := range data.Schema().Fields() {
		c := columnReport{Name: f.Name, Type: f.Type.String(), Nullable: f.Nullable, From: "file"}
		if _, ok := data.PartitionValue(0, f.Name); ok {
			c.From = "path"
			if slices.Contains(data.Shadowed(), f.Name) {
				c.From = "path, not file"
			}
		}
		if n, ok := data.NullCount(f.Name); ok {
			c.Nulls = &n
		}
		r.Columns = append(r.Columns, c)
	}
	if data.HasLines() {
		r.Lines = &engine.ExplainedLines{Columns: data.LineColumns()}
	}
	return r, data.Close()
}

// filesShown is how many files Text lists.
const filesShown = 20

// Text writes files and columns as tables.
func (r *dataReport) Text(w io.Writer) error {
	var b strings.Builder
	t := newTable(w)
	t.AppendHeader(table.Row{"file", "format", "rows", "spans", "rows of largest", "size"})
	for i, f := range r.Files {
		if i == filesShown {
			t.AppendRow(table.Row{fmt.Sprintf("and %d more", len(r.Files)-i)})
			break
		}
		t.AppendRow(table.Row{f.Path, f.Format, humanize.Comma(f.Rows), f.Spans, humanize.Comma(f.Largest), humanize.IBytes(uint64(f.Bytes))})
	}
	b.WriteString(t.Render())
	fmt.Fprintf(&b, "\n\n%s, %s\n", counted(r.Rows, "row"), counted(int64(len(r.Columns)), "column"))
	t = newTable(w)
	t.AppendHeader(table.Row{"column", "type", "nullable", "nulls", "from"})
	for _, c := range r.Columns {
		nulls := "unknown"
		if c.Nulls != nil {
			nulls = humanize.Comma(*c.Nulls)
		}
		t.AppendRow(table.Row{c.Name, c.Type, c.Nullable, nulls, c.From})
	}
	b.WriteString(t.Render() + "\n")
	linesText(&b, w, r.Lines)
	_, err := io.WriteString(w, b.String())
	return err
}

func joinMap[V any](m map[string]V) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %v", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "not named"
	}
	return s
}
