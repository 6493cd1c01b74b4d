package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// soakRuns is how many runs of each kind there are: 5, or what SOAK_RUNS says (make
// soak: 200).
func soakRuns(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return 3
	}
	text := os.Getenv("SOAK_RUNS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_RUNS is %q; want a number of runs", text)
	}
	return n
}

// soak is a job of some parts that tests kill, and what it publishes when nobody does.
type soak struct {
	dir     string
	program string
	env     []string
	args    []string
	random  *rand.Rand
	rows    int64 // of a part
	bytes   int64 // that a whole output takes

	took     time.Duration // of a whole run
	want     fileset       // of a whole run
	names    []string      // in its directory
	oldNames []string      // in that of an output that stood there before
}

// fileset is the digests of an output's files by path, manifests and what is in hidden
// directories aside.
type fileset map[string]string

// soakFiles are how many times the sample is read, and so how many parts there are.
const soakFiles = 10

// newSoak is a job of flags: trees over flights, with rejects.
func newSoak(t *testing.T) *soak {
	t.Helper()
	s, repo := bareSoak(t, "testdata/flights-sample.parquet")
	s.rows = 50_000
	s.args = []string{"score", "--model", filepath.Join(repo, "models/reference/flights_gbdt.onnx"), "--nulls", "reject", "--ids", "id", "--part-rows", "50000", "--json"}
	for i := range soakFiles {
		s.args = append(s.args, "--input", s.input(i))
	}
	s.whole(t)
	if len(s.want) != soakFiles+2 { // _SUCCESS and rejects
		t.Fatalf("a whole output has the files %v", slices.Sorted(maps.Keys(s.want)))
	}
	return s
}

// soakJob is a job file with something of everything.
const soakJob = `
models:
  - {name: champion, model: REPO/models/reference/nyc_bare.onnx}
  - {name: challenger, model: REPO/models/reference/nyc_bare.onnx}
input: in-*.parquet
ids: id
keep: carrier
where: distance > 200 && month != 2
unique: {columns: [id], on: count}
rules:
  - {column: hour, range: {min: 6}}
on_bad_row: reject
limits: {max_bad_rows: 10%}
features:
  - {name: manufacturer, column: manufacturer, transforms: [fill: ""], hidden: true}
  - from: REPO/models/reference/nyc_bare.features.json
partition_by: carrier
target_file_size: 16KiB
part_rows: 48111
`

// newSoakJob is a job file: features, a filter, a rule, duplicates and two models, into
// folders of several files.
func newSoakJob(t *testing.T) *soak {
	t.Helper()
	s, repo := bareSoak(t, "testdata/nyc-sample.parquet")
	s.rows = 48_111
	job := filepath.Join(s.dir, "job.yaml")
	if err := os.WriteFile(job, []byte(strings.ReplaceAll(soakJob, "REPO", repo)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"score", "--job", job, "--json"}
	s.whole(t)
	if len(s.want) < 16*soakFiles {
		t.Fatalf("a whole output has the files %v", slices.Sorted(maps.Keys(s.want)))
	}
	return s
}

// bareSoak has inputs, all of one sample, and a program.
func bareSoak(t *testing.T, sample string) (s *soak, repo string) {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s = &soak{dir: t.TempDir(), random: rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))}
	s.program, s.env = programIn(t, s.dir)
	// By vectors trees would be scored in half the time that a start takes until then, and
	// most kills would come while the model is loaded: two of them, and it is given up.
	s.env = append(s.env, "MILLRACE_CPU_LEVEL=plain")
	for i := range soakFiles {
		if err := os.Symlink(filepath.Join(repo, sample), s.input(i)); err != nil {
			t.Fatal(err)
		}
	}
	return s, repo
}

// input is the path of the i-th input file.
func (s *soak) input(i int) string { return filepath.Join(s.dir, fmt.Sprintf("in-%02d.parquet", i)) }

// whole runs the job as nobody kills it.
func (s *soak) whole(t *testing.T) {
	t.Helper()
	out := filepath.Join(s.dir, "whole")
	started := time.Now()
	if code, text := s.start(out).wait(t); code != 0 {
		t.Fatalf("a run that nobody kills exits %d: %s", code, text)
	}
	s.took = time.Since(started)
	s.want, s.names = readFileset(t, out), namesIn(t, out)
	parts, err := filepath.Glob(filepath.Join(out, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		info, err := os.Stat(part)
		if err != nil {
			t.Fatal(err)
		}
		s.bytes += info.Size()
	}
}

// namesIn lists a directory.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// readFileset digests an output's files, of rejects those of the newest run.
func readFileset(t *testing.T, out string) fileset {
	t.Helper()
	files := fileset{}
	history, err := ledger.ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	newest := history.Runs[0].Run
	err = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "manifest.") || d.Name() == "rejects.parquet" && filepath.Base(filepath.Dir(path)) != newest {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}
		if d.Name() == "rejects.parquet" {
			name = d.Name() // its folder has the run's id
		}
		sum := sha256.Sum256(data)
		files[name] = hex.EncodeToString(sum[:])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// process is one start.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func (s *soak) start(out string, more ...string) *process {
	return s.command(slices.Concat(s.args, []string{"--output", out}, more)...)
}

