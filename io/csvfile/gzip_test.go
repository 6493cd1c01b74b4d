package csvfile_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// member is a text as gzip's own writer compresses it.
func member(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGzipMembers: what gzip(1) decompresses is read, and what it warns of or refuses is not.
func TestGzipMembers(t *testing.T) {
	one, two := member(t, "id,x\n1,2\n"), member(t, "3,4\n")
	tests := []struct {
		why, bytes string
		want       string // the rows, or a part of the error
		err        error
	}{
		{"two members", one + two, "[[1 2] [3 4]]", nil},
		{"one without text between them", one + member(t, "") + two, "[[1 2] [3 4]]", nil},
		{"zeros that fill a block", one + two + strings.Repeat("\x00", 500), "[[1 2] [3 4]]", nil},
		{"zeros between members", one + "\x00\x00" + two, "follow the last one", format.ErrDamaged},
		{"text behind the last", one + "some other text", "follow the last one", format.ErrDamaged},
		{"less text behind the last than a member's head", one + "text", "follow the last one", format.ErrDamaged},
		{"the second is cut", one + two[:len(two)-5], "cut off", format.ErrDamaged},
		{"the second is cut in its head", one + two[:4], "cut off", format.ErrDamaged},
		{"another checksum", one[:len(one)-8] + "\x00\x00\x00\x00" + one[len(one)-4:], "checksum", format.ErrDamaged},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.csv.gz")
			if err := os.WriteFile(path, []byte(test.bytes), 0o666); err != nil {
				t.Fatal(err)
			}
			got, err := readFile(t, path, lines.Options{})
			if test.err == nil && (err != nil || fmt.Sprint(got.rows) != test.want) {
				t.Errorf("%+v, %v; want %s", got, err, test.want)
			}
			if test.err != nil && (!errors.Is(err, test.err) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v; want %v: %s", err, test.err, test.want)
			}
		})
	}
}
