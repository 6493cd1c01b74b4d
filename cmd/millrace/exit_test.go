package main

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/io/format"
)

func TestExitOfValues(t *testing.T) {
	if err := fmt.Errorf("write part 0: %w", format.ErrValue); exitCode(err) != exitOutput {
		t.Errorf("exitCode(%v) = %d; want %d", err, exitCode(err), exitOutput)
	}
}
