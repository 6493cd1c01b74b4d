// Package embedded puts rows into a table of a database that is a file: SQLite's and
// DuckDB's, which packages beside this one speak to. It is a table.Database of one
// connection.
//
// The file has one writer: a lock beside it, as every output has, keeps a second run away,
// and what a dead run left is found by the next. Transactions take turns; a part has its
// turn from its first row until its record is committed, so parts come one after another.
// What need not be durable of a journal waits for the next commit.
//
//	holder    the version of these tables, and how often the table was taken
//	run       a row for each run: job, state, and once it is published all of its manifest
//	journal   lines of runs that are not published, and rejects their bytes by part
//	reject    rejected rows of runs that are
//	rows_RUN  staged rows
//
// They stand under the table's name and _millrace: in a schema of that name where there are
// schemas, and else with it and _ before theirs. So do the views runs and predictions.
package embedded
