package parquetfile

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/io/format"
)

// damaged returns an error that wraps format.ErrDamaged.
func damaged(message string, args ...any) error {
	return fmt.Errorf("%w: %s", format.ErrDamaged, fmt.Sprintf(message, args...))
}

// unsupported returns an error that wraps format.ErrUnsupported.
func unsupported(message string, args ...any) error {
	return fmt.Errorf("%w: %s", format.ErrUnsupported, fmt.Sprintf(message, args...))
}

// recoverTo turns a panic of the decoding library into an error; files provoke
// them. It must be deferred directly.
func recoverTo(err *error) {
	switch p := recover().(type) {
	case nil:
	case overBudget:
		*err = p.err()
	default:
		*err = damaged("decoder panicked: %v", p)
	}
}

// decodeError is an error of the decoding library about a page.
type decodeError struct{ err error }

func (e *decodeError) Error() string { return e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// guard turns a panic while the leaf is decoded into an error, and says of an
// error of the decoding library whether the page is damaged or uses an encoding
// that the library does not have. It must be deferred directly.
func (l *leaf) guard(err *error) {
	switch p := recover().(type) {
	case nil:
	case overBudget:
		*err = p.err()
	default:
		*err = &decodeError{fmt.Errorf("decoder panicked: %v", p)}
	}
	var lib *decodeError
	switch {
	case !errors.As(*err, &lib):
	case l.unsupported != "":
		*err = unsupported("encoding %s: %v", l.unsupported, *err)
	default:
		*err = damaged("%v", *err)
	}
}
