package table

import (
	"strings"
	"testing"
)

func TestInOrder(t *testing.T) {
	for _, c := range []struct{ runs, want string }{
		{"", ""},
		{"a b<a c<b s", "a b<a c<b s"},
		{"b<a c<b a d<c", "a b<a c<b d<c"}, // a says that it was published in between
		{"c<b b<a a", "a b<a c<b"},
		{"c<b d<c", "c<b d<c"},             // b is missing
		{"a c<b b<c d<d", "a d<d c<b b<c"}, // a circle
	} {
		texts := strings.Fields(c.runs)
		runs := make([]Run, 0, len(texts))
		for _, text := range texts {
			id, parent, _ := strings.Cut(text, "<")
			runs = append(runs, Run{ID: id, Shown: Shown{Parent: parent}})
		}
		var got []string
		for _, r := range InOrder(runs) {
			text := r.ID
			if r.Parent != "" {
				text += "<" + r.Parent
			}
			got = append(got, text)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("InOrder(%s) = %s; want %s", c.runs, got, c.want)
		}
	}
}
