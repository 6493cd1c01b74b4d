package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// crashCase is what stands at an output when a run begins that the power fails under.
type crashCase struct {
	name     string
	single   bool
	ifExists IfExists
	before   bool // an output of another job stands there
	apart    bool // parts are written by other processes
	folders  bool // a part has several files in folders
}

var crashCases = []crashCase{
	{name: "fresh", ifExists: IfExistsError},
	{name: "replace", ifExists: IfExistsReplace, before: true},
	{name: "append", ifExists: IfExistsAppend, before: true},
	{name: "fresh file", single: true, ifExists: IfExistsError},
	{name: "fresh folders", ifExists: IfExistsError, folders: true},
	{name: "replace folders", ifExists: IfExistsReplace, before: true, folders: true},
	{name: "append folders", ifExists: IfExistsAppend, before: true, folders: true},
	{name: "replace file", single: true, ifExists: IfExistsReplace, before: true},
	{name: "parts that are scored apart", ifExists: IfExistsReplace, before: true, apart: true},
	{name: "file that is scored apart", single: true, ifExists: IfExistsError, apart: true},
}

// run carries the case's job out.
func (c crashCase) run(opts StageOptions) error {
	write := writePart
	if c.apart {
		write = adoptPart
	}
	_, err := runJobBy(opts, -1, write)
	return err
}

// crashOutput is where the runs of these tests write.
const crashOutput = "/d/out"

// options are those of the n-th start of the case's job.
func (c crashCase) options(fsys *crashFS, n int) StageOptions {
	opts := StageOptions{
		Output: crashOutput, Single: c.single, IfExists: c.ifExists, Ext: "parquet", FS: fsys, Job: testJob,
		RunID: NewRunID(time.Unix(int64(1000+n), 0)),
	}
	if c.folders {
		opts.PartitionBy = []string{"k"}
	}
	return opts
}

// newFS makes the state before, all of it durable.
func (c crashCase) newFS(t *testing.T) *crashFS {
	t.Helper()
	fsys := newCrashFS()
	if c.before {
		opts := c.options(fsys, 0)
		opts.IfExists, opts.Job = IfExistsError, oldJob
		if _, err := runJob(opts, -1); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

// oldJob made what stands there before.
var oldJob = &Job{Facts: []Fact{{Name: "model", Value: "of the day before"}}}

// whole counts a job's parts that are whole in an output, from a file number on.
func (c crashCase) whole(fsys *crashFS, job *Job, first int) int {
	n := 0
	for i := range c.parts() {
		name := filepath.Join(crashOutput, fmt.Sprintf("part-%05d.parquet", first+i))
		if c.single {
			name = crashOutput
		}
		names := []string{name}
		if c.folders {
			names = nil
			for _, folder := range partFolders(i) {
				names = append(names, filepath.Join(crashOutput, folder, fmt.Sprintf("part-%05d.parquet", first+i)))
			}
		}
		whole := true
		for _, name := range names {
			node := fsys.entries[name]
			whole = whole && node != nil && bytes.Equal(node.data, partFill(job, i))
		}
		if whole {
			n++
		}
	}
	return n
}

func (c crashCase) parts() int {
	if c.single {
		return 1
	}
	return jobParts
}

// problem says what is wrong with what a reader finds, which is nothing when it is the
// old output, or all of the new.
func (c crashCase) problem(fsys *crashFS, mustBeNew bool) error {
	first := 0 // of the new output
	if c.ifExists == IfExistsAppend {
		first = c.parts()
	}
	was, is := c.whole(fsys, oldJob, 0), c.whole(fsys, testJob, first)
	published := c.single || fsys.entries[crashOutput+"/_SUCCESS"] != nil
	switch {
	case fsys.entries[crashOutput] == nil:
		if c.before || mustBeNew {
			return errors.New("there is no output")
		}
		return nil
	case !published:
		return errors.New("an output stands there without _SUCCESS")
	case first > 0 && was != c.parts():
		return fmt.Errorf("%d of %d old parts are whole", was, c.parts())
	case is == c.parts() && (first > 0 || was == 0):
		return nil
	case is == 0 && was == c.parts() && !mustBeNew:
		return nil
	}
	return fmt.Errorf("%d old and %d new parts of %d are whole", was, is, c.parts())
}

// crashEverywhere lets the power fail at operation k = 1, 2, ... of a run, lose some of
// what was not durable, and the run be started again, where it may fail once more; it
// returns how often something was wrong, and the first time.
func (c crashCase) crashEverywhere(t *testing.T, lose float64, set func(*crashFS)) (wrong int, first error) {
	t.Helper()
	for k := 1; ; k++ {
		random := rand.New(rand.NewPCG(uint64(k), uint64(lose*100)))
		fsys := c.newFS(t)
		set(fsys)
		fsys.ops, fsys.crashAt = 0, k
		note := func(err error) {
			if err == nil {
				return
			}
			if wrong++; first == nil {
				first = fmt.Errorf("%s, losing %.0f%%, crash at operation %d: %w\n%s", c.name, 100*lose, k, err, fsys.list())
			}
		}
		err := c.run(c.options(fsys, 1))
		if !fsys.dead {
			if err != nil {
				t.Fatal(err)
			}
			return wrong, first
		}
		fsys.crash(lose, random)
		note(c.problem(fsys, false))
		fsys.crashAt = random.IntN(2 * k) // and again while it is repaired
		err = c.run(c.options(fsys, 2))
		if fsys.dead {
			fsys.crash(lose, random)
			note(c.problem(fsys, false))
			err = c.run(c.options(fsys, 3))
		}
		if err != nil && !errors.Is(err, ErrPublished) {
			note(fmt.Errorf("start again: %w", err))
			continue
		}
		note(c.problem(fsys, true))
	}
}

// oneThread skips a test where it is to be short, under the race detector: nothing runs at
// once in it.
func oneThread(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
}

// TestCrash lets the power fail at every operation. A reader never finds a part of an
// output, and the run started again publishes the same bytes.
func TestCrash(t *testing.T) {
	oneThread(t)
	for _, c := range crashCases {
		for _, lose := range []float64{0, 0.1, 0.5, 1} {
			wrong, first := c.crashEverywhere(t, lose, func(*crashFS) {})
			if wrong > 0 {
				t.Errorf("%d times: %v", wrong, first)
			}
		}
	}
}

// TestCrashWithoutProtocol is the negative control: without fsync, and with files
// written under their final names, the same test finds something wrong.
func TestCrashWithoutProtocol(t *testing.T) {
	oneThread(t)
	controls := map[string]func(*crashFS){
		"without fsync":            func(f *crashFS) { f.noSync = true },
		"without fsync and rename": func(f *crashFS) { f.noSync, f.noRename = true, true },
	}
	for name, set := range controls {
		wrong := 0
		for _, c := range crashCases {
			n, _ := c.crashEverywhere(t, 0.5, set)
			wrong += n
		}
		if wrong == 0 {
			t.Errorf("%s nothing is found wrong: the test proves nothing", name)
		}
		t.Logf("%s: %d times something is wrong", name, wrong)
	}
}
