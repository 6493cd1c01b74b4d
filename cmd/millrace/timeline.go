package main

import (
	"fmt"
	"io"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/timeline"
)

// deviceProfile is the kind of profile that shows what devices do beside workers, and
// deviceFile the file that it makes.
const (
	deviceProfile = "device"
	deviceFile    = "device.json"
)

// startTimeline begins to record devices, before anything uses them, and workers. The
// function that it gives writes the file.
func (o *commonOptions) startTimeline(s streams, path string) (stop func(), err error) {
	if err := canMake(o.ProfileTo); err != nil {
		return nil, fmt.Errorf("%w: --profile-to: %w", engine.ErrUsage, err)
	}
	recording, err := ort.Record()
	if err != nil {
		return nil, fmt.Errorf("%w: --profile device: %w", engine.ErrUsage, err)
	}
	o.timeline = &timeline.Recorder{}
	return func() {
		shares, dropped, err := writeTimeline(recording, o.timeline, path)
		if err != nil { // as of any profile, that says nothing of the run
			o.reportError(s, fmt.Errorf("%w: --profile: %w", ledger.ErrOutput, err), exitOutput)
			return
		}
		log := o.logger(s)
		for _, d := range shares {
			log.Info(d.String())
		}
		if dropped > 0 {
			log.Warn("the profile is not of the whole: what came last, or too fast, is left out", "dropped", dropped)
		}
		log.Info("profile written", "file", path, "look", "https://ui.perfetto.dev, which opens it in the browser")
	}, nil
}

// writeTimeline ends a recording and writes it, with what workers did.
func writeTimeline(recording *ort.Recording, workers *timeline.Recorder, path string) ([]timeline.Shares, uint64, error) {
	devices, lost, err := recording.Stop()
	if err != nil {
		return nil, 0, err
	}
	spans, dropped := workers.Spans(devices)
	err = writeWhole(path, func(w io.Writer) error { return timeline.WriteTrace(w, spans) })
	return timeline.Overlap(spans), lost + dropped, err
}
