package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"time"
)

// runIDTime is the part of a run id that makes run ids sort by start.
const runIDTime = "20060102T150405Z"

var runIDPattern = regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{6}$`)

// NewRunID makes an id such as 20261123T131500Z-0a1b2c from the start of a
// run and 24 random bits.
func NewRunID(started time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return started.UTC().Format(runIDTime) + "-" + hex.EncodeToString(b[:])
}

// ValidRunID says whether id has the form that NewRunID gives.
func ValidRunID(id string) bool { return runIDPattern.MatchString(id) }
