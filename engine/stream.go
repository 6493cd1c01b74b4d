package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// StreamName as the one input, or as the output, stands for an Arrow IPC stream: standard
// input and standard output.
const StreamName = "-"

// Piped are the ends of a run that reads or writes a stream, and what it has in place of
// an output's directory.
type Piped struct {
	// In and Out are the streams. Where they have a SetDeadline, as what package os opens
	// has where it can, a run that stops does not wait for whoever is at their other end.
	In  io.Reader
	Out io.Writer
	// Rejects is the file that rejected rows go to, by its ending; NoRejects drops them.
	Rejects string
	// Manifest is the file that the run's manifest goes to; none where it is empty.
	Manifest string
}

// NoRejects as Piped.Rejects drops rejected rows, which are counted all the same.
const NoRejects = "none"

// StreamsIn says whether the input is a stream.
func (o *Options) StreamsIn() bool { return slices.Contains(o.Inputs, StreamName) }

// StreamsOut says whether the output is a stream.
func (o *Options) StreamsOut() bool { return o.Output == StreamName }

// validateStreams calls bad for what a stream cannot do.
func (o *Options) validateStreams(bad func(f string, args ...any)) {
	if o.StreamsIn() && len(o.Inputs) > 1 {
		bad("--input - is a stream, which is a run's only input (a file of that name is ./-)")
	}
	if o.StreamsIn() && (o.InputFormat == string(format.CSV) || o.InputFormat == string(format.JSONLines)) {
		bad("--input-format %s is of files, and --input - is an Arrow IPC stream: keep the text in a file, and name that", o.InputFormat)
	}
	if !o.StreamsOut() {
		if o.Piped.Rejects != "" || o.Piped.Manifest != "" {
			bad("--rejects and --manifest are for --output -: any other output has them in its _millrace directory")
		}
		return
	}
	switch o.Compression {
	case "", "none", "lz4", "zstd":
	default:
		bad("--compression (%s) must be none, lz4 or zstd: an Arrow stream has no other", o.Compression)
	}
	if len(o.Unique.Columns) > 0 && o.StreamsIn() {
		bad("--unique reads all rows before it lets the first one through, and a stream passes once: give --output a directory or a file, or --input files")
	}
	if name := o.Piped.Rejects; name != "" && name != NoRejects {
		if f, ok := FormatOf(name); !ok || f != format.Parquet {
			bad("--rejects (%s) must be a file that ends in .parquet, or none", name)
		}
	}
}

// checkStreams refuses a plan of a stream some of whose rows would have no place.
func (p *Plan) checkStreams() error {
	if p.Options.StreamsOut() && p.Options.Piped.Rejects == "" && (p.canReject() || p.Options.rejectsDuplicates()) {
		return fmt.Errorf("%w: rows may be rejected, and --output - has no place for them: name a file by --rejects, such as --rejects rejects.parquet, or drop them by --rejects none", ErrUsage)
	}
	return nil
}

// live says that the run scores a stream as it comes.
func (p *Plan) live() bool { return p.stream != nil }

// openStream reads the schema of a stream that is scored as it comes.
func (p *Plan) openStream(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { interrupt(p.Options.Piped.In) })()
	in, err := p.digestedInput()
	if err != nil {
		return err
	}
	stream, err := arrowfile.OpenStream(in, arrowfile.StreamOptions{})
	if err != nil {
		return streamError(ctx, err)
	}
	p.stream, p.Dataset = stream, dataset.OfStream(StreamName, stream.Schema()) //nolint:contextcheck // it has no file to open or read
	return nil
}

// interrupt has a Read or Write that waits for the other end of a pipe fail, where that
// can be done.
func interrupt(end any) {
	if timed, ok := end.(interface{ SetDeadline(t time.Time) error }); ok {
		_ = timed.SetDeadline(time.Unix(1, 0)) // what cannot be interrupted waits
	}
}

// streamError is the error of reading the input's stream.
func streamError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: standard input: %w", dataset.ErrInput, err)
}

// heldBytes bounds the record batches of a stream that are read and not yet written: past
// it none is read. One alone may be larger.
const heldBytes = 64 << 20

// fitStream lets a message take what the memory limit leaves, or by default 4 GiB.
func (p *Plan) fitStream() error {
	if !p.live() {
		return nil
	}
	columns := make([]int, len(p.Columns))
	for i, name := range p.Columns {
		columns[i] = p.Dataset.Schema().FieldIndices(name)[0]
	}
	if p.limit > 0 {
		p.stream.Limit(max((p.limit-p.footprint().estimate(p.allotment()).Total)/2, heldBytes/2))
	}
	return p.stream.Want(columns)
}

