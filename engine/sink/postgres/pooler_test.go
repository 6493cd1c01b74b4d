package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// TestPooler: sessions that others share are refused at once, and nothing is left in them;
// a pooler that gives whole sessions is none to speak of.
func TestPooler(t *testing.T) {
	s := pgtest.Start(t)
	for _, test := range []struct {
		why      string
		sessions int
		whole    bool
	}{
		{"the session that was used last", 1, false},
		{"another session", 2, false}, // first in, first out
		{"many", 3, false},
		{"whole sessions", 3, true},
	} {
		t.Run(test.why, func(t *testing.T) {
			p := pgtest.StartPooler(t, s, test.sessions, test.whole)
			db, err := open(t.Context(), p.URI(t, "pooled"), "", nil)
			if test.whole {
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, postgres.ErrServer) || !strings.Contains(err.Error(), "pool_mode = session") {
				t.Errorf("open = %v; want what a run needs", err)
			}
			if got := s.Must(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); got != "0" {
				t.Errorf("%s locks are left", got)
			}
		})
	}
}
