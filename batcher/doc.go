// Package batcher makes tensor batches from columns: it binds a model's inputs
// to columns of a schema, cuts record batches into batches of fixed size, and
// assembles each batch's tensors, by a view of the column's own memory where
// that is true and by one pass over a cache-sized tile where it is not.
//
// It refuses, when binding, every column that does not fit its input by name,
// rank, size or type; nothing is guessed. It knows neither ONNX Runtime nor
// files.
//
// A Plan is immutable and may be shared. A Cutter and an Assembler belong to
// one goroutine each. The tensors that an Assembler gives are borrowed: they
// are valid until its next Assemble, and views in them as long as the batch
// they were made from is retained.
package batcher
