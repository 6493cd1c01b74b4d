package engine

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/timeline"
)

// UnknownRows as Progress.TotalRows says that nobody knows before the end.
const UnknownRows = -1

// Progress counts what a run has done. It is written by the pipeline and may be
// read at any time.
type Progress struct {
	TotalRows  int64 // of the input; UnknownRows of a stream
	TotalParts int
	// OnChoice, if set, is called once before the first batch.
	OnChoice func(*Choice)
	// OnResume, if set, is called when the run goes on where an earlier start of it
	// stopped.
	OnResume func(*ledger.Journal)
	// OnApart, if set, is called when a part in which so many starts died is about to
	// be scored in a process of its own.
	OnApart func(part, deaths int)
	// OnDuplicates, if set, is called when duplicates have been looked for.
	OnDuplicates func(*DuplicatesFound)
	RowsRead     atomic.Int64
	RowsScored   atomic.Int64 // by ONNX Runtime, rows to reject among them
	RowsWritten  atomic.Int64 // that were scored
	RowsRejected atomic.Int64 // those with null predictions among them
	RowsFiltered atomic.Int64 // those of spans that were not read among them
	PartsDone    atomic.Int64
	// RowsTaken are rows of parts that an earlier start of the run finished; they are
	// among RowsRead, RowsWritten, RowsRejected, RowsFiltered and PartsDone, too.
	RowsTaken atomic.Int64

	batches atomic.Int64 // scored

	// Busy time by stage, summed over its goroutines, in nanoseconds.
	read, assemble, infer, write stageTime
}

// stageTime is a stage's busy time, and who is told of each piece of it, if anyone.
type stageTime struct {
	atomic.Int64
	work     timeline.Work
	recorder *timeline.Recorder
}

// Record has what workers do added to a recorder. It is called before the run.
func (p *Progress) Record(r *timeline.Recorder) {
	for work, stage := range map[timeline.Work]*stageTime{
		timeline.Read: &p.read, timeline.Assemble: &p.assemble, timeline.Run: &p.infer, timeline.Write: &p.write,
	} {
		stage.work, stage.recorder = work, r
	}
}

// take counts a part that an earlier start finished.
func (p *Progress) take(rows ledger.Rows) {
	p.RowsTaken.Add(rows.Read)
	p.add(rows)
}

// add counts a part that another process finished.
func (p *Progress) add(rows ledger.Rows) {
	p.RowsRead.Add(rows.Read)
	p.RowsWritten.Add(rows.Scored)
	p.RowsRejected.Add(rows.Rejected)
	p.RowsFiltered.Add(rows.Filtered)
	p.PartsDone.Add(1)
}

// StageTimes are how long each stage was at work, summed over its goroutines,
// so that with W workers Infer may be W times the wall clock.
type StageTimes struct {
	Read     time.Duration
	Assemble time.Duration
	Infer    time.Duration
	Write    time.Duration
}

// Times returns the stages' times so far.
func (p *Progress) Times() StageTimes {
	return StageTimes{
		Read: time.Duration(p.read.Load()), Assemble: time.Duration(p.assemble.Load()),
		Infer: time.Duration(p.infer.Load()), Write: time.Duration(p.write.Load()),
	}
}

// stopwatch adds the time since it was started to a stage's.
func stopwatch(stage *stageTime) (stop func()) {
	start := time.Now()
	return func() {
		stage.Add(int64(time.Since(start)))
		if stage.recorder != nil {
			stage.recorder.Add(stage.work, start)
		}
	}
}

// tellDuplicates tells what was found, if anything was looked for.
func (p *Progress) tellDuplicates(found *DuplicatesFound) {
	if found != nil && p.OnDuplicates != nil {
		p.OnDuplicates(found)
	}
}
