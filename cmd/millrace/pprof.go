package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pkg/profile"

	"github.com/millrace/millrace/engine"
)

// profiling is what --profile can record, and the file that it makes.
var profiling = map[string]struct {
	mode func(*profile.Profile)
	file string
}{
	"cpu":   {profile.CPUProfile, "cpu.pprof"},
	"mem":   {allocations, "mem.pprof"},
	"mutex": {profile.MutexProfile, "mutex.pprof"},
	"block": {profile.BlockProfile, "block.pprof"},
	"trace": {profile.TraceProfile, "trace.out"},
}

// startProfile begins to record what --profile says. The function that it gives
// writes the file; it must be called on every way out.
func (o *commonOptions) startProfile(s streams) (stop func(), err error) {
	if o.Profile == "" {
		return func() {}, nil
	}
	kind, ok := profiling[o.Profile]
	if !ok {
		return nil, fmt.Errorf("%w: --profile (%s) must be cpu, mem, mutex, block or trace", engine.ErrUsage, o.Profile)
	}
	// The library ends the process where it cannot write, which is not its
	// business: look before.
	if err := os.MkdirAll(o.ProfileTo, 0o755); err != nil {
		return nil, fmt.Errorf("%w: --profile-to: %w", engine.ErrUsage, err)
	}
	path := filepath.Join(o.ProfileTo, kind.file)
	probe, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%w: --profile-to: %w", engine.ErrUsage, err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("%w: --profile-to: %w", engine.ErrUsage, err)
	}
	// Signals are this program's: the first one drains the run, and the profile
	// of what was done until then is written like any other.
	p := profile.Start(kind.mode, profile.ProfilePath(o.ProfileTo), profile.Quiet, profile.NoShutdownHook)
	return func() {
		p.Stop()
		tool := "go tool pprof "
		if o.Profile == "trace" {
			tool = "go tool trace "
		}
		o.logger(s).Info("profile written", "file", path, "look", tool+path)
	}, nil
}

// allocations records every allocation site, of memory in use and of memory that
// is gone; by itself MemProfileAllocs leaves the sampling rate at 0, which turns
// it off.
func allocations(p *profile.Profile) {
	profile.MemProfileAllocs(p)
	profile.MemProfileRate(profile.DefaultMemProfileRate)(p)
}
