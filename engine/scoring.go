package engine

import (
	"context"
	"errors"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// scoring is a session of a plan's model and what the workers over it share.
type scoring struct {
	plan    *Plan
	session *ort.Session                    // that of the first device
	devices *devices                        // nil on the CPU
	memory  func(bytes int) ([]byte, error) // of tensors, page-locked; nil on the CPU
	outputs []outputSpec
	pool    *outputPool

	duplicates duplicateSource // of the workers made from now on; nil where they are no rejects
}

// openScoring makes the session of the plan's model; the caller closes it.
func (p *Plan) openScoring(lib *ort.Library, intraOpThreads int) (*scoring, error) {
	return p.openScoringOf(p.Model, lib, intraOpThreads)
}

// openScoringOf makes the session of a model with the inputs and outputs of the
// plan's; the caller closes it.
func (p *Plan) openScoringOf(model *models.Model, lib *ort.Library, intraOpThreads int) (*scoring, error) {
	outputs := append([]outputSpec(nil), p.outputs...)
	names := make([]string, len(outputs))
	for i := range outputs {
		names[i] = outputs[i].value.Name
	}
	open := func(device int) (*ort.Session, error) {
		return ort.NewSession(lib, model, ort.SessionOptions{
			Provider: p.Options.Provider, Device: device, TF32: p.Options.TF32, DeviceMemory: p.Options.DeviceMemory,
			EngineCache: p.Options.EngineCache, BatchRows: p.Options.BatchRows,
			Outputs: names, IntraOpThreads: intraOpThreads,
			// Batches vary in rows at the ends of spans; see SessionOptions.
			DisableMemoryPattern: len(p.Binding.Bindings) > 1,
		})
	}
	s := &scoring{plan: p, outputs: outputs}
	var err error
	if p.Options.Provider == ort.CPU {
		s.session, err = open(0)
	} else {
		s.devices, err = openDevices(p.Options.Devices, p.Options.Streams, func(device int) (computer, error) { return open(device) })
	}
	if err != nil {
		return nil, err
	}
	if s.devices != nil {
		s.session = s.devices.all[0].session.(*ort.Session)
		s.devices.placement = s.session.Placement()
		s.memory = s.devices.host.memory
		err = p.checkPlacement(s.devices.placement)
	}
	if err == nil {
		err = infer(outputs, s.session.Outputs())
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

// usePool gives the workers made from now on output buffers to share, at most
// inFlight of them kept for reuse.
func (s *scoring) usePool(inFlight int) {
	s.pool = newOutputPool(len(s.outputs), inFlight)
	s.pool.memory = s.memory
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
	if s.plan.Options.OnBadRow != BadFail || s.duplicates != nil {
		assembler.RejectBad()
	}
	return &worker{
		scoring: s, assembler: assembler,
		outputs: append([]outputSpec(nil), s.outputs...), pool: s.pool, progress: progress,
		rows: rows, padded: s.plan.padded(), seen: newFeatureCounts(s.plan.Binding),
		onBadRow: s.plan.Options.OnBadRow, refusesNaN: s.plan.Options.RefuseNaN, duplicates: s.duplicates,
	}
}

func (s *scoring) close() error {
	if s.devices != nil {
		return s.devices.close()
	}
	return s.session.Close()
}

// run computes outputs from inputs: on the CPU at once, and on devices as soon as
// one has a place free.
func (s *scoring) run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	if s.devices != nil {
		return s.devices.run(ctx, inputs, outputs)
	}
	return s.session.Run(ctx, inputs, outputs)
}
