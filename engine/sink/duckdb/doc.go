// Package duckdb speaks DuckDB for package embedded: scores go into a table of a database
// file, a record at a time by DuckDB's own scan of Arrow's arrays. It is there only in a
// program that was built with the tags duckdb and duckdb_arrow; see package io/duckdb.
//
// DuckDB's commits are durable: each syncs its write-ahead log. A file is of one process at
// a time: who has it open for reading keeps a run out, and the other way round.
package duckdb
