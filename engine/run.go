package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/models"
)

// rowGroupRows is the size of the output's row groups. The writer holds one
// until it is full, so this bounds memory; and it is what readers split work by.
const rowGroupRows = 1 << 17

// Summary is what a published run did.
type Summary struct {
	// Already says that an equal run published the output before, and this one did
	// nothing: the rest is that run's.
	Already bool   `json:"already_published,omitempty"`
	Run     string `json:"run"`
	// Starts counts the starts that the run took, and RowsTaken the rows that
	// earlier ones had finished.
	Starts    int   `json:"starts"`
	RowsTaken int64 `json:"rows_taken,omitempty"`

	// Manifest is the published run's.
	Manifest *ledger.Manifest `json:"-"`

	Output   string          `json:"output"`
	Outputs  []ledger.Output `json:"outputs"`
	Rejects  *ledger.Output  `json:"rejects,omitempty"`
	Rows     ledger.Rows     `json:"rows"`
	Started  time.Time       `json:"started"`
	Finished time.Time       `json:"finished"`

	Seconds       float64 `json:"seconds"`         // of this start, from opening the model to publishing
	RowsPerSecond float64 `json:"rows_per_second"` // of this start's rows
	// Stages' busy seconds, summed over their goroutines.
	Stages map[string]float64 `json:"stage_seconds"`

	Provider ort.Provider `json:"provider"`
	Devices  []DeviceUse  `json:"devices,omitempty"`
	// Nodes counts the model's nodes by execution provider and operator; none for a
	// run on the CPU alone.
	Nodes map[string]map[string]int `json:"nodes,omitempty"`

	BatchRows   int     `json:"batch_rows"`
	Workers     int     `json:"workers"`
	Choice      *Choice `json:"choice"` // of both, and why
	Batches     int64   `json:"batches"`
	BytesCopied int64   `json:"bytes_copied"` // written into input tensors
	BytesViewed int64   `json:"bytes_viewed"` // given to ONNX Runtime where they lay

	// PeakMemoryBytes is the most resident memory that the process has had,
	// mapped pages in use among it.
	PeakMemoryBytes int64 `json:"peak_memory_bytes"`

	Features   []FeatureSummary `json:"features"` // those with nulls or rounded values
	ORTVersion string           `json:"ort_version"`
	ORTPath    string           `json:"ort_path"`
	Rewrites   []string         `json:"rewrites,omitempty"`
	// Duplicates are those of Options.Unique; nil without it.
	Duplicates *DuplicatesFound `json:"duplicates,omitempty"`
	// Digest is how the inputs were digested.
	Digest *DigestChoice `json:"digest,omitempty"`
	// Agreement is how far other models agree with the first, and NotCompared are their
	// predictions that nothing is compared with.
	Agreement   []agreement.Summary `json:"agreement,omitempty"`
	NotCompared []string            `json:"not_compared,omitempty"`
	// RewriteCheck is how the first rows compared with the model as exported.
	RewriteCheck *RewriteCheck `json:"rewrite_check,omitempty"`
}

// NewProgress makes the counters for a run of the plan.
func (p *Plan) NewProgress() *Progress {
	if p.live() {
		return &Progress{TotalRows: UnknownRows, TotalParts: len(p.Parts)}
	}
	return &Progress{TotalRows: p.Dataset.Rows(), TotalParts: len(p.Parts)}
}

