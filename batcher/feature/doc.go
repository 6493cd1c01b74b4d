// Package feature computes features: one or more columns of a record batch on
// their way through transforms to the values that a model wants.
//
// A Feature is how a job file writes it down; package batcher compiles it against
// a schema and computes it in the pass that assembles a tensor.
//
// Between transforms a value is one of three kinds: a number, held as a float64; a
// text; or a time. Each may be null. A number is rounded to the tensor's element
// once, at the end, so a chain of transforms rounds like the same arithmetic on
// float64 in NumPy. Integers above 2^53 are exact where a transform compares or
// hashes them, and rounded like float64 where it computes.
//
// NaN is not null, but for fill, which replaces both.
package feature
