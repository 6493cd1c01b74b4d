// Package postgres publishes a run's rows to a table of PostgreSQL: the dialect of package
// table, and the tables and views that a run keeps beside its own (docs/postgres.md).
//
// They lie in a schema of their own, by default the table's name and _millrace:
//
//	holder     one row: who has the table, and a number that rises when another takes it
//	run        a row for each run
//	journal    lines of journals of runs that are not published
//	rejects    bytes of rejects of parts, until their rows are in
//	reject     rejected rows
//	rows_RUN   staged rows of a run; where the table is divided by runs, its partition
//	           later
//	packed_RUN  staged rows for a table that is not divided by runs, as bytes
//	runs, predictions   views for people
//
// Two things keep a run alone. A session's advisory lock says who has the table, and goes
// with the connection, so that a dead run holds nothing. And each transaction that matters
// shares holder's row and compares its number, so that one who was taken for dead, but only
// stalled, can commit nothing any more.
package postgres
