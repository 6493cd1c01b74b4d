//go:build !duckdb

package duckdb

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/query"
)

// Rows are those of one table or query.
type Rows struct{}

// Open gives ErrNotBuilt.
func Open(context.Context, string, query.Spec) (*Rows, error) { return nil, ErrNotBuilt }

// Schema is nil.
func (*Rows) Schema() *arrow.Schema { return nil }

// Each gives ErrNotBuilt.
func (*Rows) Each(context.Context, func(arrow.RecordBatch) error) error { return ErrNotBuilt }

// Close does nothing.
func (*Rows) Close() error { return nil }
