// Package spool keeps rows that can be read only once, a query's or a stream's, in an
// Arrow IPC file without a name, so that a dataset can read them as it does any file: by
// spans, in any order, and again.
//
// Spans and the digest depend on the rows alone, and not on the batches they came in: a
// run that is continued spools the rows again, and has the same parts exactly where the
// rows are the same.
//
// The file lies in os.TempDir (TMPDIR names another place), has been removed from its
// folder before the first row, and so goes with the process, however that ends.
package spool
