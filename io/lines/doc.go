// Package lines reads files of lines as tables: what CSV and JSON Lines have in
// common. A Syntax says where a record ends and where its fields lie; this package
// does the rest:
//
//	file ──(gzip, zstd: once, into a scratch file)──▶ text
//	text ──blocks, in parallel──▶ spans, with the number of their rows
//	a sample of the rows ──▶ types, where the job does not give them
//	span ──Tokenizer──▶ fields ──column by column──▶ record batches
//
// A record is a row whatever is wrong with it: one that is no record of the file's
// columns is a row of nulls, and one with a value that its column's type cannot hold
// has a null there. The column of problems (format.Problem) says so, with the number
// of the line; whoever reads rows must look at it. Blank lines are no rows.
//
// A Set holds what is known of the files of one dataset, so that a file is indexed and
// decompressed once however often it is opened. Its readers may be used concurrently,
// as package format says. Files are read by their descriptors, not mapped, so that one
// that is cut off while it is read gives an error; what lies elsewhere is read by ranges
// (OpenSource).
package lines
