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
	"pgregory.net/rapid"
)

// journalLines are those of a run that was killed once, stopped once and goes on.
func journalLines(t *testing.T) []string {
	t.Helper()
	part := func(n int) *int { return &n }
	lines := []*line{
		{Head: &Head{Version: JournalVersion, Run: oldRun, Started: time.Unix(0, 0).UTC(), Job: Job{Facts: []Fact{{Name: "model", Value: "a"}}}, Frozen: json.RawMessage(`{"rows":4096}`)}},
		{Start: &Start{Run: oldRun, PID: 1}},
		{Begun: part(0)},
		{Begun: part(1)},
		{Digest: &DigestRecord{File: 2, Digest: "xxh3:00"}},
		{Part: &PartRecord{Part: 0, Outputs: []Output{{Name: "part-00000.parquet", Bytes: 3}}}},
		{Start: &Start{Run: newRun, PID: 2}}, // the first was killed in part 1
		{Begun: part(1)},
		{Stopped: "interrupted"},
		{Start: &Start{Run: thirdRun, PID: 3}},
		{Begun: part(1)},
		{Part: &PartRecord{Part: 1, Outputs: []Output{{Name: "part-00001.parquet", Bytes: 4}}}},
		{Begun: part(2)},
	}
	text := make([]string, len(lines))
	for i, l := range lines {
		b, err := encodeLine(l)
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	return text
}

func TestJournal(t *testing.T) {
	text := strings.Join(journalLines(t), "")
	j := parseJournal([]byte(text))
	if j.Head == nil || j.Head.Run != oldRun || string(j.Head.Frozen) != `{"rows":4096}` || len(j.Starts) != 3 || j.size != int64(len(text)) {
		t.Errorf("parseJournal() = %+v, head %+v", j, j.Head)
	}
	if len(j.Parts) != 2 || j.Parts[0].Outputs[0].Bytes != 3 || j.Parts[1].Part != 1 {
		t.Errorf("parts = %+v; want 0 and 1", j.Parts)
	}
	if diff := cmp.Diff(map[int]string{2: "xxh3:00"}, j.Digests); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	// Part 1 killed the first start; the second stopped and knew why; part 2 was
	// open when the third ended.
	if diff := cmp.Diff(map[int]int{1: 1, 2: 1}, j.Deaths); diff != "" {
		t.Errorf("deaths (-want +got):\n%s", diff)
	}
}

// TestJournalDamaged cuts and flips a journal anywhere: what is read is the lines
// before the damage, and nothing else.
func TestJournalDamaged(t *testing.T) {
	lines := journalLines(t)
	text := strings.Join(lines, "")
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(text)
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "cut") {
			data = data[:at]
		} else {
			data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		}
		var whole int64 // bytes of the lines before the damage
		for _, l := range lines {
			if whole+int64(len(l)) > int64(at) {
				break
			}
			whole += int64(len(l))
		}
		j := parseJournal(data)
		if j.size != whole {
			t.Errorf("damage at %d: %d bytes count; want %d", at, j.size, whole)
		}
	})
}

func TestJournalIsNoJournal(t *testing.T) {
	for _, text := range []string{"", "x", "00000000 {}\n", strings.Repeat("a", 100) + "\n", "\n\n\n"} {
		if j := parseJournal([]byte(text)); j.Head != nil || j.size != 0 {
			t.Errorf("parseJournal(%q) = %+v; want nothing", text, j)
		}
	}
	// Another version's head, and a head that is not the first line.
	other, err := encodeLine(&line{Head: &Head{Version: "millrace.journal/99"}})
	if err != nil {
		t.Fatal(err)
	}
	if j := parseJournal(other); j.Head != nil {
		t.Errorf("head of another version was read: %+v", j.Head)
	}
	lines := journalLines(t)
	if j := parseJournal([]byte(lines[1] + lines[0])); j.size != 0 {
		t.Errorf("a journal without a head first was read to %d", j.size)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := parseJournal(data)
		if j.size > int64(len(data)) || j.size > 0 && j.Head == nil {
			t.Errorf("parseJournal() = %+v of %d bytes", j, len(data))
		}
	})
}

func TestJobDifferences(t *testing.T) {
	was := Job{Facts: []Fact{{Name: "model", Value: "a"}, {Name: "input x", Value: "1", Input: true}, {Name: "input y", Value: "2", Input: true}}}
	tests := []struct {
		name  string
		now   []Fact
		want  []string
		input bool // all that changed is the input
	}{
		{"equal", was.Facts, nil, false},
		{"a setting", []Fact{{Name: "model", Value: "b"}, was.Facts[1], was.Facts[2]}, []string{"model was a and is b"}, false},
		{"an input", []Fact{was.Facts[0], was.Facts[1], {Name: "input y", Value: "3", Input: true}}, []string{"input y was 2 and is 3"}, true},
		{"another and a missing input", []Fact{was.Facts[0], was.Facts[1], {Name: "input z", Value: "3", Input: true}}, []string{"input z is new: 3", "input y is gone; it was 2"}, true},
		{"both", []Fact{{Name: "model", Value: "b"}, was.Facts[1]}, []string{"model was a and is b", "input y is gone; it was 2"}, false},
		{"the model, from which its rewrites follow", []Fact{{Name: "model", Value: "b"}, {Name: "rewrites", Value: "some", Of: "model"}, was.Facts[1], was.Facts[2]}, []string{"model was a and is b"}, false},
		{"the rewrites of the same model", []Fact{was.Facts[0], {Name: "rewrites", Value: "some", Of: "model"}, was.Facts[1], was.Facts[2]}, []string{"rewrites is new: some"}, false},
		{"the order", []Fact{was.Facts[0], was.Facts[2], was.Facts[1]}, []string{"order of the inputs was one and is another"}, true},
	}
	for _, test := range tests {
		now := Job{Facts: test.now}
		var got []string
		changed := now.Differences(was)
		for _, d := range changed {
			got = append(got, d.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if (now.Digest() == was.Digest()) != (test.want == nil) {
			t.Errorf("%s: digests %s and %s", test.name, now.Digest(), was.Digest())
		}
		if err := error(&OtherJobError{Differences: changed}); test.want != nil && (errors.Is(err, ErrInputChanged) != test.input || !errors.Is(err, ErrOtherJob)) {
			t.Errorf("%s: ErrInputChanged is %v; want %v", test.name, errors.Is(err, ErrInputChanged), test.input)
		}
	}
	many := Job{}
	for i := range 20 {
		many.Facts = append(many.Facts, Fact{Name: fmt.Sprint("f", i), Value: "1"})
	}
	err := &OtherJobError{Output: "o", Differences: many.Differences(Job{})}
	if text := err.Error(); !strings.Contains(text, "f7 is new") || strings.Contains(text, "f8") || !strings.Contains(text, "12 more") {
		t.Errorf("message: %s", text)
	}
}

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

func TestHeldAsks(t *testing.T) {
	opts := options(t)
	if err := Held(opts.Output); err != nil {
		t.Errorf("Held() before = %v", err)
	}
	s := stage(t, opts)
	if err := Held(opts.Output); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), opts.RunID) {
		t.Errorf("Held() = %v; want the run's name", err)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := Held(opts.Output); err != nil {
		t.Errorf("Held() after = %v", err)
	}
}
