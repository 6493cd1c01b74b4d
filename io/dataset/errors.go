package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrInput is wrapped by every error of this package that is about the input
// and not about the caller: something that is missing, unreadable, damaged,
// changed or of the wrong shape.
var ErrInput = errors.New("input cannot be read")

// Sentinels, each of which wraps ErrInput.
var (
	// ErrNoSuchFile says that an input names no file and no directory.
	ErrNoSuchFile error = inputError("no such file or directory")
	// ErrNoMatch says that a glob or a directory gave no file to read.
	ErrNoMatch error = inputError("no file to read")
	// ErrScheme says that an input's URI scheme is not supported.
	ErrScheme error = inputError("URI scheme is not supported")
	// ErrUnknownFormat says that a file is of no format that is read.
	ErrUnknownFormat error = inputError("not an Arrow or Parquet file, nor CSV or JSON Lines by its name")
	// ErrSchema says that files of one dataset differ in columns or types; the
	// error is a *SchemaError.
	ErrSchema error = inputError("files have different schemas")
	// ErrPartitions says that the KEY=VALUE folders of paths make no columns.
	ErrPartitions error = inputError("folders make no columns")
	// ErrNoSuchColumn says that a column was asked for that is not there.
	ErrNoSuchColumn error = inputError("no such column")
	// ErrDuplicateColumn says that a column was asked for whose name stands
	// more than once in the schema.
	ErrDuplicateColumn error = inputError("column name is not unique")
)

// ErrClosed says that a Dataset was used after Close.
var ErrClosed = errors.New("dataset is closed")

// inputError is a sentinel that wraps ErrInput without repeating its text.
type inputError string

func (e inputError) Error() string { return string(e) }
func (inputError) Unwrap() error   { return ErrInput }

// fileError adds ErrInput to an error that already says all there is to say.
type fileError struct{ err error }

func (e *fileError) Error() string   { return e.err.Error() }
func (e *fileError) Unwrap() []error { return []error{ErrInput, e.err} }

// asInput marks err as an input error, unless it is one already or is the
// caller's own cancellation.
func asInput(err error) error {
	if err == nil || errors.Is(err, ErrInput) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &fileError{err}
}

// statError words a failed stat, open or readdir of an input.
func statError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("input %q: %w", path, ErrNoSuchFile)
	}
	return asInput(fmt.Errorf("input %q: %w", path, err))
}

// maxListed is how many problems of one kind a message spells out.
const maxListed = 100

// joinListed joins errors, in order, and counts those past maxListed instead
// of printing them. Nil entries are dropped.
func joinListed(errs []error) error {
	kept := make([]error, 0, min(len(errs), maxListed+1))
	more := 0
	for _, err := range errs {
		switch {
		case err == nil:
		case len(kept) < maxListed:
			kept = append(kept, err)
		default:
			more++
		}
	}
	if more > 0 {
		kept = append(kept, fmt.Errorf("and %d more: %w", more, ErrInput))
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return errors.Join(kept...)
}

// quoteList writes at most n names, quoted, and counts the rest.
func quoteList(names []string, n int) string {
	quoted := make([]string, 0, n+1)
	for i, name := range names {
		if i == n {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-n))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	return strings.Join(quoted, ", ")
}
