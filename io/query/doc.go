// Package query says what is read from a database: a table, or what one statement gives.
//
// It knows just enough of SQL, in the dialects of PostgreSQL, SQLite and DuckDB, to tell
// that a text is one statement and whether that ends in an order of its own: comments,
// texts, quoted names and brackets are passed over, everything else is words. What a
// statement means, and that it only reads, is up to the database, which gets it in a
// transaction that cannot write.
package query
