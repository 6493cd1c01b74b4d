package sqlite

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// logged makes a database with a write-ahead log, in a folder of its own, and beside it of log and
// index what a name says: "wal" with what was written last in it, "empty", "shm".
func logged(t *testing.T, beside ...string) string {
	t.Helper()
	path := made(t, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)")
	conn, err := connect(path, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "INSERT INTO t VALUES (7)", nil); err != nil {
		t.Fatal(err)
	}
	left := map[string][]byte{}
	for _, suffix := range []string{"", "-wal", "-shm"} { // as a kill leaves them
		if left[suffix], err = os.ReadFile(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range beside {
		switch name {
		case "wal":
			err = errors.Join(os.WriteFile(path, left[""], 0o644), os.WriteFile(path+"-wal", left["-wal"], 0o644)) //nolint:gosec // another user reads it
		case "empty":
			err = os.WriteFile(path+"-wal", nil, 0o644) //nolint:gosec // likewise
		case "shm":
			err = os.WriteFile(path+"-shm", left["-shm"], 0o644) //nolint:gosec // likewise
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// listing is what a folder has.
func listing(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimPrefix(e.Name(), filepath.Base(path))
	}
	return strings.Join(names, " ")
}

// readOnly takes the rights to write to a file and its folder from this goroutine, whose thread it
// keeps, until the test ends.
func readOnly(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(path), 0o555); err != nil { //nolint:gosec // another user reads it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o755) }) //nolint:gosec // so that it can be removed
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil { //nolint:gosec // likewise
		t.Fatal(err)
	}
	const nobody = 65534
	runtime.LockOSThread()
	if _, err := unix.SetfsuidRetUid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = unix.SetfsuidRetUid(0) // or the folder cannot be removed
		runtime.UnlockOSThread()
	})
}

// TestReadersLeaveNothing: who reads a file with a write-ahead log leaves it and its folder as they
// are, and reads it where the folder cannot be written as well.
func TestReadersLeaveNothing(t *testing.T) {
	for _, c := range []struct {
		says     string
		beside   []string
		readOnly bool
		after    string // what is there then, where it is not what was
		err      string
	}{
		{"a file alone", nil, false, "", ""},
		{"what earlier readers left", []string{"empty", "shm"}, false, " ", ""},
		{"a writer was killed", []string{"wal", "shm"}, false, "", ""},
		{"a file alone", nil, true, "", ""},
		{"what earlier readers left", []string{"empty", "shm"}, true, "", ""},
		{"a log with nothing in it", []string{"empty"}, true, "", ""},
		{"a writer was killed", []string{"wal", "shm"}, true, "", ""},
		{"a writer was killed, and the log's index is gone", []string{"wal"}, true, "", "which cannot be read where the folder cannot be written"},
	} {
		name := c.says
		if c.readOnly {
			name += ", in a folder that cannot be written"
		}
		t.Run(name, func(t *testing.T) {
			path := logged(t, c.beside...)
			before, file := listing(t, path), contents(t, path)
			if c.after != "" {
				before = strings.TrimSpace(c.after)
			}
			if c.readOnly {
				readOnly(t, path)
			}
			got, _, err := rowsOf(path, query.Spec{Table: "t"})
			if c.err == "" && (err != nil || got != "{\"id\":7}\n") || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the rows are %q, %v; want the one, or %q", got, err, c.err)
			}
			if after := listing(t, path); after != before || !bytes.Equal(contents(t, path), file) {
				t.Errorf("the folder has %q; want %q, and the file as it was", after, before)
			}
		})
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestChangedWhileRead: a file that cannot be locked is read all the same, and what is read does
// not count where somebody wrote to it.
func TestChangedWhileRead(t *testing.T) {
	path := logged(t)
	readOnly(t, path)
	r, err := Open(context.Background(), path, query.Spec{Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.file.Unchanged(); err != nil {
		t.Errorf("nobody wrote: %v", err)
	}
	if os.Geteuid() == 0 {
		_, _ = unix.SetfsuidRetUid(0) // another process has the rights
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // likewise
		t.Fatal(err)
	}
	writer, err := connect(path, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.ExecContext(context.Background(), "INSERT INTO t VALUES (8)", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Each(context.Background(), func(arrow.RecordBatch) error { return nil }); !errors.Is(err, format.ErrChanged) {
		t.Errorf("Each = %v; want %v", err, format.ErrChanged)
	}
}