// runToStream carries out a plan whose output is a stream: what Run does, but that rows
// are given away as they are scored. Its one step is the stream's end mark.
func (p *Plan) runToStream(ctx context.Context, lib *ort.Library, progress *Progress) (_ *Summary, err error) {
	if p.Options.Piped.Out == nil {
		return nil, fmt.Errorf("%w: --output -: only score writes a stream", ErrUsage)
	}
	started := time.Now()
	ctx, stopped := p.stopping.begin(ctx)
	defer stopped()
	defer context.AfterFunc(ctx, func() {
		interrupt(p.Options.Piped.In)
		interrupt(p.Options.Piped.Out)
	})()
	summary, err := p.runPiped(ctx, lib, progress, started)
	switch {
	case err == nil:
		return summary, nil
	case ctx.Err() != nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled)):
		err = context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w; the stream has no end mark", err)
}

func (p *Plan) runPiped(ctx context.Context, lib *ort.Library, progress *Progress, started time.Time) (_ *Summary, err error) {
	c := p.newCollector(nil, progress)
	c.stream = p.newStreamOut()
	c.stream.run = ledger.NewRunID(started)
	defer c.stream.drop()
	if c.streamRejects, err = c.newStreamRejects(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.streamRejects.drop()) }()
	if err := c.stream.openManifest(p.Options.Piped); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stream.dropManifest()) }()
	found, err := p.findDuplicates(ctx, scratch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	progress.tellDuplicates(p.duplicates)
	scoring, err := p.choose(ctx, lib, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	scoring.reject(found)
	if progress.OnChoice != nil {
		progress.OnChoice(p.choice)
	}
	if fields := scoring.learnShapes(ctx); fields != nil {
		schema, err := c.fixSchema(fields)
		if err != nil {
			return nil, err
		}
		if err := c.stream.begin(schema); err != nil {
			return nil, err
		}
	}
	line := c.newPipeline(scoring)
	err = c.runDigested(ctx, line)
	if errors.Is(err, ErrBadRows) {
		return nil, c.streamRejects.keep(err)
	}
	if err != nil {
		return nil, err
	}
	return c.endStream(ctx, line, lib, started)
}

// runDigested scores everything, and digests the input meanwhile where a manifest asks.
func (c *collector) runDigested(ctx context.Context, line *pipeline) error {
	p := c.plan
	p.digested = &DigestChoice{Asked: p.Options.Digest, Reason: "no --manifest"}
	if p.live() {
		if err := line.runStream(ctx, p.stream, c.stream); err != nil {
			return err
		}
		c.digests = p.receivedDigest()
		return nil
	}
	if p.Options.Piped.Manifest == "" {
		return line.run(ctx)
	}
	c.digests = p.newDigests(c.progress, func(ledger.DigestRecord) error { return nil }, nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.digests.abandon() // when they are canceled
	defer cancel(nil)
	c.digests.start(ctx, cancel)
	if err := line.run(ctx); err != nil {
		return err
	}
	var err error
	p.digested, err = c.digests.finish()
	return err
}

// endStream reconciles the accounts, and ends the stream.
func (c *collector) endStream(ctx context.Context, line *pipeline, lib *ort.Library, started time.Time) (_ *Summary, err error) {
	total, err := c.reconcile()
	if errors.Is(err, ErrBadRows) {
		return nil, c.streamRejects.keep(err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.agreed(); err != nil {
		return nil, err
	}
	if c.stream.rows != total.Written() {
		return nil, fmt.Errorf("%w: %d rows are to be written and %d are in the stream", ledger.ErrAccounts, total.Written(), c.stream.rows)
	}
	rejects, err := c.streamRejects.end()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.plan.Dataset.Changed(), c.plan.overwrittenModel()); err != nil {
		return nil, err
	}
	c.outputs = [][]ledger.Output{{c.stream.account()}}
	manifest := c.manifest(lib, c.stream.run, total, rejects)
	manifest.Started, manifest.By.Starts = started, 1
	if err := c.complete(manifest, line, lib, started); err != nil {
		return nil, err
	}
	if err := manifest.Check(); err != nil {
		return nil, err
	}
	if err := c.writeManifest(lib, manifest); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := c.stream.writer.End(); err != nil {
		return nil, err
	}
	for _, f := range []*besideFile{c.streamRejects.file, c.stream.manifest} {
		if f == nil {
			continue
		}
		if err := f.name(); err != nil {
			return nil, fmt.Errorf("the stream is whole, and: %w", err)
		}
	}
	return c.summary(line, lib, started, manifest), nil
}

// scratch makes a directory for what a run without one of its own spills.
func scratch() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return dir, nil
}
