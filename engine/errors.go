package engine

import "errors"

var (
	// ErrBadRows says that more rows cannot be scored than the run allows.
	ErrBadRows = errors.New("rows cannot be scored")
	// ErrInterrupted says that the run was asked to stop.
	ErrInterrupted = errors.New("interrupted")
	// ErrInternal says that millrace itself is at fault.
	ErrInternal = errors.New("internal error, a fault of millrace's; please report it")
)
