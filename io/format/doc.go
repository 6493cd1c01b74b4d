// Package format fixes what a reader and a writer of one columnar file format
// must do; io/arrowfile, io/parquetfile and io/csvfile do it.
//
// A file is a sequence of spans, a span a sequence of record batches. A reader
// treats its file as hostile: it gives rows or an error that names the file,
// never a panic, and it never gives fewer rows than it announced without an
// error.
//
// Memory: a record batch handed out by a reader keeps alive everything its
// buffers alias, a mapped file included, by its own reference count alone. It
// stays valid after the Reader is closed, until its last Release.
package format
