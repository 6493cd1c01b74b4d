package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/prometheus/procfs"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// Options say what to measure. Zero means default.
type Options struct {
	Engine engine.Options // the run; its Inputs are empty when data are made
	Made   *Made          // the data to make, without Inputs

	BatchRows      []int // sizes to sweep
	Workers        []int
	IntraOpThreads []int

	Repeats int           // of each measurement, warm-ups not counted
	Target  time.Duration // of one repeat of a stage alone
	// SampleRows are the rows that stages after reading work on; by default
	// enough that columns of a mapped file come from memory and not from a cache,
	// and few for formats that are decoded, whose columns do come from a cache.
	SampleRows int
	// SweepOnly leaves out all but the sweep of Runs; AutoOnly the whole runs with
	// fixed batch sizes.
	SweepOnly bool
	AutoOnly  bool

	Dir          string // for made data and outputs; its files are removed again
	Name         string // of the machine
	PricePerHour float64
	Command      []string
	// OnStep, if set, is called before each repeat with what is measured, the
	// share that is done, and the time that the rest will take.
	OnStep func(what string, done float64, left time.Duration)
}

// EnsureDefaults fills zero fields.
func (o *Options) EnsureDefaults() {
	cores := runtime.GOMAXPROCS(0)
	if len(o.BatchRows) == 0 {
		o.BatchRows = []int{256, 1024, 4096, 16384, 65536}
	}
	if len(o.Workers) == 0 {
		o.Workers = []int{1}
		for w := 2; w < cores; w *= 2 {
			o.Workers = append(o.Workers, w)
		}
		if cores > 1 {
			o.Workers = append(o.Workers, cores)
		}
	}
	if len(o.IntraOpThreads) == 0 {
		o.IntraOpThreads = []int{1}
	}
	if o.Repeats == 0 {
		o.Repeats = 10
	}
	if o.Target == 0 {
		o.Target = 250 * time.Millisecond
	}
}

// Validate joins every problem; its error wraps engine.ErrUsage.
func (o *Options) Validate() error {
	var problems []error
	bad := func(f string, args ...any) { problems = append(problems, fmt.Errorf(f, args...)) }
	atLeastOne := func(flag string, list []int) {
		for _, n := range list {
			if n < 1 {
				bad("%s (%d) must be >= 1", flag, n)
			}
		}
	}
	atLeastOne("--batch-sizes", o.BatchRows)
	atLeastOne("--workers", o.Workers)
	atLeastOne("--intra-op-threads", o.IntraOpThreads)
	if o.Repeats < 1 {
		bad("--repeats (%d) must be >= 1", o.Repeats)
	}
	if o.Target < 0 {
		bad("--time (%s) must be > 0", o.Target)
	}
	if o.PricePerHour < 0 {
		bad("--price-per-hour (%v) must be >= 0", o.PricePerHour)
	}
	if o.Made != nil && (o.Made.Rows < 1 || o.Made.NullShare < 0 || o.Made.NullShare > 1) {
		bad("made data of %d rows with %v nulls: --rows must be >= 1, and --null-share within 0 and 1", o.Made.Rows, o.Made.NullShare)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrUsage, errors.Join(problems...))
}

// measurement is a bench in progress.
//
//	sweep     every batch size x workers x threads: Run on tensors in memory;
//	          arm by arm within a round, so that a disturbance hits all of them
//	ceilings  in each round: read, assemble, infer and write alone, with the
//	          sweep's best settings, then end to end with each batch size and
//	          with what --batch-size auto chooses
type measurement struct {
	opts    *Options
	lib     *ort.Library
	run     engine.Options // what is run
	plan    *engine.Plan
	rig     *engine.Rig
	out     *Writer
	energy  *energy
	dir     string
	repeats []Repeat
	steps   steps
}

// Run measures and writes every repeat as it is made. What is measured is kept
// when ctx ends; its error then wraps ctx's cause.
func Run(ctx context.Context, opts Options, lib *ort.Library, records *os.File) (err error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return err
	}
	m := &measurement{opts: &opts, lib: lib, energy: openEnergy("/sys/class/powercap")}
	if m.dir, err = os.MkdirTemp(opts.Dir, "millrace-bench-"); err != nil {
		return fmt.Errorf("%w: folder for outputs: %w", engine.ErrUsage, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	if err := m.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.plan.Close()) }()
	if err := m.openRig(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.closeRig()) }()
	head, err := m.head()
	if err != nil {
		return err
	}
	if m.out, err = NewWriter(records, ledger.NewRunID(head.Started), head); err != nil {
		return err
	}
	best, err := m.sweep(ctx)
	if err != nil || opts.SweepOnly {
		return err
	}
	return m.ceilings(ctx, best)
}

