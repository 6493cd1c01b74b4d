package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/duckdb"
	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/engine/sink/objects"
	"github.com/millrace/millrace/engine/sink/postgres"
	"github.com/millrace/millrace/engine/sink/sqlite"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// destinations are the places that an output's name can lead to, by what stands before the
// colon of its URI, or "-" by itself. Names without one are paths.
var destinations = map[string]sink.Destination{
	"s3": inStores, "gs": inStores, "az": inStores,
	"postgres": postgres.Destination{}, "postgresql": postgres.Destination{},
	"sqlite": embedded.Destination{Dialect: sqlite.Dialect{}}, "duckdb": duckdb.New(),
	StreamName: streamDestination{},
}

// inStores are object stores, reached by their own conventions.
var inStores = &objects.Destination{}

// Places say how the places of outputs are reached. The zero value is of use.
type Places struct {
	Buckets blobstore.Options // of object stores

	early *objects.Early // what was seen of an output while the run was planned; see LookHeld
}

// of is destinationOf as it is to be reached.
func (p Places) of(output string) (sink.Destination, error) {
	d, err := destinationOf(output)
	if _, ok := d.(*objects.Destination); ok {
		return &objects.Destination{Buckets: p.Buckets, Early: p.early}, err
	}
	return d, err
}

// destinationOf is the kind of place that an output is. Its error wraps ErrUsage.
func destinationOf(output string) (sink.Destination, error) {
	scheme, _, found := strings.Cut(strings.ToLower(output), ":")
	if d, ok := destinations[scheme]; ok && (found || scheme == "-") {
		return d, checkedOutput(output)
	}
	if _, ok := sink.Scheme(output); !ok {
		return sink.Local{}, checkedOutput(output)
	}
	if scheme == "file" {
		return nil, fmt.Errorf("%w: --output %s: write file:///PATH, from the root, or the path by itself", ErrUsage, sink.Shown(output))
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(destinations)), func(name string) bool { return name == StreamName })
	return nil, fmt.Errorf("%w: --output %s: nothing is known of %s://; give a path or a URI of file, %s%s",
		ErrUsage, sink.Shown(output), scheme, strings.Join(known, ", "), nearest.DidYouMean(scheme, known))
}

// checkedOutput refuses a name that may hold a secret, which would be kept in manifests.
func checkedOutput(output string) error {
	if err := dataset.CheckName(output); err != nil {
		return fmt.Errorf("%w: --output: %w", ErrUsage, err)
	}
	return nil
}

// traitsOf are those of an output's place; of local files where there is no such place.
func traitsOf(output string) sink.Traits {
	if d, err := destinationOf(output); err == nil {
		return d.Traits()
	}
	return sink.Traits{}
}

// TakesRows says whether an output is no file or folder of files.
func TakesRows(output string) bool { return traitsOf(output).Records }

// Held returns an error that wraps ledger.ErrHeld if a run holds an output now. The answer
// may be another a moment later.
func (p Places) Held(ctx context.Context, output string) error {
	output = sink.LocalPath(output)
	d, err := p.of(output)
	if err != nil {
		return err
	}
	return d.Held(ctx, output)
}

