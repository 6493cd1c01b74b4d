package engine

import (
	"context"
	"sync"

	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/objects"
)

// HeldLook is a look whether a run holds an output; see Options.LookHeld.
type HeldLook struct {
	// Planning is the context of what is done meanwhile: it ends when a run holds the output.
	Planning context.Context //nolint:containedctx // of one command, as its caller's
	// Held waits for the answer, which is that of Places.Held.
	Held func() error

	done func()
}

// Close ends the look and gives up what was seen and no run took.
func (l *HeldLook) Close() { l.done() }

// LookHeld asks whether a run holds the output; the caller closes the look. A store is asked
// while the run is planned, and what is seen there is kept for it. Other places are asked at
// once, and so are stores by a run whose input is a stream, since what is read of that is gone
// for whoever holds the output.
func (o *Options) LookHeld(ctx context.Context) (*HeldLook, error) {
	look := &HeldLook{Planning: ctx, Held: func() error { return nil }, done: func() {}}
	d, err := o.Places.of(sink.LocalPath(o.Output))
	if _, stored := d.(*objects.Destination); err != nil || !stored || o.StreamsIn() {
		return look, o.Places.Held(ctx, o.Output)
	}
	early := &objects.Early{}
	o.Places.early = early
	planning, cancel := context.WithCancelCause(ctx)
	answer := make(chan error, 1) // the one there is
	go func() {
		err := o.Places.Held(planning, o.Output)
		if err != nil {
			cancel(err)
		}
		answer <- err
	}()
	look.Planning, look.Held = planning, sync.OnceValue(func() error { return <-answer })
	look.done = func() {
		cancel(nil)
		_ = look.Held() // said, or of no interest
		early.Close()
	}
	return look, nil
}
