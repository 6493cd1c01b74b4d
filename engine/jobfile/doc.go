// Package jobfile reads job files: a run's settings and features, written down once
// in YAML.
//
//	source ── tree.go ──▶ nodes ── decode.go ──▶ Job ── job.go ──▶ settings
//	(YAML)    scalar.go          expand.go              fitted.go
//
// What may stand in a job file is what the struct Job and its tags say: decoder, JSON
// Schema and reference are all made from it. A file is untrusted: its size, depth and
// keys are bounded, and anchors, aliases, merge keys and tags are refused, so that
// there is nothing to unfold. All problems of a file are found in one go, each with its
// line and column. A parameter's value takes its place in one decoded text, never in
// YAML, so it cannot add a key.
//
// Everything here may be used by several goroutines that do not share a Job.
package jobfile