// openRig holds the first rows of the input. The rig is closed again while whole
// runs are measured, whose peak of memory it would be part of.
func (m *measurement) openRig(ctx context.Context) (err error) {
	if m.rig != nil {
		return nil
	}
	rows := m.opts.SampleRows
	if rows == 0 {
		rows = engine.DefaultRigRows
		if l3 := cpuid.CPU.Cache.L3; m.plan.Mapped() && l3 > 0 {
			rows = max(rows, int(int64(4*l3)/max(m.plan.ColumnBytes(), 1)))
		}
	}
	m.rig, err = engine.NewRig(ctx, m.plan, m.lib, rows)
	return err
}

func (m *measurement) closeRig() error {
	if m.rig == nil {
		return nil
	}
	rig := m.rig
	m.rig = nil
	return rig.Close()
}

// prepare makes data if there is none, and plans.
func (m *measurement) prepare(ctx context.Context) (err error) {
	m.run = m.opts.Engine
	if len(m.run.Inputs) == 0 {
		if m.opts.Made == nil {
			return fmt.Errorf("%w: no data: give --input, or --rows to have data made", engine.ErrUsage)
		}
		model, err := models.Open(m.run.Model, models.Options{SHA256: m.run.ModelSHA256})
		if err != nil {
			return err
		}
		m.step("making data", 0)
		made, err := m.opts.Made.make(filepath.Join(m.dir, "made."+extension(m.opts.Made)), model, m.run.Features)
		if err != nil {
			return err
		}
		m.run.Inputs, m.run.IDs = made.Inputs, made.IDs
		if len(m.run.Bind) == 0 && len(m.run.Features) == 0 {
			m.run.Bind = made.Bind
		}
		if len(m.run.Nulls.ByColumn) == 0 && m.run.Nulls.Default.Action == 0 {
			m.run.Nulls = made.Nulls
		}
	}
	m.run.ProfileDir = "" // auto is to be measured, not to be looked up
	m.plan, err = engine.NewPlan(ctx, m.run)
	return err
}

func extension(made *Made) string {
	if made.Format == "" || made.Format == "parquet" {
		return "parquet"
	}
	return "arrow"
}

// head describes what is measured.
func (m *measurement) head() (*Head, error) {
	p := m.plan
	h := &Head{
		Started: time.Now().UTC().Truncate(time.Millisecond), Command: m.opts.Command, PricePerHour: m.opts.PricePerHour,
		Machine: describeMachine(m.opts.Name, m.energy),
		Versions: Versions{
			Millrace: p.Options.Build.Version, Commit: p.Options.Build.Commit, Go: runtime.Version(), ORT: m.lib.Version, Kernels: kernel.Level(),
		},
		Model: Model{Name: filepath.Base(p.Model.Path), SHA256: p.Model.SHA256, Bytes: p.Model.Bytes},
		Data:  Data{Source: "input", Rows: p.Dataset.Rows(), Columns: len(p.Columns), Files: len(p.Dataset.Files())},
	}
	identity := sha256.New()
	formats := map[string]bool{}
	for _, f := range p.Dataset.Files() {
		h.Data.Bytes += f.Bytes
		formats[string(f.Format)] = true
		// Names without folders: the same files lie elsewhere on another machine.
		_, _ = fmt.Fprintf(identity, "%q %d %d\n", filepath.Base(f.Path), f.Size, f.Rows)
	}
	_, _ = fmt.Fprintf(identity, "%q\n", p.Columns)
	names := make([]string, 0, len(formats))
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	h.Data.Format = strings.Join(names, "+")
	if m.opts.Made != nil && len(m.opts.Engine.Inputs) == 0 {
		h.Data.Source = "made"
		identity.Reset()
		text, err := json.Marshal(m.opts.Made)
		if err != nil {
			return nil, fmt.Errorf("describe made data: %w", err)
		}
		_, _ = identity.Write(text)
	}
	h.Data.SHA256 = hex.EncodeToString(identity.Sum(nil))
	return h, nil
}

// arm is one choice of settings on its way through a sweep.
type arm struct {
	Arm
	rates   []float64
	dropped bool
}

func (a *arm) median() float64 {
	sorted := slices.Sorted(slices.Values(a.rates))
	return sorted[len(sorted)/2]
}

// Bounds on arms that cannot win: their median is this far behind the best
// after this many repeats.
const (
	hopelessShare = 0.7
	hopelessAfter = 2
)

