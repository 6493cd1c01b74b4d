package engine

import (
	"fmt"
	"os"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// CheckBeside refuses a file that a run would write beside its output, by a flag, where the run
// reads it, as an input, a model, or the job file, or its stream goes there. Its error wraps ErrUsage.
func (p *Plan) CheckBeside(flag, path string) error {
	if path == "" {
		return nil
	}
	holds := holder(path)
	if what, _ := p.within(holds); what != "" {
		return fmt.Errorf("%w: %s %s is %s; name another file", ErrUsage, flag, path, what)
	}
	for _, in := range append(endOf(p.Options.Piped.In), p.listed...) {
		if holds(in) {
			return fmt.Errorf("%w: %s %s is the input %s; name another file", ErrUsage, flag, path, in)
		}
	}
	for _, out := range endOf(p.Options.Piped.Out) {
		if holds(out) {
			return fmt.Errorf("%w: %s %s is where %s goes; name another file", ErrUsage, flag, path, out)
		}
	}
	return nil
}

// endOf is the name of an end of a stream, which leads to the file that it was redirected from
// or to; none where it has no name.
func endOf(end any) []string {
	if file, ok := end.(*os.File); ok {
		return []string{file.Name()}
	}
	return nil
}

// within says which of the files that a run is made from, but for its inputs, a place holds.
func (p *Plan) within(holds func(path string) bool) (what, path string) {
	for _, m := range p.models {
		if holds(m.path) {
			return "the model", m.path
		}
	}
	if job := p.Options.JobFile.Path; job != "" && holds(job) {
		return "the job file", job
	}
	return "", ""
}

// checkReplaced refuses an output that is replaced, and would take what lies in it along.
func (p *Plan) checkReplaced() error {
	if p.Options.IfExists != ledger.IfExistsReplace {
		return nil
	}
	if what, path := p.within(holder(p.Options.Output)); what != "" {
		return fmt.Errorf("%w: --if-exists replace: --output %s holds %s %s; write elsewhere", ErrUsage, sink.Shown(p.Options.Output), what, path)
	}
	return nil
}

// checkPiped is CheckBeside of the files that a run of a stream writes.
func (p *Plan) checkPiped() error {
	piped := &p.Options.Piped
	if piped.Rejects != NoRejects {
		if err := p.CheckBeside("--rejects", piped.Rejects); err != nil {
			return err
		}
	}
	return p.CheckBeside("--manifest", piped.Manifest)
}
