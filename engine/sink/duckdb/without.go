//go:build !duckdb

package duckdb

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/duckdb"
)

// Destination is what stands for tables of DuckDB where it was not built in.
type Destination struct{}

// New gives a destination that refuses all.
func New() sink.Destination { return Destination{} }

// Traits says that parts are rows.
func (Destination) Traits() sink.Traits { return sink.Traits{Records: true, OneWriter: true} }

// Check gives duckdb.ErrNotBuilt.
func (Destination) Check(*sink.Options) error { return duckdb.ErrNotBuilt }

// CheckFields finds nothing.
func (Destination) CheckFields([]arrow.Field) error { return nil }

// Held finds nothing.
func (Destination) Held(context.Context, string) error { return nil }

// Stage gives duckdb.ErrNotBuilt.
func (Destination) Stage(context.Context, sink.Options) (sink.Staging, error) {
	return nil, duckdb.ErrNotBuilt
}
