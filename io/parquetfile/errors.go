package parquetfile

import (
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

// guard turns a panic while the leaf is decoded into an error. It must be
// deferred directly.
func (l *leaf) guard(err *error) {
	switch p := recover().(type) {
	case nil:
	case overBudget:
		*err = p.err()
	default:
		*err = damaged("decoder panicked: %v", p)
	}
}
