// Package duckdb reads rows of DuckDB's database files.
//
// DuckDB is a library of 60 MB, so it is only there in a program that was built with the
// tags duckdb and duckdb_arrow; the second is the driver's own, for its Arrow interface.
// Without them everything gives ErrNotBuilt.
package duckdb

import "errors"

// ErrNotBuilt says that this program has no DuckDB.
var ErrNotBuilt = errors.New("this millrace was built without DuckDB; build it by make build TAGS=duckdb,duckdb_arrow (go build -tags duckdb,duckdb_arrow ./cmd/millrace)")
