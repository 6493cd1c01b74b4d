// Package sqlite reads rows of SQLite's database files.
//
// A file is opened for reading only, and one statement gives all rows, so they are of one
// moment. SQLite lets any value stand in any column; here a column has one type, by its
// declaration (docs/queries.md has the table), and a value of another kind is an error
// that names row and column. A column of an expression has no declaration: its first
// values say what it is.
//
// Everything of a Rows is for one goroutine at a time.
package sqlite