// sweep measures Run on tensors in memory, and returns the best settings.
func (m *measurement) sweep(ctx context.Context) (Arm, error) {
	arms := m.arms()
	if len(arms) == 0 {
		return Arm{}, fmt.Errorf("%w: none of the batch sizes %v fits the model", engine.ErrUsage, m.opts.BatchRows)
	}
	rounds := m.opts.Repeats
	m.steps.plan(len(arms)*(rounds+1), m.opts.Target)
	for round := -1; round < rounds; round++ { // the first warms up
		for _, a := range arms {
			if a.dropped {
				m.steps.skip(m.opts.Target)
				continue
			}
			rows := int64(a.BatchRows * a.Workers)
			if len(a.rates) > 0 {
				rows = max(int64(a.median()*m.opts.Target.Seconds()), 1)
			}
			r := Repeat{Stage: StageInfer, Arm: a.Arm, Index: max(round, 0), Warmup: round < 0}
			m.step(fmt.Sprintf("infer: batches of %d, %d workers", a.BatchRows, a.Workers), m.opts.Target)
			err := m.repeat(ctx, &r, func() (engine.Measure, error) {
				return m.rig.Infer(ctx, a.BatchRows, a.Workers, a.IntraOpThreads, rows)
			})
			if err != nil {
				return Arm{}, err
			}
			if round <= 0 { // the warm-up's rate only says how long the first is
				a.rates = a.rates[:0]
			}
			a.rates = append(a.rates, r.RowsPerSecond())
		}
		if round >= 0 {
			if err := m.drop(arms, StageInfer); err != nil {
				return Arm{}, err
			}
		}
	}
	return slices.MaxFunc(arms, byMedian).Arm, nil
}

// arms lists the settings to sweep, those that share a session beside each
// other.
func (m *measurement) arms() []*arm {
	sizes := m.opts.BatchRows
	if fixed := m.plan.Binding.FixedRows; fixed > 0 {
		sizes = []int{fixed}
	}
	var arms []*arm
	for _, intra := range m.opts.IntraOpThreads {
		for _, size := range sizes {
			if int64(size) > min(m.plan.Dataset.Rows(), engine.DefaultRigRows) && size != sizes[0] { // there would be one short batch
				continue
			}
			for _, workers := range m.opts.Workers {
				arms = append(arms, &arm{Arm: Arm{Provider: string(m.plan.Options.Provider), BatchRows: size, Workers: workers, IntraOpThreads: intra}})
			}
		}
	}
	return arms
}

func byMedian(a, b *arm) int {
	switch x, y := a.median(), b.median(); {
	case x < y:
		return -1
	case x > y:
		return 1
	default:
		return 0
	}
}

// drop gives up arms that are far behind.
func (m *measurement) drop(arms []*arm, stage Stage) error {
	best := slices.MaxFunc(arms, byMedian).median()
	for _, a := range arms {
		if a.dropped || len(a.rates) < hopelessAfter || a.median() >= hopelessShare*best {
			continue
		}
		a.dropped = true
		err := m.out.Stop(&Stop{Stage: stage, Arm: a.Arm, After: len(a.rates), Reason: fmt.Sprintf("%.0f%% of the best", 100*a.median()/best)})
		if err != nil {
			return err
		}
	}
	return nil
}

// repeat measures once and writes the record.
func (m *measurement) repeat(ctx context.Context, r *Repeat, do func() (engine.Measure, error)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	runtime.GC() // the garbage of the one before is not this one's
	joules, stolen := m.energy.start(), stealSeconds()
	measured, err := do()
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("measure %s: %w", r.Stage, err)
	}
	r.Joules, r.StealSeconds = joules(), max(stealSeconds()-stolen, 0)
	r.Rows, r.Seconds, r.CPUSeconds = measured.Rows, measured.Elapsed.Seconds(), measured.CPU.Seconds()
	r.BytesCopied, r.BytesViewed = measured.BytesCopied, measured.BytesViewed
	switch r.Stage {
	case StageRead:
		r.BytesRead = measured.Bytes
	case StageWrite:
		r.BytesWritten = measured.Bytes
	case StageAssemble, StageInfer, StageEndToEnd:
	}
	m.repeats = append(m.repeats, *r)
	return m.out.Repeat(r)
}

// stealSeconds are the seconds of this machine's cores, since it started, that
// its hypervisor gave to others.
func stealSeconds() float64 {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0
	}
	return stat.CPUTotal.Steal
}

// resetPeak makes the kernel forget how much memory the process had at most.
func resetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // where it cannot, the peak is of the whole bench
}

func (m *measurement) step(what string, expected time.Duration) {
	done, left := m.steps.next(expected)
	if m.opts.OnStep != nil {
		m.opts.OnStep(what, done, left)
	}
}

// steps keeps what is left to do, in seconds as planned.
type steps struct {
	started       time.Time
	planned, past time.Duration
}

func (s *steps) plan(n int, each time.Duration) {
	if s.started.IsZero() {
		s.started = time.Now()
	}
	s.planned += time.Duration(n) * each
}

func (s *steps) skip(expected time.Duration) { s.planned -= expected }

// next begins a step of the expected length; left assumes that the rest will
// take as much longer than planned as what is past did.
func (s *steps) next(expected time.Duration) (done float64, left time.Duration) {
	if s.planned > 0 {
		done = min(float64(s.past)/float64(s.planned), 1)
		left = s.planned - s.past
		if s.past > 0 {
			left = time.Duration(float64(left) * float64(time.Since(s.started)) / float64(s.past))
		}
	}
	s.past += expected
	return done, left
}
