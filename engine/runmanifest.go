package engine

import (
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/klauspost/cpuid/v2"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/dataset"
)

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
		By:      ledger.StarterFromEnvironment(),
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

// complete adds what is known when all rows are written, wherever they went.
func (c *collector) complete(m *ledger.Manifest, line *pipeline, lib *ort.Library, started time.Time) (err error) {
	line.describe(m, lib)
	if m.Predictions, err = c.predictions(); err != nil {
		return err
	}
	m.Finished = time.Now()
	m.Features = c.features.summaries(c.plan)
	m.Work = c.work(line, started, m.Ledger.Read-c.progress.RowsTaken.Load())
	return nil
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