// command starts the program.
func (s *soak) command(args ...string) *process {
	p := &process{}
	p.cmd = exec.Command(s.program, args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.env, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		panic(err)
	}
	return p
}

// waitHeld waits for a start to hold its output.
func waitHeld(t *testing.T, out string) {
	t.Helper()
	waitFor(t, "a start to hold "+out, func() bool { return ledger.Held(out) != nil })
}

// wait gives the exit code, -1 for a process that was killed, and what it said.
func (p *process) wait(t *testing.T) (code int, text string) {
	t.Helper()
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), p.stderr.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, p.stderr.String()
}

// summary is what a start that published printed.
func (p *process) summary(t *testing.T) (s struct {
	Starts    int         `json:"starts"`
	RowsTaken int64       `json:"rows_taken"`
	Already   bool        `json:"already_published"`
	Rows      ledger.Rows `json:"rows"`
},
) {
	t.Helper()
	if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, p.stdout.String())
	}
	return s
}

// finished counts the parts in the journal of an output that is not published, and gives
// the beginnings of its lines. A line that a kill cut off is of no finished part.
func finished(t *testing.T, out string) (parts int, lines string) {
	t.Helper()
	var said strings.Builder
	journals, err := filepath.Glob(filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".millrace-*", "journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range journals {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		whole := data[:bytes.LastIndexByte(data, '\n')+1]
		parts = max(parts, bytes.Count(whole, []byte(`{"part":{`)))
		fmt.Fprintf(&said, "%s, of %d bytes, %d in whole lines:\n", name, len(data), len(whole))
		for line := range bytes.Lines(data) {
			fmt.Fprintf(&said, "\t%.90q\n", line)
		}
	}
	return parts, said.String()
}

// watch polls an output every millisecond until the function that it gives is called,
// which fails the test if a reader ever found something else than nothing, the old
// output or all of the new.
func (s *soak) watch(t *testing.T, out string, old bool) (stop func()) {
	t.Helper()
	done, over := make(chan struct{}), make(chan struct{})
	var wrong string
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			if problem := s.look(out, old); problem != "" && wrong == "" {
				wrong = problem
			}
		}
	}()
	return func() {
		t.Helper()
		close(done)
		<-over
		if wrong != "" {
			t.Errorf("a reader finds %s", wrong)
		}
	}
}

// look says what is wrong with what a reader finds at an output now.
func (s *soak) look(out string, old bool) string {
	root, err := os.OpenRoot(out)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !old {
			return ""
		}
		return "no output: " + err.Error()
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err.Error()
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return err.Error()
	}
	slices.Sort(names)
	if slices.Equal(names, s.names) || old && slices.Equal(names, s.oldNames) {
		return ""
	}
	// The old output is removed after the new one took its name: what was opened before
	// is no output any more.
	now, err := os.Stat(out)
	mine, merr := root.Stat(".")
	if err == nil && merr == nil && !os.SameFile(now, mine) {
		return ""
	}
	return fmt.Sprintf("half an output: %v", names)
}

// check compares a published output with that of a run that nobody killed.
func (s *soak) check(t *testing.T, out, what string) {
	t.Helper()
	if got := readFileset(t, out); !maps.Equal(got, s.want) {
		t.Errorf("%s: files differ from those of a whole run: %v", what, slices.Sorted(maps.Keys(got)))
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".millrace*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%s: left behind: %v", what, left)
	}
	verify := exec.Command(s.program, "verify", out)
	verify.Env = s.env
	if text, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%s: verify: %v: %s", what, err, text)
	}
}

// untilDone starts a job again and again until it publishes, end deciding how each
// start ends. It returns how many starts there were.
func (s *soak) untilDone(t *testing.T, out string, end func(p *process, n int), allowed []int, more ...string) (starts int) {
	t.Helper()
	kept, lines := 0, ""
	for {
		p := s.start(out, more...)
		starts++
		end(p, starts)
		code, text := p.wait(t)
		if code == 0 {
			sum := p.summary(t)
			if want := int64(kept); !sum.Already && sum.RowsTaken != want*s.rows {
				t.Errorf("start %d took over %d rows; %d parts were finished, by\n%s", starts, sum.RowsTaken, kept, lines)
			}
			return starts
		}
		if !slices.Contains(allowed, code) {
			t.Fatalf("start %d exits %d: %s", starts, code, text)
		}
		now, said := finished(t, out)
		if now < kept {
			if _, err := os.Stat(filepath.Join(out, "_SUCCESS")); err == nil {
				continue // killed between publishing and tidying up
			}
			t.Errorf("start %d: %d parts are finished, %d were before", starts, now, kept)
		}
		kept, lines = now, said
	}
}

// pause is how long the n-th start is left alone: later and later, so that a machine
// that became slower meanwhile gets to an end.
func (s *soak) pause(n int) time.Duration {
	return time.Duration((0.7 + 0.3*float64(n)) * s.random.Float64() * float64(s.took))
}
