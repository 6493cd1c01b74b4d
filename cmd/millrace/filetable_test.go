package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// fileTable asks a SQLite file, by the driver alone.
func fileTable(t *testing.T, path, sql string) (rows [][]driver.Value) {
	t.Helper()
	conn, err := (&sqlite3.SQLiteDriver{}).Open("file:" + path + "?mode=ro&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	found, err := conn.(driver.QueryerContext).QueryContext(context.Background(), sql, nil)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer found.Close()
	for {
		row := make([]driver.Value, len(found.Columns()))
		switch err := found.Next(row); {
		case errors.Is(err, io.EOF):
			return rows
		case err != nil:
			t.Fatalf("%s: %v", sql, err)
		}
		rows = append(rows, row)
	}
}

// wholeRows are id and prediction of every row of a whole run to CSV, sorted.
func wholeRows(t *testing.T, s *soak) []string {
	t.Helper()
	out := filepath.Join(s.dir, "whole.csv")
	if code, said := s.start(out).wait(t); code != 0 {
		t.Fatalf("whole run to CSV: %d: %s", code, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return scores(t, string(data[strings.IndexByte(string(data), '\n')+1:]))
}

// TestFileTableKilled kills runs into a table of a SQLite file at any moment, starts them
// again, and compares what the table has then with the file of a whole run.
func TestFileTableKilled(t *testing.T) {
	slow(t)
	s := newSoak(t)
	want := wholeRows(t, s)
	taken := 0
	for n := range tableRuns(t) {
		path := filepath.Join(s.dir, fmt.Sprintf("killed%d.db", n))
		output := "sqlite:" + path + "?table=scores"
		for range 3 {
			p := s.start(output)
			time.Sleep(time.Duration(s.random.Int64N(int64(s.took))))
			_ = p.cmd.Process.Kill() // it may have ended
			if code, said := p.wait(t); code != -1 && code != 0 {
				t.Fatalf("killed: %d: %s", code, said)
			}
		}
		p := s.start(output)
		if code, said := p.wait(t); code != 0 {
			t.Fatalf("after three kills: %d: %s", code, said)
		}
		if p.summary(t).RowsTaken > 0 {
			taken++
		}
		var got []string
		for _, r := range fileTable(t, path, "SELECT id, variable FROM scores") {
			got = append(got, fmt.Sprintf("%d,%s", r[0], strconv.FormatFloat(r[1].(float64), 'g', -1, 32)))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the table has %d rows that are not the %d of a whole run to a file", len(got), len(want))
		}
		rejected := soakFiles*int(s.rows) - len(want)
		state := fmt.Sprint(fileTable(t, path, "SELECT state, rows_written, rows_rejected, (SELECT count(*) FROM scores_millrace_reject) FROM scores_millrace_runs"))
		if state != fmt.Sprintf("[[published %d %d %d]]", len(want), rejected, rejected) {
			t.Errorf("runs has %s; want one that published %d rows and rejected %d", state, len(want), rejected)
		}
		if left := fileTable(t, path, "SELECT name FROM sqlite_schema WHERE name LIKE '%rows_2%'"); len(left) > 0 {
			t.Errorf("staged rows are left: %v", left)
		}
		if p := s.start(output); true { // again: nothing to do
			if code, said := p.wait(t); code != 0 || !p.summary(t).Already {
				t.Errorf("again: %d: %s", code, said)
			}
		}
	}
	t.Logf("%d of %d runs went on with what killed ones had finished", taken, tableRuns(t))
}
