package engine

import "fmt"

// CheckBeside refuses a file that a run would write beside its output, by a flag, where the run
// reads it: an input, a model, or the job file. Its error wraps ErrUsage.
func (p *Plan) CheckBeside(flag, path string) error {
	if path == "" {
		return nil
	}
	holds := holder(path)
	for _, m := range p.models {
		if holds(m.path) {
			return fmt.Errorf("%w: %s %s is the model; name another file", ErrUsage, flag, path)
		}
	}
	if job := p.Options.JobFile.Path; job != "" && holds(job) {
		return fmt.Errorf("%w: %s %s is the job file; name another file", ErrUsage, flag, path)
	}
	for _, in := range p.listed {
		if holds(in) {
			return fmt.Errorf("%w: %s %s is the input %s; name another file", ErrUsage, flag, path, in)
		}
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
