package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAppend(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, -1); err != nil {
		t.Fatal(err)
	}
	opts.IfExists, opts.RunID = IfExistsAppend, newRun
	if _, err := runJob(opts, -1); !errors.Is(err, ErrPublished) {
		t.Errorf("appending the same job: %v; want ErrPublished, or its rows are there twice", err)
	}
	second := opts
	second.Job = &Job{Facts: []Fact{{Name: "model", Value: "m"}, {Name: "input", Value: "the next day", Input: true}}}
	if wrote, err := runJob(second, 2); wrote != 2 || !errors.Is(err, errStopped) {
		t.Fatalf("append that stops: %d, %v", wrote, err)
	}
	second.RunID = thirdRun
	if wrote, err := runJob(second, -1); wrote != 2 || err != nil {
		t.Fatalf("append that goes on: %d, %v", wrote, err)
	}
	checkJob(t, opts.Output, testJob, 0)
	checkJob(t, opts.Output, second.Job, jobParts)
	faultCase{}.checkChain(t, opts.Output, "append", thirdRun, oldRun)
	for _, again := range []StageOptions{opts, second} {
		again.RunID = NewRunID(time.Now())
		if _, err := runJob(again, -1); !errors.Is(err, ErrPublished) {
			t.Errorf("appending again: %v; want ErrPublished", err)
		}
	}
}

// TestAppendToWhatIsIncomplete: who took a file out of the output learns which, and what to do.
func TestAppendToWhatIsIncomplete(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(opts.Output, "part-00001."+opts.Ext)); err != nil {
		t.Fatal(err)
	}
	opts.Job, opts.IfExists, opts.RunID = &Job{Facts: []Fact{{Name: "model", Value: "another"}}}, IfExistsAppend, newRun
	want := fmt.Sprintf("\"part-00001.%s\", which run %s wrote, is missing: restore it", opts.Ext, oldRun)
	if _, err := runJob(opts, -1); !errors.Is(err, ErrOutput) || !strings.Contains(err.Error(), want) {
		t.Errorf("append = %v; want %s", err, want)
	}
}

// TestReplaceWhatWasAppended replaces an output by a job that is part of it already: to be
// one of two is not to be the output.
func TestReplaceWhatWasAppended(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, -1); err != nil {
		t.Fatal(err)
	}
	second := opts
	second.Job, second.IfExists, second.RunID = &Job{Facts: []Fact{{Name: "model", Value: "another"}}}, IfExistsAppend, newRun
	if _, err := runJob(second, -1); err != nil {
		t.Fatal(err)
	}
	opts.IfExists, opts.RunID = IfExistsReplace, thirdRun
	if wrote, err := runJob(opts, -1); wrote != jobParts || err != nil {
		t.Errorf("replacing by a job that is half of the output: %d parts, %v; want it written", wrote, err)
	}
	checkJob(t, opts.Output, testJob, 0)
	if _, err := os.Stat(filepath.Join(opts.Output, fmt.Sprintf("part-%05d.parquet", jobParts))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of the appended run is there still: %v", err)
	}
	opts.RunID = NewRunID(time.Now())
	if _, err := runJob(opts, -1); !errors.Is(err, ErrPublished) {
		t.Errorf("replacing by the same job: %v; want ErrPublished", err)
	}
}

func TestAppendNeedsAManifest(t *testing.T) {
	opts := jobOptions(t)
	if err := os.Mkdir(opts.Output, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(opts.Output, "_SUCCESS"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	opts.IfExists = IfExistsAppend
	if _, err := runJob(opts, -1); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "no manifest") {
		t.Errorf("append to an output of another program: %v", err)
	}
}
