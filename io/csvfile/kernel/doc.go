// Package kernel finds the bytes that matter to CSV in its text: delimiters, quotes and
// the ends of lines, 64 bytes at a time, each kind as the bits of a word. It allocates
// nothing and keeps no state, so any number may run at once.
//
// There is a plain loop, and vector kernels for AVX2 and AVX-512 in Go assembly (see asm);
// which a process uses is decided once, at its start.
package kernel
