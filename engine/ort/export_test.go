package ort

import (
	"testing"
	"time"

	"github.com/millrace/millrace/models"
)

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

// TensorRTSettings are the provider's settings of a session with these options.
func TensorRTSettings(o *SessionOptions, lib *Library, m *models.Model) (map[string]string, error) {
	return o.tensorRTSettings(lib, m)
}

// ForceKernelLevel makes sessions of a test use kernels of one level.
func ForceKernelLevel(tb testing.TB, level int) {
	tb.Helper()
	limitKernelLevel(level)
	tb.Cleanup(func() { limitKernelLevel(len(levels) - 1) })
}

// VersionOf is TensorRT's version as a libnvinfer says it.
func VersionOf(library string) string { return versionOf(library) }

// RecordBy is Record by a library of this name.
func RecordBy(library string) (*Recording, error) { return record(library) }

// Began is when a recording did.
func (r *Recording) Began() time.Time { return r.began }
