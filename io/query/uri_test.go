package query

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		says, text string
		want       URI
		again      string // what String gives, where that is not the text
	}{
		{"a table of a file", "sqlite:flights.db?table=flights", URI{"sqlite", "flights.db", Spec{Table: "flights"}}, ""},
		{"with the slashes of a URI", "SQLite:///data/flights.db?table=f", URI{"sqlite", "/data/flights.db", Spec{Table: "f"}}, "sqlite:/data/flights.db?table=f"},
		{"a query as it is", "duckdb:a.db?query=select 1 where '?&table=x%' <> '' order by 1", URI{"duckdb", "a.db", Spec{Text: "select 1 where '?&table=x%' <> '' order by 1"}}, ""},
		{"a path with question marks", "sqlite:a?b.db?table=t", URI{"sqlite", "a?b.db", Spec{Table: "t"}}, ""},
		{"nothing but the file", "sqlite:a.db", URI{"sqlite", "a.db", Spec{}}, ""},
		{"a table's name with odd characters", "sqlite:a.db?table=a%26b%25%3F", URI{"sqlite", "a.db", Spec{Table: "a&b%?"}}, ""},
		{"in no order", "sqlite:a.db?unordered&table=t", URI{"sqlite", "a.db", Spec{Table: "t", Unordered: true}}, ""},
		{"a server keeps its own parameters", "postgres://me:pw@h:5432/db?sslmode=require&table=public.t&application_name=x", URI{"postgres", "postgres://me:pw@h:5432/db?sslmode=require&application_name=x", Spec{Table: "public.t"}}, "postgres://me:pw@h:5432/db?sslmode=require&application_name=x&table=public.t"},
		{"capitals in a scheme", "POSTGRES://Me@H/Db?table=T", URI{"postgres", "postgres://Me@H/Db", Spec{Table: "T"}}, "postgres://Me@H/Db?table=T"},
		{"a server's query", "postgresql://h/db?query=select '@' order by 1", URI{"postgresql", "postgresql://h/db", Spec{Text: "select '@' order by 1"}}, ""},
	} {
		got, err := Parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: Parse(%q) = %+v, %v; want %+v", c.says, c.text, got, err, c.want)
		}
		want := c.text
		if c.again != "" {
			want = c.again
		}
		if again := got.String(); again != want {
			t.Errorf("%s: %q is written as %q; want %q", c.says, c.text, again, want)
		}
	}
	for _, bad := range []string{"", "flights.db", "s3://bucket/x", "postgres:db", "postgres:/u:pw@h/db?table=t", "sqlite:", "sqlite:a.db?table=", "sqlite:a.db?table=%", "sqlite:a.db?table=a&query=select 1", "sqlite:a.db?table=t&mode=rwc", "sqlite:a\x00b?table=t"} {
		if got, err := Parse(bad); !errors.Is(err, ErrURI) {
			t.Errorf("Parse(%q) = %+v, %v; want ErrURI", bad, got, err)
		}
	}
}
