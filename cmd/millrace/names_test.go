package main

import (
	"slices"
	"testing"
)

// Names in a flag's list lose the blanks around them, unless they stand in quotes.
func TestJoinColumns(t *testing.T) {
	for list, want := range map[string][]string{
		"":                 nil,
		"a":                {"a"},
		" a , b,,c ,":      {"a", "b", "c"},
		`" x"`:             {" x"},
		`a, " x","b, c" ,`: {"a", " x", "b, c"},
		`"say ""a""",b`:    {`say "a"`, "b"},
		`"",a`:             {"a"},
		`"a`:               {`"a`},        // no end
		`"a"b,c`:           {`"a"b`, "c"}, // more after it
		`a"b,c"`:           {`a"b`, `c"`},
		`","`:              {","},
	} {
		if got := joinColumns([]string{list}); !slices.Equal(got, want) {
			t.Errorf("joinColumns(%s) = %q; want %q", list, got, want)
		}
	}
}
