//go:build invariants

package mapped

const invariants = true
