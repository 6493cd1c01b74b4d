package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// streamDestination is standard output: rows go there in order, and what is out is out,
// so that there is nothing to stage, to hold or to find again; see runToStream.
type streamDestination struct{}

// Traits implements sink.Destination.
func (streamDestination) Traits() sink.Traits { return sink.Traits{Records: true, OneWriter: true} }

// Check implements sink.Destination.
func (streamDestination) Check(opts *sink.Options) error {
	if opts.IfExists != ledger.IfExistsError {
		return fmt.Errorf("--if-exists %s is for an output that can be there before, and --output - is a stream", opts.IfExists)
	}
	return nil
}

// CheckFields implements sink.Destination.
func (streamDestination) CheckFields(fields []arrow.Field) error {
	w, err := arrowfile.NewStreamWriter(io.Discard, arrow.NewSchema(fields, nil), format.WriteOptions{})
	if err != nil {
		return err
	}
	return w.Close()
}

// Held implements sink.Destination.
func (streamDestination) Held(context.Context, string) error { return nil }

// Stage implements sink.Destination; no run asks for it.
func (streamDestination) Stage(context.Context, sink.Options) (sink.Staging, error) {
	return nil, fmt.Errorf("%w: a stream is not staged", ErrInternal)
}
