package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrNoOutput says that a path is no output of a run, or has nothing left by
	// which it could be known as one.
	ErrNoOutput = errors.New("not an output of millrace's")
	// ErrUnread says that a place could not be looked at: nothing is known of its output.
	ErrUnread = errors.New("output cannot be read")
	// ErrUnsound says that an output is not, or not provably, what its runs
	// published.
	ErrUnsound = errors.New("the output is not as it was published")
)

// Problem is one thing that is wrong with an output.
type Problem struct {
	// File is where, relative to the output directory, or to the folder of a
	// single file; an input or a model by its path; empty for the output as such.
	File string `json:"file"`
	Run  string `json:"run,omitempty"` // whose account is contradicted
	What string `json:"what"`
	Do   string `json:"do"`
}

// String is the problem as one line that no name in it can break.
func (p Problem) String() string {
	line := p.What + "; " + p.Do
	if p.File != "" {
		line = fmt.Sprintf("%q: %s", p.File, line)
	}
	return visible(line)
}
