package engine

import (
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// stageSeconds are the busy seconds of each stage, summed over its goroutines.
func (p *Progress) stageSeconds() map[string]float64 {
	t := p.Times()
	return map[string]float64{"read": t.Read.Seconds(), "assemble": t.Assemble.Seconds(), "infer": t.Infer.Seconds(), "write": t.Write.Seconds()}
}

// work is how the run went so far, for its manifest.
func (c *collector) work(line *pipeline, started time.Time, rows int64) *ledger.Work {
	counts, host := line.counts(), ledger.StarterFromEnvironment().Host
	w := &ledger.Work{
		Seconds: time.Since(started).Seconds(), Rows: rows,
		StageSeconds: c.progress.stageSeconds(), PeakMemoryBytes: PeakMemory(),
		Batches: c.batches(), BytesCopied: counts.BytesCopied, BytesViewed: counts.BytesViewed,
	}
	if c.stream != nil { // which has one start
		w.Starts = []ledger.StartWork{{Run: c.stream.run, Time: started.UTC(), Host: host, Rows: rows}}
	} else {
		w.Starts = c.startsWork(ledger.StartWork{Run: c.staging.RunID(), Time: started.UTC(), Host: host, Rows: rows})
	}
	if f := c.plan.explainFilter(); f != nil {
		w.Filter = &ledger.FilterWork{FilesSkipped: f.FilesSkipped, SpansSkipped: f.SpansSkipped, RowsSkipped: f.RowsSkipped}
	}
	if drift := c.plan.drifted(); len(drift) > 0 {
		w.Drift = drift
	}
	return w
}

// startsWork is the work of the starts before, and of this one.
func (c *collector) startsWork(this ledger.StartWork) (all []ledger.StartWork) {
	if taken := c.staging.Taken(); taken != nil {
		for _, s := range taken.Starts {
			all = append(all, ledger.StartWork{Run: s.Run, Time: s.Time, Host: s.Host, Rows: s.Rows})
		}
	}
	return append(all, this)
}
