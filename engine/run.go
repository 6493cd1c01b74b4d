package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// rowGroupRows is the size of the output's row groups. The writer holds one
// until it is full, so this bounds memory; and it is what readers split work by.
const rowGroupRows = 1 << 17

// Summary is what a published run did.
type Summary struct {
	Run      string          `json:"run"`
	Output   string          `json:"output"`
	Outputs  []ledger.Output `json:"outputs"`
	Rejects  *ledger.Output  `json:"rejects,omitempty"`
	Rows     ledger.Rows     `json:"rows"`
	Started  time.Time       `json:"started"`
	Finished time.Time       `json:"finished"`

	Seconds       float64 `json:"seconds"` // from opening the model to publishing
	RowsPerSecond float64 `json:"rows_per_second"`
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
	// RewriteCheck is how the first rows compared with the model as exported.
	RewriteCheck *RewriteCheck `json:"rewrite_check,omitempty"`
}

// FeatureSummary counts what was met in one feature.
type FeatureSummary struct {
	Input   string `json:"input"`
	Column  string `json:"column"`
	Nulls   int64  `json:"nulls"`
	Policy  string `json:"null_policy"`
	Rounded int64  `json:"rounded"`
}

// NewProgress makes the counters for a run of the plan.
func (p *Plan) NewProgress() *Progress {
	return &Progress{TotalRows: p.Dataset.Rows(), TotalParts: len(p.Parts)}
}

// Run carries the plan out and publishes the result, or returns an error and
// leaves the output's place as it was. When ctx ends, it stops after the
// batches that are running and its error wraps ctx's cause.
//
// With an error that wraps ErrBadRows, rejected rows are kept beside the
// output, and the message says where.
func (p *Plan) Run(ctx context.Context, lib *ort.Library, progress *Progress) (*Summary, error) {
	started := time.Now()
	runID := ledger.NewRunID(started)
	_, single := FormatOf(p.Options.Output)
	if p.Options.Output == "" {
		return nil, fmt.Errorf("%w: --output is missing: a directory, or a file that ends in .parquet, .arrow or .csv", ErrUsage)
	}
	staging, err := ledger.Stage(ledger.StageOptions{
		Output: p.Options.Output, Single: single, IfExists: p.Options.IfExists, RunID: runID, Ext: extensions[p.Options.Format],
	})
	if err != nil {
		return nil, err
	}
	summary, err := p.runStaged(ctx, lib, progress, staging, runID, started)
	if discarded := staging.Discard(); discarded != nil {
		// After publishing this is untidy; before, the first error counts more.
		err = errors.Join(err, discarded)
	}
	return summary, err
}

