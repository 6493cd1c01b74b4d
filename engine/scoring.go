package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// scoring is the sessions of a plan's models and what the workers over them share.
type scoring struct {
	plan     *Plan
	sessions sessions                        // on the CPU, or on the first device
	devices  *devices                        // nil on the CPU
	memory   func(bytes int) ([]byte, error) // of tensors, page-locked; nil on the CPU
	columns  []bool                          // bindings whose columns the sessions take where they lie; see columnar.go
	outputs  []outputSpec
	pool     *outputPool
	witness  witness

	weighed int     // rows of the largest batch that was weighed,
	row     float64 // and what one of them takes, in bytes; see weigh

	duplicates duplicateSource // of the workers made from now on; nil where they are no rejects
}

// openScoring makes the sessions of the plan's models; the caller closes them.
func (p *Plan) openScoring(lib *ort.Library, intraOpThreads int) (*scoring, error) {
	all, columns, err := p.takingColumns()
	if err != nil {
		return nil, err
	}
	s, err := p.openScoringOf(all, lib, intraOpThreads)
	if err == nil {
		s.columns = columns
	}
	return s, err
}

// openScoringOf makes the sessions of models with the inputs and outputs of the
// plan's; the caller closes them.
func (p *Plan) openScoringOf(all []*models.Model, lib *ort.Library, intraOpThreads int) (*scoring, error) {
	s := &scoring{plan: p, outputs: append([]outputSpec(nil), p.outputs...)}
	open := func(device int) (sessions, error) { return p.openSessions(all, lib, device, intraOpThreads) }
	var err error
	if p.Options.Provider == ort.CPU {
		s.sessions, err = open(0)
	} else {
		s.devices, err = openDevices(p.Options.Devices, p.Options.Streams, func(device int) (computer, error) { return open(device) })
	}
	if err != nil {
		return nil, err
	}
	if s.devices != nil {
		s.sessions = s.devices.all[0].session.(sessions)
		s.devices.placement = s.sessions.placement()
		s.memory = s.devices.host.memory
		err = s.checkPlacement()
	}
	if err == nil {
		err = s.sessions.infer(s.outputs)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// reject has the workers made from now on reject duplicates, if there are rows to reject.
func (s *scoring) reject(found *duplicates) {
	if found != nil && s.plan.Options.rejectsDuplicates() {
		s.duplicates = found
	}
}

// openSessions makes a session of each model on one device.
func (p *Plan) openSessions(all []*models.Model, lib *ort.Library, device, intraOpThreads int) (sessions, error) {
	opened := make(sessions, 0, len(all))
	for i, model := range all {
		m := &p.models[i]
		names := make([]string, 0, m.to-m.from)
		for k := m.from; k < m.to; k++ {
			names = append(names, p.outputs[k].value.Name)
		}
		session, err := ort.NewSession(lib, model, ort.SessionOptions{
			Provider: p.Options.Provider, Device: device, TF32: p.Options.TF32, DeviceMemory: p.Options.DeviceMemory,
			EngineCache: p.Options.EngineCache, BatchRows: p.Options.BatchRows,
			Outputs: names, IntraOpThreads: intraOpThreads,
			// Batches vary in rows at the ends of spans; see SessionOptions.
			DisableMemoryPattern: len(m.inputs) > 1,
		})
		if err != nil {
			return nil, errors.Join(m.named(err), opened.Close())
		}
		opened = append(opened, modelSession{session: session, model: m, inputs: m.inputs, from: m.from, to: m.to})
	}
	return opened, nil
}

// checkPlacement refuses nodes on the CPU, unless they are allowed.
func (s *scoring) checkPlacement() error {
	errs := make([]error, len(s.sessions))
	for i := range s.sessions {
		m := &s.sessions[i]
		errs[i] = m.model.named(s.plan.checkPlacement(m.model.Model, m.session.Placement()))
	}
	return errors.Join(errs...)
}

// usePool gives the workers made from now on output buffers to share, at most
// inFlight of them kept for reuse.
func (s *scoring) usePool(inFlight int) {
	s.pool = newOutputPool(len(s.outputs), inFlight)
	s.pool.memory = s.memory
}

// rejectsBad says whether a run goes on without the rows that cannot be scored.
func (p *Plan) rejectsBad() bool {
	return p.Options.OnBadRow != BadFail || p.Options.rejectsDuplicates()
}

// worker makes a scorer of batches of up to rows rows, for one goroutine.
func (s *scoring) worker(rows int, progress *Progress) *worker {
	assembler := s.plan.Binding.NewAssembler(rows, s.plan.Options.Lossy)
	if s.memory != nil {
		assembler.UseMemory(s.memory)
	}
	if s.plan.padded() {
		assembler.Pad()
	}
	assembler.LeaveColumns(s.columns)
	if s.plan.rejectsBad() {
		assembler.RejectBad()
	}
	return &worker{
		scoring: s, assembler: assembler,
		outputs: append([]outputSpec(nil), s.outputs...), pool: s.pool, progress: progress,
		rows: rows, padded: s.plan.padded(), seen: newFeatureCounts(s.plan.Binding),
		rules: s.plan.rules.newChecker(), onBadRow: s.plan.Options.OnBadRow, refusesNaN: s.plan.Options.RefuseNaN, duplicates: s.duplicates,
	}
}

func (s *scoring) close() error {
	s.witness.release()
	if s.devices != nil {
		return s.devices.close()
	}
	return s.sessions.Close()
}

// run computes outputs from inputs: on the CPU at once, and on devices as soon as
// one has a place free.
func (s *scoring) run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	if s.devices != nil {
		return s.devices.run(ctx, inputs, outputs)
	}
	return s.sessions.Run(ctx, inputs, outputs)
}

// weigh finds what a row of a batch takes while run scores one: its tensors, and what ONNX
// Runtime holds of it between the nodes of a model, at most.
func (s *scoring) weigh(rows int, run func() error) (float64, error) {
	type memory interface {
		Memory() (used, peak int64, err error)
	}
	held := make([]int64, len(s.sessions)) // beside weights; of one model after the other
	account := func(of func(i int, used, peak int64)) error {
		for i := range held {
			if m, ok := s.sessions[i].session.(memory); ok {
				used, peak, err := m.Memory()
				if err != nil {
					return err
				}
				of(i, used, peak)
			}
		}
		return nil
	}
	if err := account(func(i int, used, _ int64) { held[i] = -used }); err != nil {
		return 0, err
	}
	if err := run(); err != nil || rows <= s.weighed { // at most is of the larger one
		return s.row, err
	}
	if err := account(func(i int, _, peak int64) { held[i] += peak }); err != nil {
		return 0, err
	}
	s.weighed, s.row = rows, float64(slices.Max(held))/float64(rows)+float64(s.plan.rowBytes())
	return s.row, nil
}
