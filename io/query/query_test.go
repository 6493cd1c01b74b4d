package query

import (
	"errors"
	"testing"
)

func TestStatement(t *testing.T) {
	for _, c := range []struct {
		says, text string
		dialect    Dialect
		want       string
		err        error
	}{
		{"an order of its own", "select * from t order by id", SQLite, "select * from t order by id", nil},
		{"in capitals, over lines, with a semicolon and a comment after it", "SELECT *\nFROM t\nORDER\n  BY id ; -- last", PostgreSQL, "SELECT *\nFROM t\nORDER\n  BY id ", nil},
		{"a comment between the words", "select 1 order /* the */ by 1", DuckDB, "select 1 order /* the */ by 1", nil},
		{"DuckDB may begin with FROM", "from t order by all", DuckDB, "from t order by all", nil},
		{"a union's order", "(select 1) union all (select 2) order by 1", PostgreSQL, "(select 1) union all (select 2) order by 1", nil},
		{"no order", "select * from t", PostgreSQL, "", ErrOrder},
		{"an order within a subquery", "select * from (select * from t order by id) s", PostgreSQL, "", ErrOrder},
		{"an order within a window", "select row_number() over (order by id) from t", DuckDB, "", ErrOrder},
		{"an order within an aggregate", "select array_agg(x order by x) from t", PostgreSQL, "", ErrOrder},
		{"an order within a text", "select ' order by id' from t", SQLite, "", ErrOrder},
		{"an order within a text of escapes", `select E'it\'s order by' from t`, PostgreSQL, "", ErrOrder},
		{"a backslash at the end of a plain text", `select 'c:\' from t order by 1`, PostgreSQL, `select 'c:\' from t order by 1`, nil},
		{"an order within a name", `select "order by" from t`, SQLite, "", ErrOrder},
		{"an order within SQLite's other names", "select [ order by ], ` order by ` from t", SQLite, "", ErrOrder},
		{"an order within dollars", "select $x$ order by 1 $x$", PostgreSQL, "", ErrOrder},
		{"an order in a comment", "select * from t -- order by id", SQLite, "", ErrOrder},
		{"an order in a comment within one", "select * from t /* /* */ order by id */", PostgreSQL, "", ErrOrder},
		{"a column that is called order", "select t.order, by from t", DuckDB, "", ErrOrder},
		{"two statements", "select 1 order by 1; drop table t", PostgreSQL, "", ErrStatement},
		{"a semicolon within a text is none", "select ';' order by 1", PostgreSQL, "select ';' order by 1", nil},
		{"no statement", " -- nothing\n", SQLite, "", ErrStatement},
		{"a statement that writes", "delete from t", SQLite, "", ErrStatement},
		{"brackets that close too early", "select 1) to program 'id' --", PostgreSQL, "", ErrStatement},
		{"brackets that stay open", "select (1 order by 1", PostgreSQL, "", ErrStatement},
		{"a text that stays open", "select 'a order by 1", PostgreSQL, "", ErrStatement},
		{"dollars that stay open", "select $$ order by 1", PostgreSQL, "", ErrStatement},
		{"a comment that stays open", "select 1 order by 1 /* ", SQLite, "", ErrStatement},
		{"a NUL byte", "select 1 order by 1\x00", SQLite, "", ErrStatement},
	} {
		spec := Spec{Text: c.text}
		got, err := spec.Statement(c.dialect)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: Statement(%q) = %q, %v; want %q, %v", c.says, c.text, got, err, c.want, c.err)
		}
	}
	spec := Spec{Text: "select 1", Unordered: true}
	if got, err := spec.Statement(SQLite); got != "select 1" || err != nil {
		t.Errorf("unordered: %q, %v", got, err)
	}
}

func FuzzStatement(f *testing.F) {
	f.Add("select $a$ /* ' */ \" ; (e'\\", 0)
	f.Fuzz(func(t *testing.T, text string, dialect int) {
		spec := Spec{Text: text}
		got, err := spec.Statement(Dialect(dialect % 3))
		if (got == "") == (err == nil) {
			t.Errorf("Statement(%q) = %q, %v", text, got, err)
		}
	})
}
