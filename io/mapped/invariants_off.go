//go:build !invariants

package mapped

// misuse does nothing: a broken count must not end a run that can still
// finish. The build tag invariants makes it a panic.
func misuse(string) {}
