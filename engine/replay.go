package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/models"
)

var (
	// ErrReplayDiffers says that rows scored again got other predictions.
	ErrReplayDiffers = errors.New("predictions differ from those that were published")
	// ErrNoRow says that no row of an output is the one asked for.
	ErrNoRow = errors.New("no row found")
)

// ReplayOptions say which rows of an output to score again.
type ReplayOptions struct {
	Output string
	Where  []Condition // a row meets all of them
	Limit  int         // the most rows; 1 or more
	// Tolerance is how far a number may be from the one published, as a share of
	// the larger of that and 1; 0 asks for equal ones.
	Tolerance float64
	Model     string // where the model is now; as recorded when empty
	// Models are where those of a run of several are now, by name; as recorded for others.
	Models map[string]string
	// Provider, unless empty, scores the rows in place of the recorded one: cpu, for
	// a machine without the devices of the run. Last bits will differ.
	Provider ort.Provider
	// Load finds ONNX Runtime, once rows are found, for the run's provider.
	Load  func(provider ort.Provider) (*ort.Library, error)
	Build Build
	// Stores are where inputs lie that are URIs, by scheme.
	Stores map[string]dataset.Store
	Places Places // of outputs
}

// Condition is a column's value, as text.
type Condition struct{ Column, Value string }

// Replay is what became of rows that were scored again.
type Replay struct {
	Output    string  `json:"output"`
	Tolerance float64 `json:"tolerance"`
	// Rows of each outcome.
	Equal     int `json:"equal"`
	Within    int `json:"within_tolerance"`
	Different int `json:"different"`
	// More says that more rows meet the conditions than the limit allows.
	More     bool          `json:"more"`
	Rows     []ReplayedRow `json:"rows"`
	Rejected []RejectedRow `json:"rejected"`
	Notes    []string      `json:"notes"`
}

// ReplayedRow is one row that was scored again.
type ReplayedRow struct {
	Run         string          `json:"run"`
	File        string          `json:"file"` // of the output; or the output itself, if that is a table
	Row         int64           `json:"row"`  // in that file, from 0; NoRow in a table
	Input       string          `json:"input"`
	InputRow    int64           `json:"input_row"` // in that file, from 0
	Columns     []ColumnValue   `json:"columns"`   // ids and kept columns
	Predictions []ReplayedValue `json:"predictions"`
	Outcome     Outcome         `json:"outcome"` // the worst of its predictions
}

// ColumnValue is a value as text.
type ColumnValue struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// RejectedRow is a row that meets the conditions and was rejected.
type RejectedRow struct {
	Run     string        `json:"run"`
	Input   string        `json:"input"`
	Row     int64         `json:"row"` // in the input file, from 0
	Column  string        `json:"column"`
	Stage   string        `json:"stage"`
	Reason  string        `json:"reason"`
	Columns []ColumnValue `json:"columns"` // ids
}

// Replay finds rows in a published output, scores them again from the recorded
// inputs by the recorded model and settings, and compares. It writes nothing.
//
//	output row ──part, rejects──▶ input row ──batch edges──▶ its batch ──Run──▶ predictions
//
// A part's rows stand in the order of its input, less those rejected, which the
// rejects file lists; so a row's place says which input row it is, and its ids and
// kept columns are compared to be sure. The whole batch that the row was in is
// scored again, with the same edges, since many kernels sum in another order for
// another number of rows: on the same processor, provider and version of ONNX
// Runtime the CPU gives the same bits, elsewhere the last ones may differ.
//
// Its error wraps ErrNoRow, ErrUsage (a column that is not there), an input's
// (gone, changed), or models.ErrModel. That predictions differ is no error here:
// see Err.
func (o ReplayOptions) Replay(ctx context.Context) (*Replay, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	h, rows, err := o.Places.openHistory(ctx, o.Output)
	if err != nil {
		return nil, err
	}
	r := &replayer{opts: o, history: h, rows: rows, Replay: Replay{
		Output: h.Output, Tolerance: o.Tolerance, Rows: []ReplayedRow{}, Rejected: []RejectedRow{}, Notes: []string{},
	}}
	if n := len(h.Problems); n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("millrace verify finds problems with the manifests (%d)", n))
	}
	found, err := r.find(ctx)
	defer releaseHits(found)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && len(r.Rejected) == 0 {
		return nil, fmt.Errorf("%w: none of %q meets %s%s", ErrNoRow, h.Output, o.conditions(), tracelessRows(h.Live()))
	}
	for len(found) > 0 {
		n := 1
		for n < len(found) && found[n].run == found[0].run {
			n++
		}
		if err := r.again(ctx, found[:n]); err != nil {
			return nil, fmt.Errorf("replay of run %s: %w", found[0].run.Run, err)
		}
		found = found[n:]
	}
	return &r.Replay, nil
}

