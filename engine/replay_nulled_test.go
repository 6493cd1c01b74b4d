package engine_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
)

// nulledBesideLeftOut publishes 30 rows, of which some are left out, others stand in the
// output with null predictions, and both lie side by side.
func nulledBesideLeftOut(t *testing.T, output string) (nulled, leftOut []int) {
	t.Helper()
	data := newBadData(30)
	for _, row := range []int{2, 5, 6, 17, 29} {
		data.noX[row] = true
	}
	for _, row := range []int{5, 7, 11, 16, 18} { // row 5 is both
		data.i[row] = 9
	}
	mustRun(t, engine.Options{
		Model: badModel(t, "N"), Inputs: []string{writeSpans(t, filepath.Join(filepath.Dir(output), "in.arrow"), []int64{4, 1, 9}, data.columns()...)}, Output: output,
		IDs: []string{"id"}, BatchRows: 5, PartRows: 12, MaxRejects: -1, OnBadRow: engine.BadNull,
		Nulls: batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{"x": batcher.ParseNullPolicy("reject")}},
	})
	return []int{7, 11, 16, 18}, []int{2, 5, 6, 17, 29}
}

// Of the rejected rows of a part some stand in the output and some do not: each row is
// found in its input all the same, and what was null is null again.
func TestReplayBesideNulledRows(t *testing.T) {
	slow(t)
	for _, name := range []string{"out", "out.arrow"} {
		output := filepath.Join(t.TempDir(), name)
		nulled, leftOut := nulledBesideLeftOut(t, output)
		for id := range 30 {
			r := replay(t, replayOf(t, output, id))
			if slices.Contains(leftOut, id) {
				if len(r.Rows) != 0 || len(r.Rejected) != 1 || r.Rejected[0].Row != int64(id) || r.Rejected[0].Columns[0].Column != "id" {
					t.Errorf("%s, id %d: %+v; want it rejected alone", name, id, r)
				}
				continue
			}
			if len(r.Rows) != 1 || r.Equal != 1 || r.Rows[0].InputRow != int64(id) {
				t.Fatalf("%s, id %d: %+v; want row %d, equal", name, id, r, id)
			}
			isNull := r.Rows[0].Predictions[0].Again == "(null)"
			if want := slices.Contains(nulled, id); isNull != want || (len(r.Rejected) == 1) != want {
				t.Errorf("%s, id %d: again %q, rejected %d; want it null and rejected: %t", name, id, r.Rows[0].Predictions[0].Again, len(r.Rejected), want)
			}
		}
	}
}

// An output of a version that did not record which rows stand in the output.
func TestReplayWithoutNulled(t *testing.T) {
	output := filepath.Join(t.TempDir(), "out.arrow")
	nulledBesideLeftOut(t, output)
	editManifest(t, output, func(m *ledger.Manifest) { m.Settings["on_bad_row"] = "reject" })
	_, err := replayOf(t, output, 3).Replay(t.Context())
	if !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), "did not record which") {
		t.Errorf("Replay() = %v; want ErrUsage that says why", err)
	}
}
