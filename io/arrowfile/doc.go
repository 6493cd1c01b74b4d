// Package arrowfile reads and writes Arrow IPC files and streams.
//
// The reader has no part of arrow-go's IPC reader in it: one flipped bit in
// flatbuffer metadata ends a process that trusts it. It maps the file
// (io/mapped), copies each piece of metadata out of the mapping, walks it with
// every offset, length and count checked (flatbuf.go, message.go, schema.go),
// checks the layout of each column that is asked for against its buffers
// (decode.go), and checks the values that later code uses as addresses
// (check.go): offsets, dictionary indices, union types, views and run ends.
//
//	Open      footer or stream of messages -> schema, spans, null counts
//	ReadSpan  metadata of one record batch -> buffers of the columns asked for
//	          uncompressed, aligned, little-endian: a view of the mapping
//	          otherwise: decompressed, swapped or moved into counted memory
//	          of a large record batch: the same, some rows at a time (pieces.go)
//
// A stream that comes through a pipe is read by a Stream, batch by batch, with the same
// checks; a StreamWriter writes one for whoever reads it as it comes.
//
// A column that is not asked for is not touched. A span that is, decompressed, larger than
// ReadOptions.HeldBytes is given in pieces of ReadOptions.ChunkBytes. Of others, those that
// are stored without compression in the machine's byte order are given as one batch, and
// the rest in slices of ReadOptions.ChunkRows. So are large ones with columns of these:
// unions, run ends, list views.
//
// Refused with format.ErrUnsupported: metadata before V4 (Arrow 0.8) and after
// V5, Feather version 1, tensors, several streams in one file, unions with a
// validity bitmap (before Arrow 1.0), FixedSizeBinary and FixedSizeList of
// size 0, batches of more than 2^31-1 rows, nesting deeper than 32 levels,
// metadata of more than 64 MiB. Refused with format.ErrDamaged, besides what
// contradicts itself: a footer that leaves out a batch of its file.
//
// Memory: a batch holds the mapping by the reference counts of its buffers, so
// it outlives the Reader. While a batch is in use the file may still change
// underneath it; see io/mapped for what happens then and ask Changed after the
// last use. Methods of a Reader may be called concurrently, except Close.
package arrowfile
