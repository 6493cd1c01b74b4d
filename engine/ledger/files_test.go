package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folderOptions are those of a partitioned output.
func folderOptions(t *testing.T) StageOptions {
	t.Helper()
	opts := jobOptions(t)
	opts.PartitionBy = []string{"k"}
	return opts
}

func TestFolderNames(t *testing.T) {
	for _, c := range []struct {
		sentence, folder string
		ok               bool
	}{
		{"a value's folder", "k=1", true},
		{"one in another", "k=1/j=a b", true},
		{"the output itself", "", true},
		{"null's", "k=__HIVE_DEFAULT_PARTITION__", true},
		{"the folder above", "..", false},
		{"one beside", "../other", false},
		{"one that leads out", "k=1/../..", false},
		{"one by detours", "k=1/../k=2", false},
		{"an absolute one", "/tmp", false},
		{"one that readers pass over", "_k=1", false},
		{"one within another that they do", "k=1/.j=2", false},
		{"the run's own", "_millrace", false},
	} {
		s := stage(t, folderOptions(t))
		p, err := s.PartFiles(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Create(c.folder); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrOutput) {
			t.Errorf("%s: Create(%q) = %v; want it made: %v", c.sentence, c.folder, err, c.ok)
		}
		if err := errors.Join(p.Abort(), s.Discard()); err != nil {
			t.Error(err)
		}
	}
}

// recordingFS notes which directories are synced, and how many files are open.
type recordingFS struct {
	faultFS

	synced []string
	most   int
}

func (f *recordingFS) Create(name string) (File, error) {
	file, err := f.faultFS.Create(name)
	f.most = max(f.most, f.open)
	return file, err
}

func (f *recordingFS) SyncDirs(names ...string) error {
	f.synced = append(f.synced, names...)
	return f.faultFS.SyncDirs(names...)
}

