// Package feature computes features: one or more columns of a record batch on
// their way through transforms to the values that a model wants.
//
// A Feature is how a job file writes it down. Compile fits features to a schema and
// gives Programs, which an Evaluator computes over tiles of rows; package batcher does
// so in the pass that assembles a tensor.
//
// Between transforms a value is one of three kinds: a number, held as a float64; a
// text; or a time. Each may be null. A number is rounded to the tensor's element
// once, at the end, so a chain of transforms rounds like the same arithmetic on
// float64 in NumPy. Integers above 2^53 are exact where a transform compares or
// hashes them, and rounded like float64 where it computes.
//
// NaN is not null, but for fill, which replaces both. A null stays null until fill,
// map, equals or onehot takes it. A row of which a feature cannot be computed is a
// Problem; its value is dead, and nothing more is said of it.
//
// Compile refuses what does not fit, all of it at once. A Program is immutable and may
// be shared; an Evaluator belongs to one goroutine, borrows the record batch that it has
// open, and what it gives is valid until it is asked again.
package feature
