package engine

import (
	"errors"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// scoring is a session of a plan's model and what the workers over it share.
type scoring struct {
	plan    *Plan
	session *ort.Session
	outputs []outputSpec
	pool    *outputPool
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
	session, err := ort.NewSession(lib, model, ort.SessionOptions{
		Provider: p.Options.Provider, Outputs: names, IntraOpThreads: intraOpThreads,
		// Batches vary in rows at the ends of spans; see SessionOptions.
		DisableMemoryPattern: len(p.Binding.Bindings) > 1,
	})
	if err != nil {
		return nil, err
	}
	if err := infer(outputs, session.Outputs()); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return &scoring{plan: p, session: session, outputs: outputs}, nil
}

// usePool gives the workers made from now on output buffers to share, at most
// inFlight of them kept for reuse.
func (s *scoring) usePool(inFlight int) { s.pool = newOutputPool(len(s.outputs), inFlight) }

// worker makes a scorer of batches of up to rows rows, for one goroutine.
func (s *scoring) worker(rows int, progress *Progress) *worker {
	return &worker{
		session: s.session, assembler: s.plan.Binding.NewAssembler(rows, s.plan.Options.Lossy),
		outputs: append([]outputSpec(nil), s.outputs...), pool: s.pool, progress: progress,
		rows: rows, padded: s.plan.Binding.FixedRows > 0,
	}
}

func (s *scoring) close() error { return s.session.Close() }