func (p *Plan) runStaged(ctx context.Context, lib *ort.Library, progress *Progress, staging *ledger.Staging, runID string, started time.Time) (_ *Summary, err error) {
	scoring, err := p.choose(ctx, lib)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	if progress.OnChoice != nil {
		progress.OnChoice(p.choice)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	checked := func() error { return nil }
	if scoring.devices != nil { // on the CPU rewrites compute the same bits
		checked = p.checkAside(ctx, cancel, lib, scoring)
	}
	defer func() { err = cmp.Or(checked(), err) }() // before the session is closed
	c := p.newCollector(staging, progress)
	line := &pipeline{plan: p, source: p.Dataset, progress: progress, collector: c, devices: scoring.devices}
	scoring.usePool(min(int(line.waitingRows())/p.Options.BatchRows+2*p.Options.Workers, maxPooled))
	line.newScorer = func() scorer { return scoring.worker(p.Options.BatchRows, progress) }
	err = line.run(ctx)
	if errors.Is(err, ErrBadRows) {
		return nil, c.keepRejects(err)
	}
	if err != nil {
		return nil, errors.Join(err, c.rejects.abort())
	}
	if err := checked(); err != nil {
		return nil, errors.Join(err, c.rejects.abort())
	}
	return c.publish(ctx, line, lib, runID, started)
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

// keepRejects saves the rejects of a run that has too many, and says where.
func (c *collector) keepRejects(cause error) error {
	out, err := c.rejects.finish()
	if err != nil {
		return errors.Join(cause, err)
	}
	if out == nil {
		return cause
	}
	path, err := c.staging.KeepRejects()
	if err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w (nothing is published; the rejected rows are in %s)", cause, path)
}

// publish reconciles the accounts and makes the output visible.
func (c *collector) publish(ctx context.Context, line *pipeline, lib *ort.Library, runID string, started time.Time) (*Summary, error) {
	rejects, err := c.rejects.finish()
	if err != nil {
		return nil, err
	}
	total, err := c.reconcile()
	if err != nil {
		return nil, err
	}
	if err := c.plan.Dataset.Changed(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	finished := time.Now()
	uses, driver := line.devices.uses()
	manifest := c.manifest(lib, runID, total, rejects)
	manifest.Versions.Driver, manifest.Nodes = driver, line.devices.nodes()
	if c.plan.Options.Provider == ort.TensorRT {
		manifest.Versions.TensorRT = ort.TensorRTVersion(lib.Path)
	}
	for _, u := range uses {
		manifest.Machine.GPUs = append(manifest.Machine.GPUs, u.Name)
	}
	manifest.Started, manifest.Finished = started, finished
	if err := c.staging.Publish(manifest); err != nil {
		return nil, err
	}
	counts := line.counts()
	finished = time.Now()
	seconds := finished.Sub(started).Seconds()
	times := c.progress.Times()
	return &Summary{
		Run: runID, Output: c.plan.Options.Output, Outputs: c.outputs, Rejects: rejects, Rows: total,
		Started: started.UTC(), Finished: finished.UTC(),
		Seconds: seconds, RowsPerSecond: float64(total.Read) / seconds,
		Stages: map[string]float64{
			"read": times.Read.Seconds(), "assemble": times.Assemble.Seconds(), "infer": times.Infer.Seconds(), "write": times.Write.Seconds(),
		},
		Provider: c.plan.Options.Provider, Devices: uses, Nodes: manifest.Nodes,
		BatchRows: c.plan.Options.BatchRows, Workers: c.plan.Options.Workers, Batches: c.plan.Batches(), Choice: c.plan.choice,
		BytesCopied: counts.BytesCopied, BytesViewed: counts.BytesViewed,
		PeakMemoryBytes: peakMemory(),
		Features:        featureSummaries(c.plan.Binding, counts),
		ORTVersion:      lib.Version, ORTPath: lib.Path, Rewrites: c.plan.Model.Rewrites, RewriteCheck: c.plan.rewriteCheck,
	}, nil
}

// peakMemory is the process's largest resident set so far, in bytes.
func peakMemory() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss << 10 // Linux counts KiB
}

func featureSummaries(binding *batcher.Plan, counts batcher.Counts) []FeatureSummary {
	all := []FeatureSummary{}
	for i := range counts.Features {
		for j, n := range counts.Features[i] {
			if n.Nulls == 0 && n.Rounded == 0 {
				continue
			}
			b := &binding.Bindings[i]
			all = append(all, FeatureSummary{
				Input: b.Input.Name, Column: b.Features[j].Column, Nulls: n.Nulls, Policy: b.Features[j].Nulls.String(), Rounded: n.Rounded,
			})
		}
	}
	return all
}

func (c *collector) manifest(lib *ort.Library, runID string, total ledger.Rows, rejects *ledger.Output) *ledger.Manifest {
	p := c.plan
	m := &ledger.Manifest{
		Run:      runID,
		Model:    ledger.ModelFile{Path: absolute(p.Model.Path), SHA256: p.Model.SHA256, Bytes: p.Model.Bytes},
		Outputs:  c.outputs,
		Rejects:  rejects,
		Schema:   ledger.Columns(c.schema),
		Settings: p.Settings(),
		Versions: ledger.Versions{
			Millrace: p.Options.Build.Version, Commit: p.Options.Build.Commit, Go: runtime.Version(), ORT: lib.Version, Arrow: arrowVersion(),
		},
		Machine: ledger.Machine{CPU: cpuid.CPU.BrandName, Cores: runtime.GOMAXPROCS(0)},
		Ledger:  total,
		Parts:   c.parts,
	}
	for i, f := range p.Dataset.Files() {
		m.Inputs = append(m.Inputs, ledger.Input{
			Path: absolute(f.Path), Format: string(f.Format), Bytes: f.Size, Rows: f.Rows, ModTime: f.ModTime, Ledger: c.files[i],
		})
	}
	return m
}

// Settings are the run's settings after defaults, for the manifest.
func (p *Plan) Settings() map[string]any {
	o := &p.Options
	nulls := map[string]string{}
	for column, policy := range o.Nulls.ByColumn {
		nulls[column] = policy.String()
	}
	return map[string]any{
		"input": o.Inputs, "output": o.Output, "output_format": o.Format, "compression": o.Compression,
		"ids": o.IDs, "keep": o.Keep, "features": o.Features, "bind": o.Bind,
		"nulls": o.Nulls.Default.String(), "nulls_by_column": nulls, "allow_lossy_casts": o.Lossy == batcher.AllowLossy,
		"model_outputs": o.ModelOutputs, "output_prefix": o.OutputPrefix, "output_layout": o.Layout,
		"provider": o.Provider, "provider_reason": o.ProviderReason, "devices": append([]int{}, o.Devices...), "streams": o.Streams, "tf32": o.TF32, "device_memory": o.DeviceMemory, "allow_cpu_nodes": o.AllowCPUNodes, "engine_cache": o.EngineCache,
		"kernels": o.Kernels, "model_rewrites": append([]string{}, p.Model.Rewrites...), "rewrite_check": p.rewriteCheck, "batch_size": o.BatchRows, "choice": p.choice, "workers": o.Workers, "readers": o.Readers, "part_rows": o.PartRows,
		"intra_op_threads": o.IntraOpThreads, "memory_limit": p.limit, "memory_limit_from": p.limitSource, "memory_lowered": append([]Lowered{}, p.lowered...), "if_exists": o.IfExists, "max_bad_rows": o.MaxRejects,
	}
}

func absolute(path string) string {
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
