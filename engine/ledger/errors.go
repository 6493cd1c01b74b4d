package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrExists says that the output is there already, or that something
	// stands in its place which may not be replaced.
	ErrExists = errors.New("output exists")
	// ErrHeld says that another run holds the output; the error is a
	// *HeldError.
	ErrHeld = errors.New("output is held by another run")
	// ErrOutput says that the file system refused an operation; the message
	// names the operation and the path.
	ErrOutput = errors.New("output cannot be written")
	// ErrNotDurable says that the output is published, whole and visible, but
	// the file system could not promise that it outlives a power failure. It
	// wraps ErrOutput.
	ErrNotDurable = fmt.Errorf("%w durably: it is published, and may be lost if power fails now; the same command makes sure", ErrOutput)
	// ErrAccounts says that row accounts do not add up, so that rows were lost
	// or counted twice.
	ErrAccounts = errors.New("row accounts do not add up")
	// ErrManifest says that a manifest cannot be understood.
	ErrManifest = errors.New("not a manifest of this version")
	// ErrOtherJob says that the output has unfinished progress that this job cannot
	// continue; the error is an *OtherJobError.
	ErrOtherJob = errors.New("unfinished progress of another job")
	// ErrInputChanged says that what changed since is the input alone.
	ErrInputChanged = errors.New("input changed")
	// ErrPublished says that there is nothing to do; the error is a
	// *PublishedError.
	ErrPublished = errors.New("published already")
	// ErrDiscarded says that a Staging was used after Discard or Publish.
	ErrDiscarded = errors.New("staged output is published or discarded already")
)

// HeldError names the run that holds an output, or had it meanwhile. It wraps ErrHeld.
type HeldError struct {
	Output string
	// Holder is zero where the holder has not said who it is. It has a run and no process
	// where that run took the output while this one began, and has ended since.
	Holder Holder
}

func (e *HeldError) Error() string {
	if e.Holder == (Holder{}) {
		return fmt.Sprintf("output %q is held by another run", e.Output)
	}
	if e.Holder == (Holder{Run: e.Holder.Run}) {
		return fmt.Sprintf("output %q was taken by run %s while this one began, which has published or ended since; run the same command again", e.Output, e.Holder.Run)
	}
	return fmt.Sprintf("output %q is held by run %s (process %d on %s, since %s)",
		e.Output, e.Holder.Run, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format("2006-01-02T15:04:05Z07:00"))
}

// Unwrap makes errors.Is(err, ErrHeld) true.
func (*HeldError) Unwrap() error { return ErrHeld }

// outputError marks a file system's refusal; err names operation and path.
func outputError(output string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("output %q: %w: %w", output, ErrOutput, err)
}
