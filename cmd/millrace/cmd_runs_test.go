package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/ledger"
)

func TestRunsTableFitsTheTerminal(t *testing.T) {
	at := time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
	report := runReport{
		Run: "20261127T020000Z-0a1b2c", State: stateReplaced, Mode: ledger.ModeReplace, Started: at, Finished: at.Add(90 * time.Second),
		Seconds: 90, RowsPerSecond: 137e3, By: ledger.Starter{User: "svc-scoring"},
		Model: ledger.ModelFile{Path: "/models/churn_v3_\x1b[2Jgbdt_with_a_long_name.onnx", SHA256: "97ff8a3512"},
		Rows:  ledger.Rows{Read: 12345678, Scored: 12345600, Rejected: 78},
	}
	tests := []struct {
		width int // of the terminal; 0: none
		want  []string
		not   []string
	}{
		{0, []string{"run", "state", "mode", "finished", "interval", "files", "by", "model", "sha256", "read", "scored", "rejected", "seconds", "rows/s"}, []string{"Left out"}},
		{120, []string{"run", "state", "mode", "by", "model", "sha256", "scored", "rejected", "Left out for want of room: finished, interval, files, read, seconds, rows/s (--json has all)."}, nil},
		{80, []string{"run", "state", "model", "scored", "Left out"}, []string{"rejected  "}},
		{20, []string{"run", "20261127T020000Z-0a1b2c"}, nil}, // a run's name stays whole
	}
	for _, test := range tests {
		r := &runsReport{Outputs: []outputReport{{Output: "/data/scores", Runs: []runReport{report, {Run: report.Run, State: stateUnreadable}}}}, width: test.width}
		var b strings.Builder
		if err := r.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%d columns: no %q in\n%s", test.width, want, b.String())
			}
		}
		for _, not := range append(test.not, "\x1b") {
			if strings.Contains(b.String(), not) {
				t.Errorf("%d columns: %q in\n%s", test.width, not, b.String())
			}
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if w := utf8.RuneCountInString(line); strings.HasPrefix(line, "│") && test.width >= 80 && w > test.width {
				t.Errorf("%d columns: a line of %d:\n%s", test.width, w, line)
			}
		}
	}
}
