// Package kernel holds the inner loops of reading Parquet: bit-packed numbers
// and dictionary indices are unpacked and looked up, runs filled, dense values
// spread to their rows; and those of writing numbers: the least and the greatest
// are looked for, differences taken. They work on plain slices, allocate nothing
// and keep no state but the caller's, so any number may run at once.
//
// Each has a plain loop, and vector kernels for AVX2 and AVX-512 in Go assembly
// (see asm); which a process uses is decided once, at its start.
package kernel
