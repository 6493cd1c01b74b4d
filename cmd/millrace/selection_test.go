package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
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
