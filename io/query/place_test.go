package query

import "testing"

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		says, statement string
		character       int
		want            string
	}{
		{"the first", "SELEC 1", 1, `line 1, character 1, before "SELEC 1"`},
		{"in a line behind others, counted by characters and not bytes", "SELECT 'ü',\n ü, FROM t\nORDER BY 1", 17, `line 2, character 5, before "FROM t"`},
		{"behind all", "SELECT", 7, "line 1, character 7, at its end"},
		{"none", "SELECT", 0, ""},
		{"beyond", "SELECT", 9, ""},
		{"a long line", "SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 8, `line 1, character 8, before "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" and 6 bytes more`},
	} {
		if got := Place(c.statement, c.character); got != c.want {
			t.Errorf("%s: Place(%q, %d) = %s; want %s", c.says, c.statement, c.character, got, c.want)
		}
	}
}
