// Package sqlite speaks SQLite for package embedded: scores go into a table of a database
// file.
//
// A file that a run makes has a write-ahead log, so that who reads is not kept waiting; one
// that is there keeps its journal mode. Commits are durable in either: synchronous is EXTRA,
// which syncs the log, or the journal and its folder. Another process that writes is waited
// for, for 30 s.
//
// Values keep what they are: SQLite's INTEGER, REAL, TEXT and BLOB, dates and times as the
// texts that its own functions take, decimals as texts, and lists as JSON. What it cannot
// keep is refused: a NaN, which it would make null, and whole numbers above 2^63-1.
package sqlite
