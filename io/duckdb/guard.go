//go:build duckdb && !duckdb_arrow

package duckdb

// The driver's Arrow interface is behind a tag of its own; without it this does not build.
var _ = build_with_tags_duckdb_and_duckdb_arrow
