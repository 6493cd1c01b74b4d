package engine

import (
	"context"
	"errors"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/format"
)

// ChoiceSource says where a run's settings come from.
type ChoiceSource string

// The sources, the first that applies.
const (
	ChosenByModel   ChoiceSource = "model"   // the model fixes its batch
	ChosenByUser    ChoiceSource = "asked"   // --batch-size
	ChosenByProfile ChoiceSource = "profile" // a tuned profile of this model on this machine
	ChosenByTrial   ChoiceSource = "trial"   // measured on the first rows
	ChosenByDefault ChoiceSource = "default"
)

// Choice is the settings that a run is frozen to, and why.
type Choice struct {
	BatchRows      int          `json:"batch_rows"`
	Workers        int          `json:"workers"`
	IntraOpThreads int          `json:"intra_op_threads"`
	Streams        int          `json:"streams,omitempty"` // on each device
	Source         ChoiceSource `json:"source"`
	Reason         string       `json:"reason"`
	// TrialSeconds is what the trial took of the run, and Tried what it measured.
	TrialSeconds float64 `json:"trial_seconds,omitempty"`
	Tried        []Tried `json:"tried,omitempty"`
}

// Tried is one batch size that a trial measured, on devices with a number of
// streams.
type Tried struct {
	BatchRows     int     `json:"batch_rows"`
	Streams       int     `json:"streams,omitempty"`
	Laps          int     `json:"laps"`
	RowsPerSecond float64 `json:"rows_per_second"` // of the best lap, all workers; 0 where a batch did not fit into a device's memory
}

// choose freezes the plan's batch size, workers and threads, and opens the
// session that the run will use. It is called once, before the first batch.
//
// A run that is continued keeps what it was frozen to when it began, but for
// workers.
func (p *Plan) choose(ctx context.Context, lib *ort.Library, before *Choice) (*scoring, error) {
	opts := &p.Options
	c := Choice{BatchRows: opts.BatchRows, Workers: opts.Workers, IntraOpThreads: opts.IntraOpThreads, Streams: opts.Streams}
	switch {
	case before != nil:
		c = *before
		c.Workers = opts.Workers
	case p.Binding.FixedRows > 0:
		c.Source, c.Reason = ChosenByModel, "the model fixes its batch"
	case p.asked.batch:
		c.Source, c.Reason = ChosenByUser, "--batch-size"
	default:
		c.Source, c.Reason = ChosenByDefault, "the default"
		if tuned, reason := p.tuned(lib); tuned != nil {
			c.Source, c.BatchRows = ChosenByProfile, tuned.BatchRows
			switch {
			case opts.Provider != ort.CPU: // there a profile's workers are Runs in flight
				if !p.asked.streams {
					p.useStreams(&c, tuned.Workers)
				}
			case !p.asked.workers:
				c.Workers = tuned.Workers
			}
			if !p.asked.intraOpThreads {
				c.IntraOpThreads = tuned.IntraOpThreads
			}
			c.Reason = reason
		} else if reason != "" {
			c.Reason = "the default; " + reason
		}
	}
	var t *trial
	switch {
	case c.Source != ChosenByDefault || before != nil:
	case p.live():
		c.Reason += "; a stream's rows are not known before they come, so nothing is measured"
	case p.loadDeaths > 0: // a row of the sample may have killed it: a part's death is found out
		c.Reason += "; an earlier start died before its first part, so this one measures nothing"
	case opts.Provider == ort.TensorRT: // each size would be compiled
		c.Reason += " for TensorRT; `millrace bench --providers tensorrt --save-profile` finds the best"
	default:
		t = p.newTrial(ctx, &c) // reads while the session is opened
		defer t.close()
	}
	if t == nil { // TensorRT compiles for the batch
		opts.BatchRows = c.BatchRows
	}
	opts.Streams = c.Streams
	s, err := p.openScoring(lib, c.IntraOpThreads)
	if err != nil {
		return nil, err
	}
	if c.Source == ChosenByDefault && before == nil && p.loadDeaths == 0 && opts.Provider == ort.CPU {
		p.boundBatch(ctx, s, &c)
	}
	if t != nil {
		t.lower(c.BatchRows)
		if err := t.try(ctx, s, &c); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	opts.BatchRows, opts.Workers, opts.IntraOpThreads, opts.Streams = c.BatchRows, c.Workers, c.IntraOpThreads, c.Streams
	if s.devices != nil {
		s.devices.useStreams(c.Streams)
	}
	p.choice = &c
	if err := p.alignChunks(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// useStreams chooses a number of streams, and as many more or fewer workers, which
// wait for them; see Options.EnsureDefaults.
func (p *Plan) useStreams(c *Choice, streams int) {
	workers := c.Workers + len(p.Options.Devices)*(streams-c.Streams)
	if c.Streams = streams; !p.asked.workers && workers >= 1 && p.fits(c.BatchRows, workers) {
		c.Workers = workers
	}
}

// mostChunkRows bounds the decoded record batches that are as large as a batch.
const mostChunkRows = 1 << 16

// alignChunks has decoded record batches hold whole batches, so that no batch is
// joined from two, unless the memory limit has made them smaller, or has no room.
func (p *Plan) alignChunks() error {
	batch, chunk := p.Options.BatchRows, p.readOptions().ChunkRows
	rows := (chunk + batch - 1) / batch * batch
	if p.Mapped() || p.chunkRows != chunk || rows == chunk || rows > mostChunkRows {
		return nil
	}
	if p.limit > 0 {
		a := p.allotment()
		a.ChunkRows = rows
		if p.footprint().estimate(a).Total > p.limit {
			return nil
		}
	}
	p.chunkRows = rows
	return p.Dataset.SetChunkRows(rows)
}

// mostBatchRows is the largest batch whose tensors stay within bounds.
func (p *Plan) mostBatchRows() int { return int(max(p.mostBatchBytes()/max(p.rowBytes(), 1), 1)) }

func (p *Plan) mostBatchBytes() int64 {
	if p.Options.Provider == ort.CPU {
		return mostTensorBytes
	}
	return maxBatchBytes
}

// Mapped reports whether the input is read where it lies, and not decoded.
func (p *Plan) Mapped() bool {
	for _, f := range p.Dataset.Files() {
		if f.Format != format.ArrowFile && f.Format != format.ArrowStream {
			return false
		}
	}
	return true
}

// ColumnBytes is the size of one row's columns as read, in bytes.
func (p *Plan) ColumnBytes() int64 {
	var row int64
	for _, name := range p.Columns {
		for _, at := range p.Dataset.Schema().FieldIndices(name) {
			row += p.valueBytes(name, p.Dataset.Schema().Field(at).Type)
		}
	}
	return row
}
