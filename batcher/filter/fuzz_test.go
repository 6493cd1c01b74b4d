package filter

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParse: any text is an expression that can be evaluated and judged by statistics,
// and means the same when it is written anew; or an error that shows where.
func FuzzParse(f *testing.F) {
	record := sample(f)
	for _, text := range []string{
		`dep_delay != nil && i > 0`, `i in [1, 2, 3, 4] or not b`, `col("arr delay") % 2 == 0`, `$env["arr delay"] < -1.5e3`,
		`s matches "^a.*b$" ? b : c ?? true`, `day >= date("2013-01-01") && at < "2013-01-01T05:00"`, `-10 < small <= 5`,
		`price == 10.25 || u > 18446744073709551615`, `(i + small) * 2 / 3 != nil`, `code not in ["AA"]`, `list == nil`, `small in 1..5`,
		`let x = 1; x`, `all([1], {# > 1})`, `a?.b`, `{"a": 1}`, `i | max(2)`, "`raw` == s", `b"\x00" == s`, `1_000 < i`, `0x10 == i`, `i[1:2]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := Parse(text, record.Schema())
		if err != nil {
			var at *Error
			if !errors.As(err, &at) || strings.Contains(at.Reason, "it cannot be parsed") {
				t.Fatalf("Parse(%q) = %v", text, err)
			}
			_ = err.Error()
			return
		}
		rows := rowsOf(t, filter, record)
		verdict := filter.Prune(func(int) Stats { return Stats{Rows: record.NumRows(), Nulls: -1} })
		if verdict == None && len(rows) > 0 || verdict == All && len(rows) < int(record.NumRows()) {
			t.Fatalf("Parse(%q): verdict %d, and rows %v pass", text, verdict, rows)
		}
		again, err := Parse(filter.String(), record.Schema())
		if err != nil {
			t.Fatalf("Parse(%q) is %q: %v", text, filter, err)
		}
		if got := rowsOf(t, again, record); len(got) != len(rows) {
			t.Fatalf("Parse(%q) is %q, which passes %v; want %v", text, filter, got, rows)
		}
		for _, name := range filter.Columns() {
			if !strings.Contains(strings.Join(Names(text), "\x00"), name) {
				t.Fatalf("Names(%q) = %q; want %q among them", text, Names(text), name)
			}
		}
	})
}
