package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testJob = &Job{Facts: []Fact{{Name: "model", Value: "m"}, {Name: "input", Value: "i", Input: true}}}

// jobParts are how many parts a run of runJob has.
const jobParts = 4

// partFill is the content of a job's part.
func partFill(job *Job, part int) []byte {
	return []byte(strings.Repeat(string(rune('a'+part))+job.Digest()[:4], 20*(part+1)))
}

// partsOf are how many parts a run has.
func (o *StageOptions) partsOf() int {
	if o.Single {
		return 1
	}
	return jobParts
}

// runJob does what a run does: it stages, begins, writes the parts that are not there,
// publishes. It stops before part stopAt, as at a signal.
func runJob(opts StageOptions, stopAt int) (wrote int, err error) {
	return runJobBy(opts, stopAt, writePart)
}

// runJobBy is runJob with parts that something else writes.
func runJobBy(opts StageOptions, stopAt int, writePart func(s *Staging, i int, rows Rows) error) (wrote int, err error) {
	s, err := Stage(opts)
	if err != nil {
		return 0, err
	}
	published := false
	defer func() {
		if published {
			err = errors.Join(err, s.Discard())
		} else {
			_, kept := s.Suspend("a test")
			err = errors.Join(err, kept)
		}
	}()
	if err := errors.Join(s.Loading(), s.Loaded()); err != nil {
		return 0, err
	}
	if err := s.Begin(json.RawMessage(`{}`)); err != nil {
		return 0, err
	}
	m := &Manifest{}
	taken := map[int]bool{}
	if j := s.Taken(); j != nil {
		for _, p := range j.Parts {
			taken[p.Part] = true
		}
	}
	for i := range opts.partsOf() {
		rows := Rows{Read: int64(i), Scored: int64(i)}
		m.Parts = append(m.Parts, rows)
		m.Ledger = m.Ledger.Add(rows)
		if taken[i] {
			continue
		}
		if i == stopAt {
			return wrote, errStopped
		}
		if err := writePart(s, i, rows); err != nil {
			return wrote, err
		}
		wrote++
	}
	m.Inputs = []Input{{Rows: m.Ledger.Read, Ledger: m.Ledger}}
	err = s.Publish(m)
	published = err == nil || errors.Is(err, ErrNotDurable)
	return wrote, err
}

var errStopped = errors.New("stopped")

func writePart(s *Staging, i int, rows Rows) error {
	if err := s.Enter(i); err != nil {
		return err
	}
	if s.several() {
		return writeFolders(s, i, rows)
	}
	p, err := s.Part(i)
	if err != nil {
		return err
	}
	if _, err := p.Write(partFill(s.opts.Job, i)); err != nil {
		return errors.Join(err, p.Abort())
	}
	out, err := p.Commit(rows.Scored)
	if err != nil {
		return err
	}
	if err := s.RecordDigest(DigestRecord{File: i, Digest: "sha256:" + out.SHA256}); err != nil {
		return err
	}
	return s.Record(PartRecord{Part: i, Outputs: []Output{out}, Rows: rows, Detail: json.RawMessage(`{}`)})
}

// partFolders are the folders that a part of several files has files in: one that all
// parts have, and one of its own within another of all.
func partFolders(i int) []string { return []string{"k=all", fmt.Sprintf("k=some/j=%d", i)} }

// writeFolders writes a part that has a file in each of its folders.
func writeFolders(s *Staging, i int, rows Rows) error {
	p, err := s.PartFiles(i)
	if err != nil {
		return err
	}
	for n, folder := range partFolders(i) {
		f, err := p.Create(folder)
		if err != nil {
			return errors.Join(err, p.Abort())
		}
		if _, err := f.Write(partFill(s.opts.Job, i)); err != nil {
			return errors.Join(err, p.Abort())
		}
		if err := p.End(rows.Scored * int64(1-n)); err != nil {
			return errors.Join(err, p.Abort())
		}
	}
	outputs, err := p.Commit(rows.Scored)
	if err != nil {
		return err
	}
	return s.Record(PartRecord{Part: i, Outputs: outputs, Rows: rows, Detail: json.RawMessage(`{}`)})
}

