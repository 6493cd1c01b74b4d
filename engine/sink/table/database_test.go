package table

import (
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// A row has its manifest's times to the microsecond, which some servers round to and others
// cut to; any other time is another.
func TestTimesOfARow(t *testing.T) {
	at := time.Date(2026, 11, 30, 9, 52, 19, 123_456_789, time.UTC)
	of := func(started, finished time.Time) Shown {
		return ShownOf(&ledger.Manifest{Started: started, Finished: finished})
	}
	was := of(at, at)
	for _, c := range []struct {
		about string
		row   Shown
		want  []string
	}{
		{"rounded", of(at.Round(time.Microsecond), at.Truncate(time.Microsecond)), nil},
		{"two microseconds later", of(at.Add(2*time.Microsecond), at), []string{"started"}},
		{"none", of(at, time.Time{}), []string{"finished"}},
		{"a day before", of(at.AddDate(0, 0, -1), at.AddDate(0, 0, -1)), []string{"started", "finished"}},
	} {
		if got := was.otherThan(&c.row); !slices.Equal(got, c.want) {
			t.Errorf("%s: other in %q; want %q", c.about, got, c.want)
		}
	}
}
