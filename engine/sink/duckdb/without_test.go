//go:build !duckdb

package duckdb

import (
	"context"
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/duckdb"
)

// TestNotBuilt: whoever reads what runs wrote is told what whoever writes is.
func TestNotBuilt(t *testing.T) {
	const output = "duckdb:a.duckdb?table=t"
	ctx := context.Background()
	r, ok := New().(sink.Reader)
	if !ok {
		t.Fatal("it cannot be read")
	}
	_, verify := r.Verify(ctx, output, ledger.VerifyOptions{})
	_, runs := r.FindHistories(ctx, output)
	_, seen := r.Seen(ctx, output)
	history := r.WithHistory(ctx, output, func(*ledger.History) error { return nil })
	for name, err := range map[string]error{"Verify": verify, "FindHistories": runs, "Seen": seen, "WithHistory": history} {
		if !errors.Is(err, duckdb.ErrNotBuilt) {
			t.Errorf("%s: %v; want %v", name, err, duckdb.ErrNotBuilt)
		}
	}
}
