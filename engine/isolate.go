package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/models"
)

// deadlyDeaths is how many starts must have died in a part for it to be scored apart:
// one may be the machine's fault.
const deadlyDeaths = 2

// ErrDied says that the process in which a part was scored by itself died.
var ErrDied = errors.New("the process died")

// ErrDeadly says that a part of the input kills every process that scores it; what
// can be scored is, and is kept.
var ErrDeadly = fmt.Errorf("%w: it kills the process", models.ErrModel)

// ErrApart says that a part that was scored in a process of its own failed there.
var ErrApart = errors.New("a part that was scored apart failed")

// Apart is what a process is told that scores one part by itself. A part in which
// starts of a run died is left to the end, when everything else is finished and kept,
// and is then scored by another process, which may die too:
//
//	run:        Staging.Apart makes a directory; apart.json in it is this
//	            Options.ScoreApart starts the process and waits for it
//	process:    Plan.ScoreApart stages the part there, notes before every batch
//	            where it is, and records the part in a journal of its own
//	run:        Staging.Adopt takes the part over; or, where the process died,
//	            a second one goes through that batch row by row, to find which it is
type Apart struct {
	Part   int    `json:"part"`
	Run    string `json:"run"`
	Job    string `json:"job"` // its digest: the process must come to the same
	Choice Choice `json:"choice"`
	// Narrow, if set, is a batch to score row by row, and nothing else.
	Narrow *place `json:"narrow,omitempty"`
}

// place is rows of a file.
type place struct {
	File int   `json:"file"`
	Row  int64 `json:"row"`
	Rows int64 `json:"rows"`
}

// Names in the directory of a part that is scored apart.
const (
	apartFile = "apart.json"
	placeFile = "place.json" // the rows that are being scored
)

// deadly lists the parts that are to be scored apart, with how many starts died there.
func (p *Plan) deadly(staging sink.Staging, j *ledger.Journal, done []bool) map[int]int {
	deadly := map[int]int{}
	if _, can := staging.(sink.Apart); p.Options.ScoreApart == nil || !can {
		return deadly
	}
	for part, deaths := range j.Deaths {
		if deaths >= deadlyDeaths && part >= 0 && part < len(done) && !done[part] {
			deadly[part] = deaths
		}
	}
	return deadly
}

// load chooses what was left to the run, and opens the session. A model that kills every
// process that loads it is left alone the third time.
func (p *Plan) load(ctx context.Context, lib *ort.Library, staging sink.Staging, before *Choice) (*scoring, error) {
	if p.loadDeaths = staging.LoadDeaths(); p.loadDeaths >= deadlyDeaths {
		return nil, fmt.Errorf("%w: %d starts died while it was loaded, before a row was scored (or were killed then, as when memory runs out); try --kernels onnxruntime or another ONNX Runtime (--ort-lib), and please report it with the model; the next start tries again",
			ErrDeadly, p.loadDeaths)
	}
	if err := staging.Loading(); err != nil {
		return nil, err
	}
	s, err := p.choose(ctx, lib, before)
	if noted := staging.Loaded(); noted != nil && s != nil {
		return nil, errors.Join(noted, s.close())
	}
	return s, err
}

// unscored is which parts are left to the run's workers: false by part.
func (c *collector) unscored() []bool {
	rest := slices.Clone(c.done)
	for part := range c.deadly {
		rest[part] = true
	}
	return rest
}

// scoreApart scores the deadly parts, each in a process of its own. One that dies does
// not keep the others from being scored.
func (c *collector) scoreApart(ctx context.Context) error {
	var died []error
	for _, part := range slices.Sorted(maps.Keys(c.deadly)) {
		if c.progress.OnApart != nil {
			c.progress.OnApart(part, c.deadly[part])
		}
		err := c.scorePartApart(ctx, Apart{Part: part, Run: c.staging.RunID(), Job: c.apart().Job(), Choice: *c.plan.choice})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrDeadly):
			died = append(died, err)
		case err != nil:
			return err
		}
	}
	return errors.Join(died...)
}

// apart is the staging where parts are deadly, which they are only in one that takes what
// others staged.
func (c *collector) apart() sink.Apart { return c.staging.(sink.Apart) }

// scorePartApart scores one part in another process and takes it over. Where the first
// dies, a second one looks closer. The error wraps ErrDeadly where that dies too.
func (c *collector) scorePartApart(ctx context.Context, a Apart) error {
	dir, err := c.inProcess(ctx, a)
	if errors.Is(err, ErrDied) && ctx.Err() == nil {
		a.Narrow, _ = readPlace(dir) // nil: it died before it scored a row
		dir, err = c.inProcess(ctx, a)
	}
	if errors.Is(err, ErrDied) {
		at, _ := readPlace(dir)
		return c.explainDeath(a.Part, at, err)
	}
	if err != nil {
		return fmt.Errorf("%w: part %d: %w", ErrApart, a.Part, err)
	}
	record, err := c.apart().Adopt(dir, a.Part)
	if err != nil {
		return err
	}
	if err := c.takeOver(&record); err != nil {
		return err
	}
	c.progress.add(record.Rows)
	return c.plan.checkBadRows(c.progress.RowsRejected.Load())
}

