// Package mapped maps regular files read-only and lets Go and C code read the
// mapping safely, whatever happens to the file meanwhile. It is the only
// package of millrace that maps memory.
//
// A File is counted: Open returns it with one reference, Retain adds one,
// Release drops one, and the last Release unmaps. Buffer makes an Arrow buffer
// that holds a reference, so that Arrow's own counts keep the mapping alive.
// Bytes aliases the mapping and is valid while a reference is held.
//
// A file that shrinks while it is mapped answers reads beyond its new end with
// SIGBUS, which would end the process, in C code without any message. So a
// handler is installed with the first mapping: a fault inside a mapping of ours
// puts zero pages over the rest of that mapping and marks it. Both Go and C
// then read on, and whoever uses the data learns through Err or Changed that it
// is void. Populate finds the same out before anybody else touches the data. The zeros
// may contradict what was checked before the fault (offsets that were
// ascending no longer are), so code that walks a mapping after a fault may
// still panic; it recovers and asks Err.
//
// What is refused: everything but regular files. All methods may be called
// concurrently.
package mapped
