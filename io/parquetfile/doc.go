// Package parquetfile reads and writes Parquet files: one span is one row
// group.
//
// Reading. The footer is checked before the library decodes it; pages, levels and
// values are decoded here, under a budget, and reconciled with the row group's
// row count. A span is streamed in chunks, so that a row group of any size is
// read in the memory of a few pages per column; columns whose pages are too much
// together are decoded one after the other, through a scratch file (aside.go).
// Nothing is read but the columns that were asked for.
//
// Refused with format.ErrUnsupported: encrypted columns, columns kept in other
// files, the LZO codec, encodings that the format does not name. Page checksums
// are not verified.
//
// Writing. A file all of whose columns are flat (numbers, decimals, times, texts, booleans, bytes)
// or lists of numbers is encoded here, straight from the batches, and only encoded pages wait for
// the end of a row group. Any other, with structs, maps or other lists, is encoded by arrow-go, of
// batches that are held until then.
//
// A Reader may be used by any number of goroutines; each ReadSpan call has its
// own decoders and its own budget. Columns of one span are decoded concurrently
// where ReadOptions.Decoders has room. The file is read with pread, so that
// truncation is an error and not a signal.
//
// Memory: a batch given to yield is borrowed by it. Once retained it belongs
// to whoever retained it and no longer counts against the budget. Buffers that
// come back, from the decoders or from a batch's last Release, are kept for the
// next span, up to a quarter of the budget, until Close.
package parquetfile