// Err is nil unless predictions differ by more than the tolerance.
func (r *Replay) Err() error {
	if r.Different == 0 {
		return nil
	}
	return fmt.Errorf("%w: in %d of %d rows by more than the tolerance of %g", ErrReplayDiffers, r.Different, len(r.Rows), r.Tolerance)
}

func (o *ReplayOptions) validate() error {
	var problems []error
	if len(o.Where) == 0 {
		problems = append(problems, errors.New("--where is missing: COLUMN=VALUE, such as --where id=4711"))
	}
	if o.Limit < 1 {
		problems = append(problems, fmt.Errorf("--limit (%d) must be >= 1", o.Limit))
	}
	if !(o.Tolerance >= 0) || math.IsInf(o.Tolerance, 0) {
		problems = append(problems, fmt.Errorf("--tolerance (%g) must be a number >= 0", o.Tolerance))
	}
	if o.Provider != "" && o.Provider != ort.CPU {
		problems = append(problems, fmt.Errorf("--provider (%s) must be cpu, or left out: the one that the run had", o.Provider))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
}

// replayer is a replay in progress.
type replayer struct {
	Replay
	opts    ReplayOptions
	history *ledger.History
	rows    sink.RowReader // of an output that is a table; nil for files
}

// again scores the rows found in the output of one run.
func (r *replayer) again(ctx context.Context, found []*hit) (err error) {
	m := found[0].run.Manifest
	opts, err := r.optionsOf(m)
	if err != nil {
		return err
	}
	locate := r.locate
	if r.rows != nil {
		locate = r.locateByIDs
	}
	p := &replayed{manifest: m, rank: plainRank}
	if p.layout, err = recordedLayout(m, opts.PartRows); err != nil {
		return err
	}
	defer func() {
		if p.plan != nil {
			err = errors.Join(err, p.plan.Close())
		}
	}()
	if err := locate(ctx, p, opts, found); err != nil {
		return err
	}
	plan := p.plan
	lib, err := r.opts.Load(plan.Options.Provider)
	if err != nil {
		return err
	}
	if lib.Version != m.Versions.ORT {
		r.Notes = append(r.Notes, fmt.Sprintf("run %s was scored by ONNX Runtime %s, and is by %s now: last bits may differ", m.Run, m.Versions.ORT, lib.Version))
	}
	if err := guarded(func() error { return r.score(ctx, p, lib) }); err != nil {
		return cmp.Or(plan.Dataset.Changed(), err) // the cause, and not the symptom
	}
	if r.rows != nil {
		err = r.pair(found, p.scored)
	}
	return cmp.Or(plan.Dataset.Changed(), err)
}

// optionsOf are the options of a run, to score some of its rows again.
func (r *replayer) optionsOf(m *ledger.Manifest) (Options, error) {
	opts, err := OptionsOf(m)
	if err != nil {
		return opts, fmt.Errorf("%w (this millrace is %s: replay with the one that made the run)", err, r.opts.Build.Version)
	}
	if err := r.opts.place(&opts); err != nil {
		return opts, err
	}
	opts.PartRows = cmp.Or(opts.PartRows, DefaultPartRows)
	// What follows decides no prediction: nothing is written, and one batch at a
	// time is scored.
	opts.Output, opts.IfExists, opts.MemoryLimit, opts.Build, opts.Stores = "", "", NoMemoryLimit, r.opts.Build, r.opts.Stores
	opts.Workers, opts.Readers = 1, 1
	if r.opts.Provider != "" && r.opts.Provider != opts.Provider {
		r.Notes = append(r.Notes, fmt.Sprintf("run %s was scored on %s, and is on %s now: last bits may differ", m.Run, opts.Provider, r.opts.Provider))
		opts.Provider, opts.ProviderReason, opts.Devices, opts.Streams = r.opts.Provider, "", nil, 0
		opts.TF32, opts.DeviceMemory, opts.AllowCPUNodes = false, 0, false
	}
	return opts, nil
}

// place puts the models where they are now.
func (o *ReplayOptions) place(opts *Options) error {
	names := make([]string, len(opts.Models))
	for i := range opts.Models {
		m := &opts.Models[i]
		names[i], m.Model = m.Name, cmp.Or(o.Models[m.Name], m.Model)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Models)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: --model: the run has no model %q%s", ErrUsage, name, nearest.DidYouMean(name, names))
		}
	}
	if o.Model == "" {
		return nil
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: --model (%s): the run has the models %q; say NAME=FILE", ErrUsage, o.Model, names)
	}
	opts.Model = o.Model
	return nil
}

