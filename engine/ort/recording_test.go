package ort_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
)

// cuptiStandIn makes the library of testdata/cupti_stand_in.c.
func cuptiStandIn(t *testing.T, define string) string {
	t.Helper()
	source, err := os.ReadFile("testdata/cupti_stand_in.c")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "libcupti.so.13")
	compileLibrary(t, path, define+"\n"+string(source))
	return path
}

// What CUPTI tells comes out with times of this process, in its layouts then and now.
func TestRecording(t *testing.T) {
	for _, define := range []string{"", "#define NEW_LAYOUT"} {
		path := cuptiStandIn(t, define)
		for range 2 { // a recording leaves nothing to the next
			r, err := ort.RecordBy(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ort.RecordBy(path); !errors.Is(err, ort.ErrRecording) || !strings.Contains(err.Error(), "another recording") {
				t.Errorf("a second recording: %v; want ErrRecording", err)
			}
			spans, dropped, err := r.Stop()
			if err != nil || dropped != 3 {
				t.Fatalf("Stop = %v, %d dropped; want 3", err, dropped)
			}
			got := make([]string, 0, len(spans))
			for _, s := range spans {
				start, end := s.Start.Sub(r.Began()), s.End.Sub(r.Began())
				got = append(got, fmt.Sprintf("%d %q %d:%d %d %v-%v", s.Work, s.Name, s.Device, s.Stream, s.Bytes, start, end))
			}
			want := []string{
				fmt.Sprintf("%d \"\" 0:7 8388608 100µs-300µs", ort.CopyIn),
				fmt.Sprintf("%d \"first\" 0:7 0 300µs-500µs", ort.Kernel),
				fmt.Sprintf("%d \"\" 0:8 8388608 300µs-500µs", ort.CopyIn),
				fmt.Sprintf("%d \"\" 0:8 0 500µs-700µs", ort.Kernel),
				fmt.Sprintf("%d \"\" 0:7 262144 500µs-520µs", ort.CopyOut),
				fmt.Sprintf("%d \"\" 0:8 64 690µs-700µs", ort.Copy),
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: spans\n%s\nwant\n%s", define, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// Whatever fails is named, and the next recording works.
func TestRecordingFails(t *testing.T) {
	for _, call := range []string{
		"cuptiGetTimestamp", "cuptiActivityRegisterCallbacks", "cuptiActivityEnable", "cuptiActivityEnable kernels", "cuptiActivityDisable", "cuptiActivityFlushAll",
	} {
		r, err := ort.RecordBy(cuptiStandIn(t, fmt.Sprintf("#define FAIL %q", call)))
		if err == nil {
			_, _, err = r.Stop()
		}
		if !errors.Is(err, ort.ErrRecording) || !strings.Contains(err.Error(), "CUPTI_ERROR_UNKNOWN (999)") {
			t.Errorf("%s fails: %v; want ErrRecording in CUPTI's words", call, err)
		}
	}
	dir := t.TempDir()
	other := filepath.Join(dir, "libother.so")
	compileLibrary(t, other, "int mr_test_other;")
	for path, want := range map[string]string{filepath.Join(dir, "none.so"): "none.so", other: "has no cuptiGetResultString"} {
		if _, err := ort.RecordBy(path); !errors.Is(err, ort.ErrRecording) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nvidia-cuda-cupti") {
			t.Errorf("%s: %v; want ErrRecording with %q, and what to install", filepath.Base(path), err, want)
		}
	}
	r, err := ort.RecordBy(cuptiStandIn(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if spans, _, err := r.Stop(); err != nil || len(spans) != 6 {
		t.Errorf("after all that: %d spans, %v; want 6", len(spans), err)
	}
}
