// Package postgres is PostgreSQL as a place for record batches: where a URI leads, which
// column type holds which Arrow type, and the stream of binary COPY, encoded straight from
// Arrow's arrays.
//
//	ParseTarget   a URI and libpq's own conventions -> a connection and a table
//	Describe      what a table is: columns, keys, how it is divided
//	Fit           whether it takes a schema: every problem at once
//	Copy          COPY ... FROM STDIN (FORMAT binary), pushed a batch at a time
//	Digest        of a table's rows, as Copy summed them up
//
// It refuses types that PostgreSQL has nothing like (docs/postgres.md has the table), and
// values that it cannot hold: text with a NUL byte or that is no UTF-8, times finer than a
// microsecond or beyond its calendar. Names are quoted by pgx.Identifier, values are
// parameters or binary; none is ever put into a statement as it is. A password stands in no
// error, and Target.String leaves it out.
//
// A Copy is for one goroutine; different ones need different connections. Batches are
// borrowed.
package postgres
