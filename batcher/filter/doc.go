// Package filter says which rows of a record batch an expression holds for, such as
//
//	dep_delay != nil && distance > 0
//
// The text is parsed by expr-lang/expr; the types of its names are those of an Arrow
// schema, so the check of types is this package's, and so is the arithmetic: each
// operator is a loop over the values of a column that sets one bit a row.
//
// A comparison with a null is unknown, as in SQL, and a row passes only where the
// whole expression is true: !x, and an unknown, do not. x == nil and x != nil ask
// for nulls and are never unknown. NaN is no null and compares as IEEE 754 says.
//
// Integers, decimals and times are compared exactly, whatever their width; see
// docs/filters.md for the language.
//
// A Filter is immutable and may be shared; an Evaluator belongs to one goroutine.
// Expressions are untrusted: their size and depth are bounded, and an error in one
// shows where.
package filter
