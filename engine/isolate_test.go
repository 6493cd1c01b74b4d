package engine_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// killedIn leaves the progress of a run some of whose starts were killed while they
// scored parts.
func killedIn(t *testing.T, lib *ort.Library, opts engine.Options, deaths int, parts ...int) {
	t.Helper()
	halfDone(t, lib, opts)
	journals, err := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), "."+filepath.Base(opts.Output)+".millrace-*", "journal"))
	if err != nil || len(journals) != 1 {
		t.Fatalf("journals: %v, %v", journals, err)
	}
	journal, err := os.OpenFile(journals[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	line := func(text string) {
		if _, err := fmt.Fprintf(journal, "%08x %s\n", crc32.Checksum([]byte(text), table), text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range deaths {
		line(fmt.Sprintf(`{"start":{"run":"x","time":"2026-01-02T03:04:05Z","pid":%d,"host":"h"}}`, i+1))
		for _, part := range parts {
			line(fmt.Sprintf(`{"begun":%d}`, part))
		}
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// apart makes an Options.ScoreApart that does here what another process does.
func apart(t *testing.T, lib *ort.Library, opts engine.Options) func(ctx context.Context, path string) error {
	t.Helper()
	return func(ctx context.Context, path string) error {
		plan, err := engine.NewPlan(ctx, opts)
		if err != nil {
			return err
		}
		defer func() {
			if err := plan.Close(); err != nil {
				t.Error(err)
			}
		}()
		return plan.ScoreApart(ctx, lib, path)
	}
}

// TestIsolatedParts scores parts apart in which starts died: whether that goes well at
// once or the second time, the output is the one of a run that nothing happened to.
func TestIsolatedParts(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.BatchRows = fewRows()
	opts.Output = filepath.Join(t.TempDir(), "whole")
	whole := mustRun(t, opts)
	want, rejects := sums(t, whole, opts.Output), rejectBytes(t, whole)
	tests := []struct {
		name   string
		deaths int
		parts  []int
		dies   int // of the processes, the first
		calls  int
	}{
		{"one death is the machine's", 1, []int{38, 39}, 0, 0},
		{"two in one part", 2, []int{39}, 0, 1},
		{"two in parts side by side", 2, []int{37, 38, 39}, 0, 3},
		{"the first process dies too, the second not", 3, []int{38}, 1, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := opts
			opts.Output = filepath.Join(t.TempDir(), "out")
			killedIn(t, lib, opts, test.deaths, test.parts...)
			calls, score := 0, apart(t, lib, opts)
			opts.ScoreApart = func(ctx context.Context, path string) error {
				if calls++; calls <= test.dies {
					return engine.ErrDied
				}
				return score(ctx, path)
			}
			summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
			if err != nil {
				t.Fatal(err)
			}
			if calls != test.calls {
				t.Errorf("%d processes; want %d", calls, test.calls)
			}
			if got := sums(t, summary, opts.Output); !slices.Equal(got, want) {
				t.Error("the parts are others")
			}
			if string(rejectBytes(t, summary)) != string(rejects) || summary.Rows != whole.Rows {
				t.Errorf("rejects are others, or rows: %+v; want %+v", summary.Rows, whole.Rows)
			}
			if err := manifestOf(t, summary).Check(); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".out*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestDeadlyParts has every process die that scores one of the parts. All others are
// scored and kept, and the next start tries that part alone.
func TestDeadlyParts(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.BatchRows = fewRows()
	opts.Output = filepath.Join(t.TempDir(), "out")
	killedIn(t, lib, opts, 2, 37, 39)
	score := apart(t, lib, opts)
	deadly := true
	opts.ScoreApart = func(ctx context.Context, path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if deadly && strings.Contains(string(text), `"part":37,`) {
			return fmt.Errorf("%w by a test", engine.ErrDied)
		}
		return score(ctx, path)
	}
	for range 2 {
		_, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
		if !errors.Is(err, engine.ErrDeadly) || !errors.Is(err, models.ErrModel) {
			t.Fatalf("Run() = %v; want ErrDeadly", err)
		}
		for _, says := range []string{"2 starts died in part 37 (rows 18500 to 18999 of ", "in.parquet)", "before it scored a row", "by a test", "--kernels onnxruntime", "39 of 40 parts are finished and kept"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("Run() = %v; want it to say %q", err, says)
			}
		}
	}
	deadly = false
	summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
	if err != nil || summary.RowsTaken != summary.Rows.Read-500 {
		t.Errorf("Run() = %+v, %v; want it published, with the one part scored", summary, err)
	}
}

// TestIsolatedPartFails has the process end with an error of its own, and the run be
// stopped while it works.
func TestIsolatedPartFails(t *testing.T) {
	lib := orttest.Library(t)
	base := manyParts(t)
	base.BatchRows = fewRows()
	errFull := errors.New("the disk is full")
	tests := []struct {
		name  string
		score func(plan *engine.Plan) func(ctx context.Context, path string) error
		want  []error
	}{
		{"an error", func(*engine.Plan) func(context.Context, string) error {
			return func(context.Context, string) error { return errFull }
		}, []error{engine.ErrApart, errFull}},
		{"stopped", func(plan *engine.Plan) func(context.Context, string) error {
			return func(ctx context.Context, _ string) error {
				plan.Stop(engine.ErrInterrupted, 0)
				<-ctx.Done()
				return engine.ErrDied // it was killed
			}
		}, []error{engine.ErrInterrupted}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := base
			opts.Output = filepath.Join(t.TempDir(), "out")
			killedIn(t, lib, opts, 2, 39)
			opts.ScoreApart = func(context.Context, string) error { return nil }
			plan, err := engine.NewPlan(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			plan.Options.ScoreApart = test.score(plan)
			_, err = plan.Run(t.Context(), lib, plan.NewProgress())
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("Run() = %v; want an error that wraps %v", err, want)
				}
			}
			if errors.Is(err, engine.ErrDeadly) || !strings.Contains(err.Error(), "39 of 40 parts are finished and kept") {
				t.Errorf("Run() = %v; want the other parts kept", err)
			}
		})
	}
}

// TestScoreApartRefuses gives the process what is not its run's.
func TestScoreApartRefuses(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.Output = filepath.Join(t.TempDir(), "out")
	tests := []struct {
		name, text string
		want       error
	}{
		{"no JSON", "x", engine.ErrUsage},
		{"another job", `{"part":0,"run":"20260102T030405Z-abcdef","job":"00"}`, ledger.ErrInputChanged},
		{"no such part", `{"part":40}`, ledger.ErrInputChanged},
		{"a part below 0", `{"part":-1}`, ledger.ErrInputChanged},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "apart.json")
		writeFile(t, path, []byte(test.text))
		if err := apart(t, lib, opts)(t.Context(), path); !errors.Is(err, test.want) {
			t.Errorf("%s: ScoreApart() = %v; want an error that wraps %v", test.name, err, test.want)
		}
	}
	if err := apart(t, lib, opts)(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, engine.ErrUsage) {
		t.Errorf("no file: ScoreApart() = %v; want ErrUsage", err)
	}
}
