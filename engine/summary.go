package engine

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"

	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
)

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
		PeakMemoryBytes: PeakMemory(),
		Features:        m.Features,
		Digest:          c.plan.digested,
		Duplicates:      c.plan.duplicates,
		Agreement:       c.plan.agreement, NotCompared: c.agree.left,
		ORTVersion: lib.Version, ORTPath: lib.Path, Rewrites: c.plan.Rewrites(), RewriteCheck: c.plan.rewriteCheck,
	}
}

// PeakMemory is the process's largest resident set so far, in bytes; 0 where the system does not
// tell. It is not getrusage's, which of a process that was started by a larger one is that
// one's: a child is a copy of its parent before it becomes a program of its own.
func PeakMemory() int64 {
	self, err := procfs.Self()
	if err != nil {
		return 0
	}
	status, err := self.NewStatus()
	if err != nil {
		return 0
	}
	return int64(status.VmHWM)
}
