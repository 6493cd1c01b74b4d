//go:build invariants

package mapped

// misuse panics: a caller has broken the counting rules.
func misuse(message string) { panic(message) }