// Run carries the plan out and publishes the result, or returns an error and
// leaves the output's place as it was. When ctx ends, it stops after the
// batches that are running and its error wraps ctx's cause; see also Stop.
//
// What an earlier start of the same job finished is not done again, and when this
// one stops for a reason that may pass, what is finished stays for the next. Where
// an equal run published the output already, Run does nothing and says so in
// Summary.Already.
//
// With an error that wraps ErrBadRows, rejected rows are kept beside the
// output, and the message says where.
func (p *Plan) Run(ctx context.Context, lib *ort.Library, progress *Progress) (*Summary, error) {
	started := time.Now()
	if p.Options.Output == "" {
		return nil, fmt.Errorf("%w: --output is missing: a directory, or a file that ends in %s", ErrUsage, OneFileEndings)
	}
	if p.Options.StreamsOut() {
		return p.runToStream(ctx, lib, progress)
	}
	job, err := p.job(lib)
	if err != nil {
		return nil, err
	}
	ctx, stopped := p.stopping.begin(ctx)
	defer stopped()
	staging, err := p.stage(ctx, ledger.NewRunID(started), job)
	if done, ok := errors.AsType[*ledger.PublishedError](err); ok {
		return p.alreadyDone(done.Manifest)
	}
	if err != nil {
		return nil, err
	}
	summary, err := p.runStaged(ctx, lib, progress, staging, started)
	if err != nil && summary == nil {
		if lost := staging.TakenOver(); lost != nil { // what failed is what the other run did
			return nil, errors.Join(lost, staging.Discard())
		}
	}
	if err == nil || summary != nil || !resumable(err) {
		// After publishing what is left is untidy; before, the first error counts more.
		return summary, errors.Join(err, staging.Discard())
	}
	kept, suspended := staging.Suspend(err.Error())
	switch {
	case errors.Is(err, ErrDisagree):
		err = fmt.Errorf("%w; nothing is published, and all that is scored is kept: the same command with other limits publishes it, and --restart drops it", err)
	case kept > 0:
		err = fmt.Errorf("%w; %d of %d parts are finished and kept: run the same command again to go on", err, kept, len(p.Parts))
	}
	return nil, errors.Join(err, suspended)
}

// alreadyDone is the summary of a run that found nothing to do. What was published holds
// to this run's limits too.
func (p *Plan) alreadyDone(m *ledger.Manifest) (*Summary, error) {
	s := &Summary{
		Already: true, Manifest: m, Run: m.Run, Output: sink.Shown(p.Options.Output), Outputs: m.Outputs, Rejects: m.Rejects, Rows: m.Ledger,
		Started: m.Started, Finished: m.Finished, Provider: p.Options.Provider, Features: []FeatureSummary{}, ORTVersion: m.Versions.ORT,
	}
	s.Duplicates, _ = recordedSetting[*DuplicatesFound](m, "duplicates") // decides nothing
	var err error
	if s.Agreement, err = recordedSetting[[]agreement.Summary](m, "agreement"); err != nil {
		return nil, err
	}
	if err := p.Options.checkAgreement(s.Agreement); err != nil {
		return nil, fmt.Errorf("output %q was published by an equal run, %s, and now is beyond a limit: %w", sink.Shown(p.Options.Output), m.Run, err)
	}
	return s, nil
}