// readerOf is the place of an output as one that can be read.
func (p Places) readerOf(output string) (sink.Reader, error) {
	d, err := p.of(output)
	if err != nil {
		return nil, err
	}
	if r, ok := d.(sink.Reader); ok {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %s keeps no account of its runs that could be read", ErrUsage, sink.Shown(output))
}

// Verify compares an output with the manifests of its runs; see ledger.Verify.
func (p Places) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (*ledger.Verification, error) {
	output = sink.LocalPath(output)
	r, err := p.readerOf(output)
	if err != nil {
		return nil, err
	}
	return r.Verify(ctx, output, opts)
}

// FindHistories reads the runs of an output, or of those below a folder; see
// ledger.FindHistories.
func (p Places) FindHistories(ctx context.Context, path string) (*ledger.Found, error) {
	path = sink.LocalPath(path)
	r, err := p.readerOf(path)
	if err != nil {
		return nil, err
	}
	return r.FindHistories(ctx, path)
}

// WithHistory reads the runs of one output, wherever it is, and calls read with them, which
// can read their manifests whole. Its error wraps ledger.ErrNoOutput where there is none, and
// ErrUsage where the place keeps no account.
func (p Places) WithHistory(ctx context.Context, output string, read func(*ledger.History) error) error {
	output = sink.LocalPath(output)
	r, err := p.readerOf(output)
	if err != nil {
		return err
	}
	return r.WithHistory(ctx, output, read)
}

// openHistory reads the manifests of an output whose rows are to be read again: of a table by
// rows, which is nil for files.
func (p Places) openHistory(ctx context.Context, output string) (h *ledger.History, rows sink.RowReader, err error) {
	output = sink.LocalPath(output)
	r, err := p.readerOf(output)
	if err != nil {
		return nil, nil, err
	}
	rows, _ = r.(sink.RowReader)
	err = r.WithHistory(ctx, output, func(of *ledger.History) error {
		h = of
		return nil
	})
	return h, rows, err
}

// ManifestPlace says where the manifest of a published run is: a path, or words.
func ManifestPlace(output, run string) string { return placer(output).ManifestPlace(output, run) }

// RejectsPlace says where the rejects of a published run are: a path, or words.
func RejectsPlace(output, run string) string { return placer(output).RejectsPlace(output, run) }

// placer is the place of an output; that of files where nothing is known of it.
func placer(output string) sink.Reader {
	if r, err := (Places{}).readerOf(output); err == nil {
		return r
	}
	return sink.Local{}
}

// formatFor is the format of files where nobody chooses one. Rows that go elsewhere are
// files only where a part is scored apart.
func formatFor(output string) format.Name {
	if traitsOf(output).Records {
		return format.ArrowFile
	}
	return format.Parquet
}

// checkDestination holds the settings to what the output's place takes.
func (o *Options) checkDestination() error {
	d, err := destinationOf(o.Output)
	if err != nil || o.Output == "" {
		return err
	}
	var problems []error
	_, single := FormatOf(o.Output)
	files := len(o.PartitionBy) > 0 || o.TargetFileBytes > 0
	switch shown := sink.Shown(o.Output); {
	case d.Traits().Records && files:
		problems = append(problems, fmt.Errorf("--partition-by and --target-file-size are of files, and --output %s takes rows", shown))
	case d.Traits().Records && o.Format != formatFor(o.Output):
		problems = append(problems, fmt.Errorf("--output-format %s is of files, and --output %s takes rows: leave it out", o.Format, shown))
	case d.Traits().Records && o.Compression != "" && !o.StreamsOut():
		problems = append(problems, fmt.Errorf("--compression %s is of files, and --output %s takes rows: leave it out", o.Compression, shown))
	case single && files:
		problems = append(problems, fmt.Errorf("--partition-by and --target-file-size need a directory to write files to, and --output %s is one file", shown))
	}
	opts := o.sinkOptions()
	return errors.Join(append(problems, d.Check(&opts))...)
}

// sinkOptions describe the output to its place, but for run and job.
func (o *Options) sinkOptions() sink.Options {
	opts := sink.Options{StageOptions: o.partOptions(), IDs: o.IDs}
	_, opts.Single = FormatOf(o.Output)
	opts.Output, opts.IfExists, opts.Restart = o.Output, o.IfExists, o.Restart
	return opts
}

// partOptions say what files of parts are called, wherever they are staged.
func (o *Options) partOptions() ledger.StageOptions {
	return ledger.StageOptions{Ext: o.partEnding(), PartitionBy: o.PartitionBy, Numbered: o.TargetFileBytes > 0}
}

// stage takes the output for a run.
func (p *Plan) stage(ctx context.Context, run string, job *ledger.Job) (sink.Staging, error) {
	d, err := p.Options.Places.of(p.Options.Output)
	if err != nil {
		return nil, err
	}
	opts := p.Options.sinkOptions()
	opts.Follows = p.follows
	opts.RunID, opts.Job, opts.Pieces, opts.Parts = run, job, p.singleFile(), len(p.Parts)
	opts.Fields = append(slices.Clone(p.Passed), p.Options.nullable(p.knownFields())...)
	opts.AllFields = !slices.ContainsFunc(p.outputs, func(o outputSpec) bool { return o.item == nil })
	return d.Stage(ctx, opts)
}
