// Package ort is the only place with ONNX Runtime: it finds and loads the
// shared library, makes sessions from checked models, and runs them over memory
// of Go's.
//
// # What comes from where
//
// The Go binding (yalue/onnxruntime_go) loads the library, holds the
// process-wide environment, and builds session options with their execution
// providers. Sessions, values and Run are calls of our own to the same C API
// (shim.c), because the binding allocates on every Run, copies outputs that ONNX
// Runtime allocates, refuses shapes with a zero dimension, drops error codes,
// takes strings only as Go strings, and decodes maps one Go map at a time. One
// handle crosses over, the options', read by its field's name and checked
// (options.go).
//
// # Operators of ours
//
// A model that models.UseKernels rewrote has operators of the domain millrace,
// which are C files here (ops.h) and run inside the session, on its threads and
// memory. Each is compiled for several instruction sets and picks one when a
// session is made.
//
// # The library
//
// ONNX Runtime 1.31.1, the version fetch.sh brings, is the newest that its
// project publishes in all three forms we need (wheels for x86-64 and arm64,
// and for CUDA 13 on x86-64), so every platform runs one version. Any library
// with C API 24 or later (1.24) works. CUDA needs, besides, libcudart.so.13,
// libcublas.so.13, libcublasLt.so.13, libcurand.so.10 and libcuda.so.1 in the
// loader's path; cuDNN 9 is loaded when a kernel wants it.
//
// Loading happens once per process and is never undone: ONNX Runtime's
// environment is global, and unloading a library that has run threads is not
// safe. Nothing is loaded from the current directory.
//
// # Memory
//
// A Tensor over Go memory pins it until Close. A Tensor that ONNX Runtime
// allocated for an output is viewed in place, also until Close. Sessions may be
// run by any number of goroutines at once; a Tensor belongs to one of them, and
// must not be closed or refilled while a Run uses it.
//
// # What it refuses
//
// Inputs that are not tensors; outputs that are sequences of tensors, single
// maps or optionals, as soon as they are looked at. A bad model gives an error
// that wraps models.ErrModel, never a crash: everything is checked by package
// models first, and ONNX Runtime turns its exceptions into statuses.
package ort

// Under ISO C, unlike GNU C, gcc does not round a product and a sum as one
// (-ffp-contract, a flag that cgo refuses), so that results of our operators do
// not depend on the processor. Dense layers ask for it by name, and need it.

// #cgo CFLAGS: -O3 -std=c11 -Wall
// #cgo LDFLAGS: -ldl -lpthread -lm
import "C"
