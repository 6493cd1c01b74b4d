package batcher

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain asks for fewer rapid checks than its default of 100, because every
// pair of types has a property of its own: go test -rapid.checks=1000 for more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // TestMain is the main of its package
	}
	flag.Parse()
	os.Exit(m.Run()) //nolint:forbidigo // TestMain is the main of its package
}
