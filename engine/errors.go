package engine

import "errors"

var (
	// ErrBadRows says that more rows cannot be scored than the run allows.
	ErrBadRows = errors.New("rows cannot be scored")
	// ErrInterrupted says that the run was asked to stop.
	ErrInterrupted = errors.New("interrupted")
)
