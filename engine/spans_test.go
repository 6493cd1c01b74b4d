package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/engine/ledger"
)

// The accounts of every span, empty ones too, are those of its rows, whatever batches
// they were scored in; a span of which a row is missing is named.
func TestAccountsBySpan(t *testing.T) {
	files, _ := testFiles(t)
	l := newLine(t, append(files, files[0]), 3, nil) // the first one twice
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := []int64{0, 928, 948, 1948, 0} // ids that the files start with
	var id int64
	for i := range l.plan.Dataset.Files() {
		var want []ledger.Rows
		id = first[i]
		for _, s := range l.plan.Dataset.Spans(i) {
			rows := ledger.Rows{Read: s.Rows}
			for range s.Rows {
				if id%10 == 7 {
					rows.Rejected++
				}
				id++
			}
			rows.Scored = rows.Read - rows.Rejected
			want = append(want, rows)
		}
		if diff := cmp.Diff(want, append([]ledger.Rows(nil), l.collector.index.ofFile(i, l.collector.spans)...)); diff != "" {
			t.Errorf("file %d (-want +got):\n%s", i, diff)
		}
	}
	if err := l.collector.reconcileSpans(); err != nil {
		t.Errorf("reconcileSpans() = %v; want nil", err)
	}
	l.collector.spans[4].Read--
	if err := l.collector.reconcileSpans(); !errors.Is(err, ledger.ErrAccounts) || !strings.Contains(err.Error(), "span 4 announces 700 rows and 699 were read") {
		t.Errorf("reconcileSpans() = %v; want span 4 named", err)
	}
}