// A part of many files has few of them open, and makes every folder durable, with those
// above.
func TestPartOfManyFiles(t *testing.T) {
	opts := folderOptions(t)
	fsys := &recordingFS{}
	opts.FS = fsys
	s := begun(t, opts)
	before := fsys.open
	p, err := s.PartFiles(0)
	if err != nil {
		t.Fatal(err)
	}
	const files = 300
	want := append(make([]string, 0, files+2), "", "k=a")
	for i := range files {
		folder := fmt.Sprintf("k=a/j=%03d", i)
		want = append(want, folder)
		f, err := p.Create(folder)
		if err == nil {
			_, err = fmt.Fprint(f, i)
		}
		if err == nil {
			err = p.End(1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fsys.synced = nil
	outputs, err := p.Commit(files)
	if err != nil || len(outputs) != files || !slices.IsSortedFunc(outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatalf("Commit() = %d files, %v; want %d, sorted", len(outputs), err, files)
	}
	if fsys.most > before+syncsAtATime || fsys.open != before {
		t.Errorf("%d files open at a time, %d after; want %d at most, and none", fsys.most-before, fsys.open-before, syncsAtATime)
	}
	for i := range fsys.synced {
		fsys.synced[i], _ = filepath.Rel(s.data, fsys.synced[i])
		fsys.synced[i] = strings.TrimPrefix(fsys.synced[i], ".")
	}
	if diff := cmp.Diff(want, fsys.synced); diff != "" {
		t.Errorf("folders made durable (-want +got):\n%s", diff)
	}
	if err := s.Discard(); err != nil {
		t.Error(err)
	}
}

// Files of a part that is aborted are gone, and the part can be made again.
func TestAbortedPartOfSeveralFiles(t *testing.T) {
	s := stage(t, folderOptions(t))
	for range 2 {
		p, err := s.PartFiles(0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range syncsAtATime + 1 { // some have their names already
			f, err := p.Create(fmt.Sprintf("k=%d", i))
			if err == nil {
				_, err = f.Write([]byte("x"))
			}
			if err == nil {
				err = p.End(1)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Create("k=half"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PartFiles(0); err == nil {
			t.Error("a part that is being made can be made again")
		}
		if err := p.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tree(t, s.data) {
		if strings.Contains(name, "part-") {
			t.Errorf("left behind: %s", name)
		}
	}
	if err := s.Discard(); err != nil {
		t.Error(err)
	}
}

func TestPartFilesRefuse(t *testing.T) {
	s := stage(t, folderOptions(t))
	p, err := s.PartFiles(0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Create("k=1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Create("k=2"); err == nil {
		t.Error("Create() before End() = nil; want an error")
	}
	if _, err := p.Commit(1); !errors.Is(err, ErrDiscarded) {
		t.Errorf("Commit() before End() = %v; want ErrDiscarded", err)
	}
	if err := p.End(1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(2); !errors.Is(err, ErrAccounts) {
		t.Errorf("Commit() of another number of rows = %v; want ErrAccounts", err)
	}
	if err := s.Discard(); err != nil {
		t.Error(err)
	}
	plain := stage(t, jobOptions(t))
	if _, err := plain.PartFiles(0); err == nil {
		t.Error("PartFiles() of an output whose parts are one file = nil; want an error")
	}
	if err := plain.Discard(); err != nil {
		t.Error(err)
	}
}

// What a journal says of a part's files is trusted as far as the names are the part's.
func TestTakenPartsOfSeveralFiles(t *testing.T) {
	for _, c := range []struct {
		sentence string
		change   func(t *testing.T, data string)
		taken    int
	}{
		{"as it was", func(*testing.T, string) {}, 2},
		{"a file is gone", func(t *testing.T, data string) {
			t.Helper()
			if err := os.Remove(filepath.Join(data, "k=some", "j=1", "part-00001.parquet")); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"a file has another size", func(t *testing.T, data string) {
			t.Helper()
			put(t, filepath.Join(data, "k=all", "part-00000.parquet"), []byte("more than there was, much more"))
		}, 1},
		{"files and folders of nobody", func(t *testing.T, data string) {
			t.Helper()
			put(t, filepath.Join(data, "k=all", "part-00009.parquet"), []byte("x"))
			put(t, filepath.Join(data, "k=none", "x", "part-00000.parquet"), []byte("x"))
		}, 2},
	} {
		opts := folderOptions(t)
		if wrote, err := runJob(opts, 2); wrote != 2 || !errors.Is(err, errStopped) {
			t.Fatalf("first start: %d parts, %v", wrote, err)
		}
		c.change(t, filepath.Join(filepath.Dir(opts.Output), ".out.millrace-"+oldRun, dataName))
		opts.RunID = newRun
		if wrote, err := runJob(opts, -1); wrote != jobParts-c.taken || err != nil {
			t.Errorf("%s: the second start wrote %d parts, %v; want %d", c.sentence, wrote, err, jobParts-c.taken)
		}
		for i := range jobParts {
			for _, folder := range partFolders(i) {
				got, err := os.ReadFile(filepath.Join(opts.Output, folder, fmt.Sprintf("part-%05d.parquet", i)))
				if err != nil || string(got) != string(partFill(testJob, i)) {
					t.Errorf("%s: part %d in %s: %d bytes, %v", c.sentence, i, folder, len(got), err)
				}
			}
		}
		if text := strings.Join(tree(t, opts.Output), "\n"); strings.Contains(text, "none") || strings.Contains(text, "00009") {
			t.Errorf("%s: left behind:\n%s", c.sentence, text)
		}
	}
}

// A part of several files that another process wrote is moved with its folders, under
// the numbers that an append gives it.
func TestAdoptSeveralFiles(t *testing.T) {
	opts := folderOptions(t)
	opts.Job = oldJob
	if _, err := runJob(opts, -1); err != nil { // what is appended to
		t.Fatal(err)
	}
	opts.Job, opts.RunID, opts.IfExists = testJob, newRun, IfExistsAppend
	s := begun(t, opts)
	dir, err := s.Apart()
	if err != nil {
		t.Fatal(err)
	}
	apart, err := StageApart(dir, StageOptions{RunID: s.RunID(), Ext: "parquet", Job: testJob, PartitionBy: opts.PartitionBy})
	if err != nil {
		t.Fatal(err)
	}
	if err := apart.Begin(json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := writePart(apart, 1, Rows{Read: 1, Scored: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := apart.Suspend("to be taken over"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Adopt(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, folder := range partFolders(1) {
		name := filepath.Join(folder, fmt.Sprintf("part-%05d.parquet", jobParts+1))
		if got.Outputs[i].Name != name {
			t.Errorf("Adopt() gives %s; want %s", got.Outputs[i].Name, name)
		}
		if data, err := os.ReadFile(filepath.Join(s.data, name)); err != nil || string(data) != string(partFill(testJob, 1)) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	for i := range jobParts {
		if i != 1 {
			if err := writePart(s, i, Rows{Read: int64(i), Scored: int64(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := &Manifest{}
	for i := range jobParts {
		m.Parts = append(m.Parts, Rows{Read: int64(i), Scored: int64(i)})
	}
	m.Ledger = Sum(m.Parts)
	m.Inputs = []Input{{Rows: m.Ledger.Read, Ledger: m.Ledger}}
	if err := errors.Join(s.Publish(m), s.Discard()); err != nil {
		t.Fatal(err)
	}
	if len(m.Outputs) != 2*jobParts || m.PartOf(2) != 1 || m.PartOf(2*jobParts-1) != jobParts-1 || !slices.Equal(m.PartitionBy, opts.PartitionBy) {
		t.Errorf("manifest: %d outputs, of parts %v, by %v", len(m.Outputs), m.PartFiles, m.PartitionBy)
	}
}

func TestManifestOfPartFiles(t *testing.T) {
	ok := func() *Manifest {
		return &Manifest{
			Outputs:   []Output{{Name: "k=1/a", Rows: 2}, {Name: "k=1/b", Rows: 1}, {Name: "k=2/a", Rows: 4}, {Name: "k=1/c", Rows: 5}},
			PartFiles: []int{3, 0, 1}, Parts: []Rows{{Read: 7, Scored: 7}, {Read: 1, Rejected: 1}, {Read: 5, Scored: 5}},
		}
	}
	if err := ok().CheckWritten(); err != nil {
		t.Errorf("CheckWritten() = %v; want nil", err)
	}
	if m := ok(); m.PartOf(0) != 0 || m.PartOf(2) != 0 || m.PartOf(3) != 2 || m.RowsBefore(1) != 2 || m.RowsBefore(2) != 0 || m.RowsBefore(3) != 0 {
		t.Error("PartOf() or RowsBefore() counts files of other parts or folders")
	}
	for sentence, change := range map[string]func(m *Manifest){
		"files of fewer parts":       func(m *Manifest) { m.PartFiles = []int{3, 1} },
		"fewer files than there are": func(m *Manifest) { m.PartFiles = []int{3, 0, 0} },
		"more files than there are":  func(m *Manifest) { m.PartFiles = []int{3, 0, 2} },
		"a part of a number below 0": func(m *Manifest) { m.PartFiles = []int{5, -1, 0} },
		"another number of rows":     func(m *Manifest) { m.Outputs[2].Rows = 3 },
	} {
		m := ok()
		change(m)
		if err := m.CheckWritten(); !errors.Is(err, ErrAccounts) {
			t.Errorf("%s: CheckWritten() = %v; want ErrAccounts", sentence, err)
		}
	}
}