// replayed is a run that is planned again, and what is recorded of it.
type replayed struct {
	plan     *Plan // nil before input is opened
	layout   *layout
	manifest *ledger.Manifest
	rank     ranking
	rows     []*hit   // to score, in the order of the input
	scored   []scored // of candidates, what came of it
}

// locate finds the input row of each row found, and plans the run again over the
// files that their batches need. A manifest that lists spans tells which these are,
// so that no other input needs to be there still; else all are opened.
func (r *replayer) locate(ctx context.Context, p *replayed, opts Options, found []*hit) (err error) {
	m := p.manifest
	if p.layout == nil {
		if p.plan, err = r.planOf(ctx, m, opts, everyIndex(len(m.Inputs))); err != nil {
			return err
		}
		p.layout = p.plan.layout()
	}
	if err := p.layout.fits(m); err != nil {
		return err
	}
	open := func(files []int) error {
		if p.plan != nil {
			return nil
		}
		if p.plan, err = r.planOf(ctx, m, opts, files); err != nil {
			return err
		}
		return p.layout.open(p.plan.Dataset, files)
	}
	// How many rows of a span pass before a rejected one only the filter tells, and which
	// rows went to a folder only the values of all rows.
	filtered := p.layout.passed != nil && leavesOut(m, found)
	if filtered || len(m.PartitionBy) > 0 {
		if err := open(p.layout.filesOf(found)); err != nil {
			return err
		}
	}
	if filtered {
		p.rank = p.plan.ranks(ctx, p.layout)
	}
	if err := r.places(ctx, p, found); err != nil {
		return err
	}
	p.rows = found
	return open(p.layout.near(found, int64(opts.BatchRows)))
}

// planOf plans the run of a manifest again over some of its inputs, after a look
// that these are as they were.
func (r *replayer) planOf(ctx context.Context, m *ledger.Manifest, opts Options, files []int) (*Plan, error) {
	for _, i := range files {
		if err := r.unchanged(ctx, &m.Inputs[i]); err != nil {
			return nil, err
		}
	}
	return r.planOver(ctx, m, opts, files)
}

// unchanged says why rows of an input cannot be scored as they were.
func (r *replayer) unchanged(ctx context.Context, in *ledger.Input) error {
	if in.Path == StreamName {
		return fmt.Errorf("%w: the run's input was a stream on standard input, which is gone: its rows cannot be scored again", dataset.ErrInput)
	}
	err := in.Changed(ctx, r.opts.Stores)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w; the row cannot be scored as it was: restore it (with its time of change, where the manifest has no digest)", format.ErrChanged, err)
}

// planOver plans the run of a manifest again over some of its inputs; the model's digest is
// pinned.
func (r *replayer) planOver(ctx context.Context, m *ledger.Manifest, opts Options, files []int) (*Plan, error) {
	opts.Inputs, opts.OnlyNew, opts.OnChanged, opts.Since = nil, false, "", time.Time{} // these are chosen
	for _, i := range files {
		opts.Inputs = append(opts.Inputs, m.Inputs[i].Path)
	}
	plan, err := NewPlan(ctx, opts)
	if errors.Is(err, models.ErrModel) {
		return nil, fmt.Errorf("%w (--model names the place where it is now)", err)
	}
	return plan, err
}

// places finds the place of each row found in its part's input, and sorts by it.
func (r *replayer) places(ctx context.Context, p *replayed, found []*hit) error {
	rejected, err := r.rejectedRows(ctx, p, found)
	if err != nil {
		return err
	}
	if len(p.manifest.PartitionBy) > 0 {
		if err := p.folderPlaces(ctx, found, rejected); err != nil {
			return err
		}
	} else {
		placesAmong(found, rejected)
	}
	for _, f := range found {
		if f.place < 0 || f.place >= p.layout.rowsOfPart(f.part) {
			return fmt.Errorf("%w: %q has a row %d, and part %d of the input has no row for it", ledger.ErrUnsound, f.file, f.row, f.part)
		}
	}
	slices.SortStableFunc(found, func(a, b *hit) int { return cmp.Or(a.part-b.part, cmp.Compare(a.place, b.place)) })
	return nil
}

// placesAmong gives rows their places by their numbers in their parts, from which rejected
// ones are missing.
func placesAmong(found []*hit, rejected map[int][]int64) {
	for _, f := range found {
		f.place = f.row - f.first
		for _, gone := range rejected[f.part] { // in order
			if gone <= f.place {
				f.place++
			}
		}
	}
}

// tracelessRows says how many rows runs passed over, of which an output has no trace.
func tracelessRows(live []*ledger.Recorded) string {
	rows := int64(0)
	for _, run := range live {
		if run.Manifest != nil {
			rows += run.Manifest.Ledger.Filtered
		}
	}
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("; %s that where left out have no trace in the output", english.Plural(int(rows), "row", ""))
}
