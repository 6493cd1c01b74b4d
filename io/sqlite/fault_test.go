package sqlite

import (
	"errors"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/spool"
)

func TestFault(t *testing.T) {
	for _, c := range []struct {
		says string
		code sqlite3.ErrNo
		want error
	}{
		{"no room for what is sorted", sqlite3.ErrFull, spool.ErrSpool},
		{"no database", sqlite3.ErrNotADB, format.ErrDamaged},
	} {
		if err := Fault(sqlite3.Error{Code: c.code}); !errors.Is(err, c.want) {
			t.Errorf("%s: Fault = %v; want %v", c.says, err, c.want)
		}
	}
}
