package jsonlfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// TestRefused: a file that is JSON, and no lines of objects, is none of bad lines.
func TestRefused(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"an array in a line", `[{"a":1},{"a":2}]`, "jq -c '.[]'"},
		{"an array whose last element is a whole line", "[\n  {\"a\":1},\n  {\"a\":2}\n]\n", "one array"},
		{"an array whose first element stands beside its bracket", "[{\"a\":1},\n{\"a\":2}]\n", "one array"},
		{"objects over several lines", "{\n\"a\": 1\n}\n", "jq -c ."},
	} {
		if got, err := read(t, []byte(tc.text), lines.Options{}); !errors.Is(err, format.ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: read(%q) = %+v, %v; want %s", tc.name, tc.text, got, err, tc.want)
		}
	}
	if got, err := read(t, []byte("[1,2]\n{\"a\":1}\n"), lines.Options{}); err != nil || len(got.problems) != 1 {
		t.Errorf("a list in the first line alone: %+v, %v; want a bad line", got, err)
	}
}
