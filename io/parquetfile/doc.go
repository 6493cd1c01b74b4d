// Package parquetfile reads and writes Parquet files: one span is one row
// group.
//
// Reading. arrow-go's column readers decode pages into levels and dense
// values; this package checks the footer before they see it, gives them a
// budget, reconciles what they deliver with the row group's row count, and
// assembles Arrow arrays itself. A span is streamed in chunks, so that a row
// group of any size is read in the memory of a few pages per column. Nothing
// is read but the columns that were asked for.
//
// Refused with format.ErrUnsupported: encrypted columns, columns kept in other
// files, the LZO codec, encodings that arrow-go does not have. Page checksums are not
// verified: arrow-go has no way to.
//
// A Reader may be used by any number of goroutines; each ReadSpan call has its
// own decoders and its own budget. The file is read with pread, so that
// truncation is an error and not a signal.
//
// Memory: a batch given to yield is borrowed by it. Once retained it belongs
// to whoever retained it and no longer counts against the budget. Buffers that
// come back, from the decoders or from a batch's last Release, are kept for the
// next span, up to a quarter of the budget, until Close.
package parquetfile
