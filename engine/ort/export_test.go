package ort

import "testing"

// KernelLevels are the levels that this machine can run, the lowest first.
func KernelLevels() []string {
	limitKernelLevel(len(levels) - 1)
	for i, name := range levels {
		if name == KernelLevel() {
			return levels[:i+1]
		}
	}
	return nil
}

// ForceKernelLevel makes sessions of a test use kernels of one level.
func ForceKernelLevel(tb testing.TB, level int) {
	tb.Helper()
	limitKernelLevel(level)
	tb.Cleanup(func() { limitKernelLevel(len(levels) - 1) })
}