func (p *Plan) runStaged(ctx context.Context, lib *ort.Library, progress *Progress, staging sink.Staging, started time.Time) (_ *Summary, err error) {
	c := p.newCollector(staging, progress)
	c.digests = p.newDigests(progress, staging.RecordDigest, staging.Taken())
	var before *Choice
	if taken := staging.Taken(); taken != nil {
		var f frozen
		if err := json.Unmarshal(taken.Head.Frozen, &f); err != nil {
			return nil, fmt.Errorf("%w: journal: %w", ErrInternal, err)
		}
		if err := c.resume(taken); err != nil {
			return nil, err
		}
		before = &f.Choice
		if progress.OnResume != nil {
			progress.OnResume(taken)
		}
	}
	found, err := p.findDuplicates(ctx, staging.ScratchDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	if p.duplicates != nil && progress.OnDuplicates != nil {
		progress.OnDuplicates(p.duplicates)
	}
	defer p.readAhead(ctx, c.done)()
	scoring, err := p.load(ctx, lib, staging, before)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	scoring.reject(found)
	if progress.OnChoice != nil {
		progress.OnChoice(p.choice)
	}
	chosen, err := json.Marshal(frozen{Choice: *p.choice})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	if err := staging.Begin(chosen); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.digests.abandon() // when they are canceled
	defer cancel(nil)
	c.digests.start(ctx, cancel)
	checked := func() error { return nil }
	if scoring.devices != nil { // on the CPU rewrites compute the same, but for rounding
		checked = p.checkAside(ctx, cancel, lib, scoring)
	}
	defer func() { err = cmp.Or(checked(), err) }() // before the session is closed
	line := &pipeline{plan: p, source: p.Dataset, progress: progress, collector: c, devices: scoring.devices}
	scoring.usePool(min(int(line.waitingRows())/p.Options.BatchRows+2*p.Options.Workers, maxPooled))
	line.newScorer = func() scorer { return scoring.worker(p.Options.BatchRows, progress) }
	err = line.run(ctx)
	if err == nil && len(c.deadly) > 0 {
		err = c.scoreApart(ctx)
	}
	if errors.Is(err, ErrBadRows) {
		return nil, c.unpublished(ctx, lib, started, err)
	}
	if err != nil {
		return nil, err
	}
	if err := checked(); err != nil {
		return nil, err
	}
	if p.digested, err = c.digests.finish(); err != nil {
		return nil, err
	}
	return c.publish(ctx, line, lib, started)
}

// infer takes shapes that the model's signature leaves open from ONNX Runtime's
// own shape inference.
func infer(specs []outputSpec, values []models.Value) error {
	for i := range specs {
		s := &specs[i]
		if s.value.Kind != models.Tensor || s.static || i >= len(values) || !values[i].HasShape {
			continue
		}
		s.value.Shape, s.value.HasShape = values[i].Shape, true
		if err := s.fromSignature(); err != nil {
			return err
		}
	}
	return nil
}

// emptyFields are the prediction columns of a run without rows; an output
// whose shape only a row could tell counts as one value a row.
func (p *Plan) emptyFields() []arrow.Field {
	var fields []arrow.Field
	for i := range p.outputs {
		s := p.outputs[i]
		if s.item == nil {
			s.item = []int64{}
			if s.value.Kind == models.SequenceOfMaps {
				s.item = []int64{int64(s.labels.Len())}
			}
		}
		fields = append(fields, s.fields()...)
	}
	return fields
}

// publish reconciles the accounts and makes the output visible.
func (c *collector) publish(ctx context.Context, line *pipeline, lib *ort.Library, started time.Time) (*Summary, error) {
	total, err := c.reconcile()
	if errors.Is(err, ErrBadRows) {
		return nil, c.unpublished(ctx, lib, started, err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.agreed(); err != nil {
		if c.single != nil {
			err = errors.Join(err, c.single.abort())
		}
		return nil, err
	}
	if c.single != nil {
		whole, err := c.single.finish()
		if err != nil {
			return nil, errors.Join(err, c.single.abort())
		}
		c.outputs = [][]ledger.Output{{whole}}
	}
	if len(c.plan.Options.PartitionBy) > 0 {
		if err := c.writeEmpty(); err != nil {
			return nil, err
		}
	}
	rejects, err := c.mergeRejects(ctx)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.plan.Dataset.Verify(ctx), c.plan.Dataset.Changed()); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	manifest := c.manifest(lib, c.staging.RunID(), total, rejects)
	line.describe(manifest, lib)
	manifest.Started, manifest.Finished = started, time.Now()
	if taken := c.staging.Taken(); taken != nil {
		manifest.Started = taken.Head.Started
	}
	manifest.By = ledger.StarterFromEnvironment()
	manifest.By.Starts = c.staging.Starts()
	if manifest.Predictions, err = c.predictions(); err != nil {
		return nil, err
	}
	manifest.Features = c.features.summaries(c.plan)
	manifest.Work = c.work(line, started, total.Read-c.progress.RowsTaken.Load())
	if err := c.staging.Publish(manifest); err != nil {
		return nil, err
	}
	return c.summary(line, lib, started, manifest), nil
}

// summary is what a run did that was published just now, by its manifest.
func (c *collector) summary(line *pipeline, lib *ort.Library, started time.Time, m *ledger.Manifest) *Summary {
	counts := line.counts()
	uses, _ := line.devices.uses()
	finished := time.Now()
	seconds := finished.Sub(started).Seconds()
	return &Summary{
		Manifest: m, Run: m.Run, Output: sink.Shown(c.plan.Options.Output), Outputs: c.flatOutputs(), Rejects: m.Rejects, Rows: m.Ledger,
		Started: started.UTC(), Finished: finished.UTC(),
		Seconds: seconds, RowsPerSecond: float64(m.Ledger.Read-c.progress.RowsTaken.Load()) / seconds,
		Starts: m.By.Starts, RowsTaken: c.progress.RowsTaken.Load(),
		Stages:   c.progress.stageSeconds(),
		Provider: c.plan.Options.Provider, Devices: uses, Nodes: m.Nodes,
		BatchRows: c.plan.Options.BatchRows, Workers: c.plan.Options.Workers, Batches: c.batches(), Choice: c.plan.choice,
		BytesCopied: counts.BytesCopied, BytesViewed: counts.BytesViewed,
		PeakMemoryBytes: peakMemory(),
		Features:        m.Features,
		Digest:          c.plan.digested,
		Duplicates:      c.plan.duplicates,
		Agreement:       c.plan.agreement, NotCompared: c.agree.left,
		ORTVersion: lib.Version, ORTPath: lib.Path, Rewrites: c.plan.Rewrites(), RewriteCheck: c.plan.rewriteCheck,
	}
}

// peakMemory is the process's largest resident set so far, in bytes.
func peakMemory() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss << 10 // Linux counts KiB
}

// describe adds what a manifest says of devices.
func (p *pipeline) describe(m *ledger.Manifest, lib *ort.Library) {
	uses, driver := p.devices.uses()
	m.Versions.Driver, m.Nodes = driver, p.devices.nodes()
	if p.plan.Options.Provider == ort.TensorRT {
		m.Versions.TensorRT = ort.TensorRTVersion(lib.Path)
	}
	for _, u := range uses {
		m.Machine.GPUs = append(m.Machine.GPUs, u.Name)
	}
}

func (c *collector) manifest(lib *ort.Library, runID string, total ledger.Rows, rejects *ledger.Output) *ledger.Manifest {
	p := c.plan
	m := &ledger.Manifest{
		Run:      runID,
		Model:    modelFile(p.Model),
		Models:   p.modelFiles(),
		Outputs:  c.flatOutputs(),
		Rejects:  rejects,
		Schema:   c.columns,
		Settings: p.Settings(),
		Versions: ledger.Versions{
			Millrace: p.Options.Build.Version, Commit: p.Options.Build.Commit, Go: runtime.Version(), ORT: lib.Version, Arrow: arrowVersion(),
		},
		Machine: ledger.Machine{CPU: cpuid.CPU.BrandName, Cores: runtime.GOMAXPROCS(0)},
		Ledger:  total,
		Parts:   c.parts,
	}
	for i, f := range p.Dataset.Files() {
		spans := c.index.ofFile(i, c.spans)
		m.Inputs = append(m.Inputs, ledger.Input{
			Path: absolute(f.Path), Format: string(f.Format), Bytes: f.Size, Rows: f.Rows, ModTime: f.ModTime, Version: f.Version, Digest: c.digests.of(i),
			Ledger: ledger.Sum(spans), Spans: spans,
		})
	}
	return m
}

// absolute is a path from the root; a URI is one.
func absolute(path string) string {
	if dataset.Scheme(path) != "" {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// arrowVersion is the version of the Arrow module that was built in.
func arrowVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/apache/arrow-go/v18" {
			return m.Version
		}
	}
	return ""
}
