package ort

// The C files of this package hold the operators that models.UseKernels puts
// into a graph; ops.h is where to start reading.

// #include "shim.h"
import "C"

import (
	"os"
	"slices"

	"github.com/millrace/millrace/internal/cpulevel"
)

// Levels are the instruction sets that kernels of ours are made for.
var levels = []string{"plain", "avx2", "avx512"}

// KernelLevel names the instructions that kernels of ours use on this machine:
// plain, avx2 or avx512.
func KernelLevel() string { return C.GoString(C.mr_level_name(C.mr_level_now())) }

// obeyLevel limits kernels of ours to the level that the environment names, as it
// does those of the kernel packages; any other name means the best.
func obeyLevel() {
	if level := slices.Index(levels, os.Getenv(cpulevel.Variable)); level >= 0 {
		limitKernelLevel(level)
	}
}

// limitKernelLevel lets sessions made from now on use no more than a level.
func limitKernelLevel(level int) { C.mr_limit_level(C.int(level)) }
