//go:build !duckdb

package duckdb

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
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

var _ sink.Reader = Destination{}

// Verify gives duckdb.ErrNotBuilt, as all that reads does.
func (Destination) Verify(context.Context, string, ledger.VerifyOptions) (*ledger.Verification, error) {
	return nil, duckdb.ErrNotBuilt
}

// FindHistories gives duckdb.ErrNotBuilt.
func (Destination) FindHistories(context.Context, string) (*ledger.Found, error) {
	return nil, duckdb.ErrNotBuilt
}

// WithHistory gives duckdb.ErrNotBuilt.
func (Destination) WithHistory(context.Context, string, func(*ledger.History) error) error {
	return duckdb.ErrNotBuilt
}

// Seen gives duckdb.ErrNotBuilt.
func (Destination) Seen(context.Context, string) (*ledger.Seen, error) {
	return nil, duckdb.ErrNotBuilt
}

// ManifestPlace and RejectsPlace know none: no run gets as far.
func (Destination) ManifestPlace(string, string) string { return "" }

// RejectsPlace is as ManifestPlace.
func (Destination) RejectsPlace(string, string) string { return "" }