// checkJob checks that an output has a job's parts from file number first on.
func checkJob(t *testing.T, output string, job *Job, first int) {
	t.Helper()
	for i := range jobParts {
		name := fmt.Sprintf("part-%05d.parquet", first+i)
		got, err := os.ReadFile(filepath.Join(output, name))
		if err != nil || string(got) != string(partFill(job, i)) {
			t.Errorf("%s: %d bytes, %v; want %d of %c", name, len(got), err, len(partFill(job, i)), 'a'+i)
		}
	}
}

func jobOptions(t *testing.T) StageOptions {
	t.Helper()
	opts := options(t)
	opts.Job, opts.RunID = testJob, oldRun
	return opts
}

func TestContinue(t *testing.T) {
	opts := jobOptions(t)
	if wrote, err := runJob(opts, 2); wrote != 2 || !errors.Is(err, errStopped) {
		t.Fatalf("first start: %d parts, %v", wrote, err)
	}
	// What a death leaves besides: half a line, a part without its line, a manifest.
	dir := filepath.Join(filepath.Dir(opts.Output), ".out.millrace-"+oldRun)
	for _, name := range []string{"data/part-00002.parquet", "data/.part-00003.parquet.tmp", "data/_SUCCESS", "rejects-00002.arrow"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.WriteString(`0123abcd {"part":{"par`); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	opts.RunID = newRun
	if wrote, err := runJob(opts, 3); wrote != 1 || !errors.Is(err, errStopped) {
		t.Fatalf("second start: %d parts, %v; want 1, stopped", wrote, err)
	}
	opts.RunID = thirdRun
	if wrote, err := runJob(opts, -1); wrote != 1 || err != nil {
		t.Fatalf("third start: %d parts, %v; want 1", wrote, err)
	}
	checkJob(t, opts.Output, testJob, 0)
	if left := strings.Join(tree(t, filepath.Dir(opts.Output)), "\n"); strings.Contains(left, ".millrace-") || strings.Contains(left, "half") {
		t.Errorf("left behind:\n%s", left)
	}
	// Once more: there is nothing to do.
	opts.RunID = NewRunID(time.Now())
	_, err = runJob(opts, -1)
	done, ok := errors.AsType[*PublishedError](err)
	if !ok || done.Manifest.Run != thirdRun || done.Manifest.Job != testJob.Digest() {
		t.Errorf("after publishing: %v; want a *PublishedError of the third start", err)
	}
	// Unless a file of it is gone, or --restart asks.
	opts.IfExists, opts.Restart = IfExistsReplace, true
	if wrote, err := runJob(opts, -1); wrote != jobParts || err != nil {
		t.Errorf("with Restart: %d parts, %v", wrote, err)
	}
	if err := os.Remove(filepath.Join(opts.Output, "part-00001.parquet")); err != nil {
		t.Fatal(err)
	}
	opts.RunID, opts.Restart = NewRunID(time.Now().Add(time.Second)), false
	if wrote, err := runJob(opts, -1); wrote != jobParts || err != nil {
		t.Errorf("with a part gone: %d parts, %v", wrote, err)
	}
}

func TestContinueChecksFiles(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, 3); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(opts.Output), ".out.millrace-"+oldRun, "data")
	if err := os.Truncate(filepath.Join(dir, "part-00001.parquet"), 7); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "part-00002.parquet")); err != nil {
		t.Fatal(err)
	}
	opts.RunID = newRun
	if wrote, err := runJob(opts, -1); wrote != 3 || err != nil {
		t.Errorf("%d parts, %v; want the two that were touched and the last", wrote, err)
	}
	checkJob(t, opts.Output, testJob, 0)
}

