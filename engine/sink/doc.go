// Package sink says what a run needs of the place that its output goes to. Local files
// are one, of package ledger; object stores, databases and streams have packages of their
// own below this one.
//
//	Destination   a kind of place, by the beginning of --output
//	Staging       one run's output there, which nobody sees yet: Files or Records
//
// A Staging keeps DESIGN's promises: nothing is visible before Publish; of two runs one
// publishes, and the other says who did; what is recorded outlives the process, so that
// the same command goes on; and Discard leaves nothing. Accounts, journals, jobs and
// manifests are package ledger's, whose errors an implementation returns: ErrHeld,
// ErrExists, ErrOtherJob, ErrPublished and ErrOutput.
package sink
