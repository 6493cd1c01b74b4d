package query

import (
	"slices"
	"testing"
)

func TestSplitName(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string // nil: refused
	}{
		{"a", []string{"a"}},
		{"a.b", []string{"a", "b"}},
		{`"a.b"`, []string{"a.b"}},
		{`"a.b"."c""d"`, []string{"a.b", `c"d`}},
		{`a"b.C`, []string{`a"b`, "C"}},
		{"a.b.c", nil},
		{"a.", nil},
		{".a", nil},
		{"", nil},
		{`""`, nil},
		{`"a`, nil},
		{`"a"b`, nil},
	} {
		got, err := SplitName(c.text)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("SplitName(%s) = %q, %v; want %q", c.text, got, err, c.want)
		}
		if c.want == nil {
			continue
		}
		schema, name := "", got[len(got)-1]
		if len(got) == 2 {
			schema = got[0]
		}
		if again, err := SplitName(JoinName(schema, name)); err != nil || !slices.Equal(again, got) {
			t.Errorf("SplitName(JoinName(%q)) = %q, %v", got, again, err)
		}
	}
}
