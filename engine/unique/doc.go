// Package unique finds the rows of a table whose keys, the values of some columns, a row
// before them has: duplicates. Which of equal rows counts as the first depends on their
// numbers alone, not on the order in which they are added, nor by how many goroutines.
//
//	Keys      values of a row ──▶ a hash of 128 bits, and, where it is asked for, the bytes
//	Finder    rows in any order ──▶ 256 piles by hash; full: sorted and written to a file
//	Find      each pile is merged from memory and file; all but the first of equal keys
//	          are duplicates
//	Found     duplicates by their row, with the row that has their key first
//
// # Memory
//
// Options.BudgetBytes bounds what the rows take in memory; beyond, they lie in a file
// without a name in Options.Dir, which goes with the process. So they do where a pile grows to
// an eighth of it, as those of keys that very many rows have. Duplicates are kept within
// an eighth of the budget, or lie in a file too.
//
// # Errors of equality
//
// Keys of numbers that come to 16 bytes or less, such as one int64 or two int32, are
// compared as they are. Of others the hash is (XXH3-128, with no secret), and two of n
// rows with different keys are taken for equal with a chance of n²/2^129: 10^-21 for a
// billion rows. Whoever makes keys on purpose so that hashes agree can have rows taken
// for duplicates; the mode Exact compares the values themselves.
//
// A null is equal to a null, a NaN to a NaN and -0 to 0, as in SQL's GROUP BY.
//
// Finder.Add may be called concurrently, and Found be read so.
package unique
