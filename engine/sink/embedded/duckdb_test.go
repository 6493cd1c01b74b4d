//go:build duckdb && duckdb_arrow

package embedded_test

import "github.com/millrace/millrace/engine/sink/duckdb"

func init() { dialects = append(dialects, duckdb.Dialect{}) }