// inProcess starts a process for a part and waits for it.
func (c *collector) inProcess(ctx context.Context, a Apart) (dir string, err error) {
	if dir, err = c.apart().Apart(); err != nil {
		return "", err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInternal, err)
	}
	if err := os.WriteFile(filepath.Join(dir, apartFile), text, 0o666); err != nil {
		return "", fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return dir, c.plan.Options.ScoreApart(ctx, filepath.Join(dir, apartFile))
}

// explainDeath says where a process died, and what to do; at is nil where it had not
// begun to score.
func (c *collector) explainDeath(part int, at *place, died error) error {
	where := "before it scored a row"
	if at != nil {
		path := c.plan.Dataset.Files()[at.File].Path
		where = fmt.Sprintf("at row %d of %s", at.Row, path)
		if at.Rows > 1 {
			where = fmt.Sprintf("at rows %d to %d of %s, as one batch and not one by one", at.Row, at.Row+at.Rows-1, path)
		}
	}
	return fmt.Errorf("%w: %d starts died in part %d (%s), and in a process of its own it died %s: %w; leave that out of the input, or try --kernels onnxruntime or another ONNX Runtime (--ort-lib), each of which is a new run (--restart), and please report it with the model",
		ErrDeadly, c.deadly[part], part, c.partText(part), where, died)
}

// partText says which rows a part has.
func (c *collector) partText(part int) string {
	spans, files := c.plan.Parts[part].Spans, c.plan.Dataset.Files()
	if len(spans) == 0 {
		return "no rows"
	}
	first, last := spans[0], spans[len(spans)-1]
	end := last.FirstRow + last.Rows - 1
	if first.File == last.File {
		return fmt.Sprintf("rows %d to %d of %s", first.FirstRow, end, files[first.File].Path)
	}
	return fmt.Sprintf("from row %d of %s to row %d of %s", first.FirstRow, files[first.File].Path, end, files[last.File].Path)
}

// readPlace reads which rows a process was scoring.
func readPlace(dir string) (*place, error) {
	text, err := os.ReadFile(filepath.Join(dir, placeFile))
	if err != nil {
		return nil, err
	}
	var at place
	return &at, json.Unmarshal(text, &at)
}

// ScoreApart scores the one part that the file at path, an Apart, says, for another
// process to take over.
func (p *Plan) ScoreApart(ctx context.Context, lib *ort.Library, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: --isolated-part: %w", ErrUsage, err)
	}
	var a Apart
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("%w: --isolated-part %s: %w", ErrUsage, path, err)
	}
	job, err := p.job(lib)
	if err != nil {
		return err
	}
	if a.Part < 0 || a.Part >= len(p.Parts) || job.Digest() != a.Job {
		return fmt.Errorf("part %d: %w since the run began, or its model", a.Part, ledger.ErrInputChanged)
	}
	opts := p.Options.partOptions()
	opts.RunID, opts.Job = a.Run, job
	staged, err := ledger.StageApart(filepath.Dir(path), opts)
	if err != nil {
		return err
	}
	staging := sink.LocalStaging(staged)
	ctx, stopped := p.stopping.begin(ctx)
	defer stopped()
	if err := p.stageApart(ctx, lib, staging, &a, filepath.Dir(path)); err != nil {
		return errors.Join(err, staging.Discard())
	}
	_, err = staging.Suspend("to be taken over")
	return err
}

// stageApart scores the part with one worker, so that what it was scoring when it died
// is known.
func (p *Plan) stageApart(ctx context.Context, lib *ort.Library, staging sink.Staging, a *Apart, dir string) (err error) {
	p.Options.Workers, p.Options.Readers = 1, 1
	progress := p.NewProgress()
	c := p.newCollector(staging, progress)
	c.single = nil // the run's own process joins pieces
	for part := range c.done {
		c.done[part] = part != a.Part
	}
	found, err := p.findDuplicates(ctx, staging.ScratchDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	scoring, err := p.choose(ctx, lib, &a.Choice)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	scoring.reject(found)
	if err := staging.Begin(json.RawMessage("{}")); err != nil {
		return err
	}
	line := &pipeline{plan: p, source: p.Dataset, progress: progress, collector: c, devices: scoring.devices}
	scoring.usePool(min(int(line.waitingRows())/p.Options.BatchRows+2, maxPooled))
	line.newScorer = func() scorer {
		return &placedScorer{scorer: scoring.worker(p.Options.BatchRows, progress), path: filepath.Join(dir, placeFile), narrow: a.Narrow}
	}
	return line.run(ctx)
}
