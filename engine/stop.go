package engine

import (
	"context"
	"sync"
	"time"
)

// stopping is a run's way to an early end.
type stopping struct {
	mu     sync.Mutex
	cancel context.CancelCauseFunc // of the run; nil while none is going on
	crew   *crew                   // nil while no row is being scored
	why    error                   // nil until the run is asked to stop
}

// Stop asks the run that is going on to end: it begins no further part, and finishes
// those that it has begun if that can be done within grace, so that nothing is scored
// twice when the run is continued. Otherwise, or when the time is over, it stops at
// once. The run's error wraps cause. A run that begins later ends at once.
func (p *Plan) Stop(cause error, grace time.Duration) {
	s := p.stopping
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = cause
	}
	switch {
	case s.cancel == nil:
	case p.Options.StreamsOut(): // of which nothing is kept
		s.cancel(cause)
	case s.crew != nil && s.crew.drain(grace):
		time.AfterFunc(grace, func() { s.stopNow(cause) })
	default:
		s.cancel(cause)
	}
}

// stopNow ends the run without waiting for parts.
func (s *stopping) stopNow(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(cause)
	}
}

// begin makes the context of a run, which Stop can end; done must be called.
func (s *stopping) begin(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
	if s.why != nil {
		cancel(s.why)
	}
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancel = nil
		cancel(nil)
	}
}

// at says who is at work, until done is called.
func (s *stopping) at(c *crew) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crew = c
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.crew = nil
	}
}

// cause is why the run was asked to stop; nil if it was not.
func (s *stopping) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}
