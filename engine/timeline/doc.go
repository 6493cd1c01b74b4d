// Package timeline is what a run's workers and devices did and when: collected while
// it goes on, written as a Chrome trace, which Perfetto and chrome://tracing show, and
// summed up by how far copies and arithmetic of a device overlap.
//
// A Recorder is for any number of goroutines; the rest is for one.
package timeline
