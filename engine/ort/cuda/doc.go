// Package cuda holds the kernels of millrace's operators for NVIDIA devices, and
// what tests need to run them without one.
//
// kernels.cu is CUDA, and C: compile.sh makes machine code and PTX of it, which
// engine/ort links and the driver loads; emulator.c includes it for the processor, where a block's threads take turns. fake.c is a driver that
// launches those. So a session of ONNX Runtime computes with the kernels, the
// forest's layout and the launcher that a device would get, on any machine.
//
// Only tests import this package.
package cuda

// A standard's C, unlike GNU's, makes no fused multiply-add of two operations;
// compile.sh tells nvcc the same.

// #cgo CFLAGS: -O2 -std=c11 -Wall
// #cgo LDFLAGS: -lpthread -lm
import "C"
