// Package pgrows reads rows of a PostgreSQL database.
//
// One statement, in a transaction that sees one snapshot and cannot write, is copied out in
// binary and decoded straight into Arrow's arrays, value by value as it was stored: numerics
// become decimals of their precision, or texts where they have none (docs/queries.md has the
// table of types). What Arrow has nothing like, such as the date infinity, is an error that
// names row and column.
//
// Everything of a Rows is for one goroutine at a time.
package pgrows
