package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pkg/profile"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
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
	if o.Profile == deviceProfile {
		kind.file, ok = deviceFile, true
	}
	if !ok {
		return nil, fmt.Errorf("%w: --profile (%s) must be cpu, mem, mutex, block, trace or device", engine.ErrUsage, o.Profile)
	}
	// The library ends the process where it cannot write, which is not its
	// business: look before.
	if err := os.MkdirAll(o.ProfileTo, 0o755); err != nil {
		return nil, fmt.Errorf("%w: --profile-to: %w", engine.ErrUsage, err)
	}
	path := filepath.Join(o.ProfileTo, kind.file)
	if o.Profile == deviceProfile {
		return o.startTimeline(s, path)
	}
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
		if err := checkProfile(path); err != nil {
			// Of the run it says nothing, and so nothing by the exit code; but it is
			// an error, to be told whatever is quiet.
			o.reportError(s, fmt.Errorf("%w: --profile: %w", ledger.ErrOutput, err), exitOutput)
			return
		}
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

// checkProfile reports a profile that is not whole, since what writes it reports
// nothing: one of pprof's is compressed, with a checksum; a trace is not, and is
// cut off by a full disk alone.
func checkProfile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s is empty: it could not be written", path)
	}
	if filepath.Ext(path) == ".pprof" {
		unpacked, err := gzip.NewReader(file)
		if err == nil {
			_, err = io.Copy(io.Discard, unpacked)
		}
		if err != nil {
			return fmt.Errorf("%s is not whole: %w", path, err)
		}
		return nil
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(path, &disk); err == nil && disk.Bavail == 0 {
		return fmt.Errorf("%s is not whole: no space left on device", path)
	}
	return nil
}