func TestOtherJob(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, 2); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	before := tree(t, filepath.Dir(opts.Output))
	other := opts
	other.RunID, other.Job = newRun, &Job{Facts: []Fact{{Name: "model", Value: "n"}, testJob.Facts[1]}}
	_, err := runJob(other, -1)
	if !errors.Is(err, ErrOtherJob) || !strings.Contains(err.Error(), "model was m and is n") || !strings.Contains(err.Error(), "--restart") {
		t.Errorf("another job: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, filepath.Dir(opts.Output))); diff != "" {
		t.Errorf("the refused job changed (-before +after):\n%s", diff)
	}
	other.Restart = true
	if wrote, err := runJob(other, -1); wrote != jobParts || err != nil {
		t.Errorf("with Restart: %d parts, %v", wrote, err)
	}
}

func TestNothingFinishedLeavesNothing(t *testing.T) {
	opts := jobOptions(t)
	if _, err := runJob(opts, 0); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if left := tree(t, filepath.Dir(opts.Output)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTakenOver has a run wake up after another took its place: it can neither
// write into the other's files nor publish.
func TestTakenOver(t *testing.T) {
	opts := jobOptions(t)
	stalled, err := Stage(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := stalled.Begin(nil); err != nil {
		t.Fatal(err)
	}
	if err := writePart(stalled, 0, Rows{}); err != nil {
		t.Fatal(err)
	}
	half, err := stalled.Part(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.Write([]byte("of the stalled run")); err != nil {
		t.Fatal(err)
	}
	// Somebody believes it dead, and takes its lock away.
	if err := os.Remove(lockPath(opts.Output)); err != nil {
		t.Fatal(err)
	}
	second := opts
	second.RunID = newRun
	if wrote, err := runJob(second, -1); wrote != jobParts-1 || err != nil {
		t.Fatalf("second run: %d parts, %v; want all but the first", wrote, err)
	}
	if _, err := half.Commit(0); err == nil {
		t.Error("the stalled run committed a part")
	}
	if _, err := stalled.Suspend("taken over"); err != nil {
		t.Errorf("Suspend() of the stalled run = %v", err)
	}
	checkJob(t, opts.Output, testJob, 0)
	if left := strings.Join(tree(t, filepath.Dir(opts.Output)), "\n"); strings.Contains(left, ".millrace-") {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestTakenOverAtTheEnd is the same for a run that has only to publish.
func TestTakenOverAtTheEnd(t *testing.T) {
	opts := jobOptions(t)
	stalled, err := Stage(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := stalled.Begin(nil); err != nil {
		t.Fatal(err)
	}
	m := &Manifest{}
	for i := range jobParts {
		rows := Rows{Read: int64(i), Scored: int64(i)}
		if err := writePart(stalled, i, rows); err != nil {
			t.Fatal(err)
		}
		m.Parts, m.Ledger = append(m.Parts, rows), m.Ledger.Add(rows)
	}
	m.Inputs = []Input{{Rows: m.Ledger.Read, Ledger: m.Ledger}}
	if err := os.Remove(lockPath(opts.Output)); err != nil {
		t.Fatal(err)
	}
	second := opts
	second.RunID = newRun
	if wrote, err := runJob(second, -1); wrote != 0 || err != nil {
		t.Fatalf("second run: %d parts, %v; want none", wrote, err)
	}
	stalled.opts.IfExists = IfExistsReplace // even if it might
	if err := stalled.Publish(m); !errors.Is(err, ErrHeld) {
		t.Errorf("Publish() of the stalled run = %v; want ErrHeld", err)
	}
	if _, err := stalled.Suspend("taken over"); err != nil {
		t.Errorf("Suspend() of the stalled run = %v", err)
	}
	checkJob(t, opts.Output, testJob, 0)
	faultCase{}.checkChain(t, opts.Output, "taken over", newRun)
}
