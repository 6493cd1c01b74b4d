package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// One command finishes the run that stopped, and then scores what has come since.
func TestScoreGoesOnToWhatIsNew(t *testing.T) {
	lib := orttest.Library(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.Mkdir(in, 0o777); err != nil {
		t.Fatal(err)
	}
	sample, err := filepath.Abs("../../testdata/flights-sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string) {
		if err := os.Symlink(sample, filepath.Join(in, name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%02d.parquet", i)), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{
		"--model", "../../models/reference/flights_gbdt.onnx", "--input", in, "--output", out, "--nulls", "nan", "--ids", "id",
		"--if-exists", "append", "--only-new", "--part-rows", "1", "--batch-size", "4096",
	}
	opts, err := optionsOf(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	progress := plan.NewProgress()
	go func() {
		for progress.PartsDone.Load() == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		plan.Stop(engine.ErrInterrupted, 0)
	}()
	if _, err := plan.Run(t.Context(), lib, progress); !errors.Is(err, engine.ErrInterrupted) {
		t.Fatalf("Run() = %v; want it stopped", err)
	}
	if err := plan.Close(); err != nil {
		t.Fatal(err)
	}
	add("a")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append(append([]string{"score"}, args...), "--json", "--quiet"), nil, &stdout, &stderr); code != 0 {
		t.Fatalf("score exits %d\n%s", code, stderr.String())
	}
	var r struct {
		Rows      struct{ Read int64 }
		Selection engine.Selection
		Before    *struct {
			Starts    int
			RowsTaken int64 `json:"rows_taken"`
			Rows      struct{ Read int64 }
			Selection engine.Selection
		} `json:"finished_before"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	rows := r.Rows.Read
	if b := r.Before; b == nil || b.Starts != 2 || b.RowsTaken == 0 || b.Rows.Read != 12*rows || b.Selection.Later != 1 || r.Selection.Chosen != 1 || r.Selection.Seen != 12 {
		t.Errorf("score = %s; want the run that stopped finished, and then the one file", stdout.String())
	}
}

// A table remembers what its runs have read as files do.
func TestOnlyNewIntoATable(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		if _, err := exec.LookPath("python3"); err != nil {
			t.Skip("no python3 to look into the file")
		}
		file := filepath.Join(t.TempDir(), "scores.db")
		onlyNewIntoATable(t, "sqlite:"+file+"?table=nightly", func(sql string) string {
			rows, err := exec.CommandContext(t.Context(), "python3", "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute(sys.argv[2]).fetchone() or ''); c.commit()", file, sql).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, rows)
			}
			return strings.Trim(string(rows), "(,)\n")
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t) // skips where there is none
		onlyNewIntoATable(t, server.URI("nightly", ""), func(sql string) string {
			return server.Must(t, strings.Replace(sql, "nightly_millrace_run", "nightly_millrace.run", 1))
		})
	})
}

func onlyNewIntoATable(t *testing.T, output string, ask func(sql string) string) {
	t.Helper()
	orttest.Library(t)
	fixtures, in := t.TempDir(), t.TempDir()
	writeFixtures(t, fixtures)
	copyOf := func(from, to string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(fixtures, from))
		if err == nil {
			err = os.WriteFile(filepath.Join(in, to), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	score := func(want int, says string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		args := []string{"score", "--model", filepath.Join(fixtures, "named.onnx"), "--input", in, "--output", output, "--ids", "id", "--if-exists", "append", "--only-new"}
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != want || !strings.Contains(stdout.String()+stderr.String(), says) {
			t.Fatalf("score exits %d and says %s%s; want %d and %q", code, stdout.String(), stderr.String(), want, says)
		}
	}
	rows := func(want string) {
		t.Helper()
		if got := ask("SELECT count(*) FROM nightly"); got != want {
			t.Errorf("the table has %s rows; want %s", got, want)
		}
	}
	copyOf("good.parquet", "1.parquet")
	score(0, "1 file: 1 to read")
	score(0, "nothing new")
	copyOf("good.arrow", "2.arrow")
	score(0, "2 files: 1 to read, 1 read by earlier runs")
	rows("6")
	copyOf("nan.parquet", "1.parquet")
	score(4, "has changed")
	ask("DELETE FROM nightly_millrace_run WHERE parent IS NULL")
	score(4, "whose manifest is missing or another")
	ask("UPDATE nightly_millrace_run SET manifest = '{}'")
	score(4, "what its runs have read cannot be told")
	rows("6")
}
