//go:build !invariants

package ort

func opened(any) {}
func closed(any) {}

// LiveStacks is empty without the build tag invariants.
func LiveStacks() []string { return nil }
