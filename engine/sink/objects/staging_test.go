package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// work is a run of made parts, whose bytes their numbers say.
type work struct {
	output   string
	single   bool
	folders  bool // parts have a file in each of two folders
	ifExists ledger.IfExists
	job      string
	parts    int
	large    int // of the parts, those that are uploaded in pieces
	restart  bool
}

// content is what a file has: large ones are more than an upload has in memory.
func content(job, name string, large bool) []byte {
	size := 1 << 10
	if large {
		size = 2*pieceBytes + 1<<20
	}
	h := uint64(len(name))
	for _, r := range job + name {
		h = h*31 + uint64(r)
	}
	b := make([]byte, size)
	random := rand.New(rand.NewPCG(h, 1))
	for i := 0; i < len(b); i += 512 {
		b[i] = byte(random.Uint32())
	}
	return b
}

func (w *work) options(run string) sink.Options {
	o := sink.Options{StageOptions: ledger.StageOptions{
		Output: w.output, Single: w.single, Pieces: w.single && w.parts > 1, IfExists: w.ifExists, RunID: run, Ext: ".parquet", Restart: w.restart,
		Job: &ledger.Job{Facts: []ledger.Fact{{Name: "job", Value: w.job}}},
	}, Parts: w.parts}
	if w.folders {
		o.PartitionBy = []string{"k"}
	}
	return o
}

// want is what the output should have, by name.
func (w *work) want(first int) map[string][]byte {
	want := map[string][]byte{}
	for i := range w.parts {
		for _, name := range w.names(first + i) {
			want[name] = content(w.job, fmt.Sprint(i, path.Dir(name)), i < w.large)
		}
	}
	if w.single {
		whole := make([]byte, 0, 4*pieceBytes)
		for i := range w.parts {
			whole = append(whole, content(w.job, fmt.Sprint(i, "."), i < w.large)...)
		}
		want = map[string][]byte{path.Base(w.output): whole}
	}
	return want
}

func (w *work) names(number int) []string {
	name := fmt.Sprintf("part-%05d.parquet", number)
	if w.folders {
		return []string{"k=a/" + name, "k=b/" + name}
	}
	return []string{name}
}

// run does all of it, and returns which parts it wrote.
func (w *work) run(ctx context.Context, d *Destination) (run string, wrote []int, err error) {
	run = ledger.NewRunID(time.Now())
	staged, err := d.Stage(ctx, w.options(run))
	if err != nil {
		return run, nil, err
	}
	s := staged.(*staging)
	if wrote, err = w.write(s); err == nil { //nolint:contextcheck // a Staging has the run's context
		err = s.Publish(w.manifest()) //nolint:contextcheck // a Staging has the run's context
	}
	if err == nil {
		return run, wrote, s.Discard() //nolint:contextcheck // a Staging has the run's context
	}
	_, suspended := s.Suspend("test") //nolint:contextcheck // a Staging has the run's context
	return run, wrote, errors.Join(err, suspended)
}

// write stages all parts that are not there.
func (w *work) write(s *staging) (wrote []int, err error) {
	if err := s.Loading(); err != nil {
		return nil, err
	}
	if err := s.Loaded(); err != nil {
		return nil, err
	}
	if err := s.Begin(json.RawMessage("{}")); err != nil {
		return nil, err
	}
	done := map[int]bool{}
	if t := s.Taken(); t != nil {
		for _, p := range t.Parts {
			done[p.Part] = true
		}
	}
	for i := range w.parts {
		if done[i] {
			continue
		}
		if err := s.Enter(i); err != nil {
			return wrote, err
		}
		outputs, err := w.writePart(s, i)
		if err != nil {
			return wrote, err
		}
		if err := s.Record(ledger.PartRecord{Part: i, Outputs: outputs, Rows: rowsOf(i)}); err != nil {
			return wrote, err
		}
		wrote = append(wrote, i)
	}
	if w.single && w.parts > 1 {
		return wrote, w.join(s)
	}
	return wrote, nil
}

func rowsOf(int) ledger.Rows { return ledger.Rows{Read: 10, Scored: 10} }

func (w *work) writePart(s *staging, i int) ([]ledger.Output, error) {
	if !w.folders {
		f, err := s.Part(i)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(content(w.job, fmt.Sprint(i, "."), i < w.large)); err != nil {
			return nil, errors.Join(err, f.Abort())
		}
		o, err := f.Commit(10)
		return []ledger.Output{o}, err
	}
	files, err := s.PartFiles(i)
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{"k=a", "k=b"} {
		f, err := files.Create(folder)
		if err != nil {
			return nil, errors.Join(err, files.Abort())
		}
		if _, err := f.Write(content(w.job, fmt.Sprint(i, folder), i < w.large)); err != nil {
			return nil, errors.Join(err, files.Abort())
		}
		if err := files.End(5); err != nil {
			return nil, errors.Join(err, files.Abort())
		}
	}
	return files.Commit(10)
}

func (w *work) join(s *staging) error {
	whole, err := s.Whole()
	if err != nil {
		return err
	}
	for i := range w.parts {
		err := func() error {
			name, err := s.PiecePath(i)
			if err != nil {
				return err
			}
			return copyFrom(whole, name)
		}()
		if err != nil {
			return errors.Join(err, whole.Abort())
		}
	}
	_, err = whole.Commit(int64(10 * w.parts))
	return err
}

func (w *work) manifest() *ledger.Manifest {
	m := &ledger.Manifest{Settings: map[string]any{}, Model: ledger.ModelFile{Path: "m.onnx"}, Schema: []ledger.Column{{Name: "a", Type: "int64"}}}
	for i := range w.parts {
		m.Parts = append(m.Parts, rowsOf(i))
	}
	m.Ledger = ledger.Sum(m.Parts)
	m.Inputs = []ledger.Input{{Path: "in.parquet", Rows: m.Ledger.Read, Ledger: m.Ledger}}
	return m
}

// published compares the output with what it should be: names, bytes and nothing beside.
func (g *gateway) published(t *testing.T, what string, p *place, want ...map[string][]byte) {
	t.Helper()
	all := map[string][]byte{}
	for _, w := range want {
		maps.Copy(all, w)
	}
	got := g.objects(t, p.prefix)
	for key := range got {
		if strings.HasPrefix(key, p.own) || p.name != "" && key != p.prefix+p.name {
			delete(got, key)
		}
	}
	if p.name == "" {
		all[successName] = nil
	}
	for name, b := range all {
		have, ok := got[p.prefix+name]
		if !ok || string(have) != string(b) {
			t.Errorf("%s: %s: there: %v, %d bytes; want %d", what, name, ok, len(have), len(b))
		}
		delete(got, p.prefix+name)
	}
	if len(got) > 0 {
		t.Errorf("%s: there is more: %v", what, slices.Sorted(maps.Keys(got)))
	}
	if n := g.uploads(t); n != 0 {
		t.Errorf("%s: %d unfinished uploads are left", what, n)
	}
	if left := g.left(t); len(left) != 0 {
		t.Errorf("%s: staged objects are left: %v", what, left)
	}
}

// visible lists what a reader sees of an output.
func (g *gateway) visible(t *testing.T, p *place) (keys []string) {
	t.Helper()
	for key := range g.objects(t, p.prefix) {
		if strings.HasPrefix(key, p.own) || p.name != "" && key != p.prefix+p.name {
			continue
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestPublish(t *testing.T) { eachStore(t, testPublish) }

func testPublish(t *testing.T, g *gateway) {
	t.Helper()
	d := g.destination(4)
	for _, c := range []struct {
		what string
		work work
	}{
		{"a folder of parts, one of them in pieces", work{output: "s3://bucket/fresh/", parts: 3, large: 1}},
		{"parts in folders", work{output: "s3://bucket/folders", parts: 2, folders: true}},
		{"one file of one part", work{output: "s3://bucket/one.parquet", single: true, parts: 1}},
		{"one file of three", work{output: "s3://bucket/deep/three.parquet", single: true, parts: 3, large: 1}},
		{"names that URIs would escape", work{output: "s3://bucket/a b+c%20é/x=1&y", parts: 1}},
	} {
		w := c.work
		w.job = "first"
		p := g.place(t, w.output, w.single)
		staged, err := d.Stage(t.Context(), w.options(ledger.NewRunID(time.Now())))
		if err != nil {
			t.Errorf("%s: Stage() = %v", c.what, err)
			continue
		}
		s := staged.(*staging)
		if _, err := w.write(s); err != nil {
			t.Fatalf("%s: write: %v", c.what, err)
		}
		if seen := g.visible(t, p); len(seen) != 0 {
			t.Errorf("%s: %v can be seen before the step", c.what, seen)
		}
		if err := errors.Join(s.Publish(w.manifest()), s.Discard()); err != nil {
			t.Errorf("%s: Publish() = %v", c.what, err)
		}
		g.published(t, c.what, p, w.want(0))
		if _, _, err := w.run(t.Context(), d); !errors.Is(err, ledger.ErrPublished) {
			t.Errorf("%s: the same job again: %v; want %v", c.what, err, ledger.ErrPublished)
		}
		other := w
		other.job = "second"
		if _, _, err := other.run(t.Context(), d); !errors.Is(err, ledger.ErrExists) {
			t.Errorf("%s: another job: %v; want %v", c.what, err, ledger.ErrExists)
		}
		g.published(t, c.what+", left alone", p, w.want(0))
		other.ifExists, other.parts = ledger.IfExistsReplace, max(w.parts-1, 1)
		if _, _, err := other.run(t.Context(), d); err != nil {
			t.Errorf("%s: replace: %v", c.what, err)
		}
		g.published(t, c.what+", replaced", p, other.want(0))
		if w.single {
			continue
		}
		third := other
		third.job, third.ifExists = "third", ledger.IfExistsAppend
		if _, _, err := third.run(t.Context(), d); err != nil {
			t.Errorf("%s: append: %v", c.what, err)
		}
		g.published(t, c.what+", appended to", p, other.want(0), third.want(other.parts))
	}
}

// soakRuns is how many runs of each kind a test of minutes has, as SOAK_RUNS says; without
// it, it is skipped: make test-stores and make soak-stores say it.
func soakRuns(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_RUNS")
	if text == "" {
		t.Skip("SKIPPED: minutes: run make test-stores (a few runs) or make soak-stores (64 of each kind)")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_RUNS is %q; want a number of runs", text)
	}
	return n
}

// TestInterrupted ends a run at SOAK_RUNS places spread over its requests: from then on,
// nothing reaches the store, as if the machine were gone. Nothing is visible but a whole
// output, the next start goes on with what was finished, and no upload is left.
func TestInterrupted(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		testInterrupted(t, work{output: "s3://bucket/cut/out", job: "j", parts: 3, large: 1})
	})
	t.Run("file", func(t *testing.T) {
		testInterrupted(t, work{output: "s3://bucket/cut/one.parquet", job: "j", parts: 3, large: 1, single: true})
	})
}

func testInterrupted(t *testing.T, w work) {
	t.Helper()
	places := soakRuns(t)
	g := startGateway(t)
	p := g.place(t, w.output, w.single)
	g.fail(nil)
	if _, _, err := w.run(t.Context(), g.destination(4)); err != nil {
		t.Fatal(err)
	}
	total := g.requests()
	var cut, over, uploads, continued int // runs cut off, those that ended before, uploads left, starts that had parts to keep
	for i := 0; cut < places && over < places; i++ {
		if err := g.wipe(t); err != nil {
			t.Fatal(err)
		}
		at := 1 + i%places*total/places
		what := fmt.Sprintf("%s: interrupted at request %d of %d", w.output, at, total)
		g.fail(func(request int, _ *http.Request) fault {
			if request >= at {
				return reset
			}
			return fine
		})
		_, wrote, err := w.run(t.Context(), g.destination(1))
		if err == nil { // it had fewer requests than that this time: there are beats among them
			over++
		} else {
			cut++
		}
		if seen := g.visible(t, p); len(seen) != 0 && g.decided(t, p) == "" {
			t.Errorf("%s: %v can be seen, and nothing is decided", what, seen)
		}
		uploads += g.uploads(t)
		g.fail(nil)
		_, again, err := w.run(t.Context(), g.destination(4))
		if err != nil && !errors.Is(err, ledger.ErrPublished) {
			t.Errorf("%s: the next start: %v", what, err)
			continue
		}
		for _, part := range again {
			if slices.Contains(wrote, part) {
				t.Errorf("%s: part %d was finished, and is done again", what, part)
			}
		}
		if len(wrote) > 0 && len(again) < w.parts {
			continued++
		}
		g.published(t, what, p, w.want(0))
	}
	if cut < places || continued == 0 {
		t.Errorf("%s: %d runs cut off; want %d; %d starts went on with earlier ones' parts", w.output, cut, places, continued)
	}
	t.Logf("%s: %d runs cut off, at requests spread over the %d of a run (%d others were over before): %d left finished parts, which were kept, and %d unfinished uploads, of which none stayed",
		w.output, cut, total, over, continued, uploads)
}

// decided is the run that the log says is published.
func (g *gateway) decided(t *testing.T, p *place) string {
	t.Helper()
	now, err := g.direct.newest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return now.Published
}

// wipe empties the bucket.
func (g *gateway) wipe(t *testing.T) error {
	t.Helper()
	found, err := g.direct.all(t.Context(), "")
	if err != nil {
		return err
	}
	keys := make([]string, len(found))
	for i, o := range found {
		keys[i] = o.key
	}
	return g.direct.remove(t.Context(), keys...)
}

// TestFaults lets a request fail once, in three ways, at SOAK_RUNS places spread over a run,
// or at every one where there are fewer. The result is that of a run without.
func TestFaults(t *testing.T) {
	places := soakRuns(t)
	g := startGateway(t)
	w := work{output: "s3://bucket/faults", job: "j", parts: 2, large: 1}
	p := g.place(t, w.output, false)
	g.fail(nil)
	if _, _, err := w.run(t.Context(), g.destination(4)); err != nil {
		t.Fatal(err)
	}
	total := g.requests()
	places = min(places, total)
	failed := 0 // a run may have fewer requests than another
	for how, name := range map[fault]string{reset: "reset", unsaid: "answer lost", busy: "503"} {
		for i := range places {
			at := 1 + i*total/places
			if err := g.wipe(t); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("request %d of %d: %s", at, total, name)
			method := ""
			g.fail(func(request int, r *http.Request) fault {
				if request == at {
					method = r.Method + " " + r.URL.String()
					return how
				}
				return fine
			})
			_, _, err := w.run(t.Context(), g.destination(4))
			g.fail(nil)
			if method != "" {
				failed++
			}
			if err != nil {
				t.Errorf("%s (%s): %v", what, method, err)
				continue
			}
			g.published(t, what+" "+method, p, w.want(0))
		}
	}
	t.Logf("%d runs, each with a failure at one of %d requests of the %d of a run, in three ways: %d had as many requests and so the failure", 3*places, places, total, failed)
}

// TestTwoAtOnce starts two runs of different jobs at the same time: one publishes, and the
// other says who has the output, or that it is there.
//
// A folder does not do: fileblob looks whether an object is there and then renames, each
// writer under a lock of its own, so that two can make the same one.
func TestTwoAtOnce(t *testing.T) {
	g := startGateway(t)
	for round := range 16 {
		output := fmt.Sprintf("s3://bucket/two/%d", round)
		type end struct {
			run  string
			err  error
			work work
		}
		ends := make(chan end, 2) // both, so that neither waits
		for i := range 2 {
			w := work{output: output, job: fmt.Sprint("job ", i), parts: 2}
			go func() {
				run, _, err := w.run(t.Context(), g.destination(4))
				ends <- end{run, err, w}
			}()
		}
		a, b := <-ends, <-ends
		if a.err != nil {
			a, b = b, a
		}
		if a.err != nil || !errors.Is(b.err, ledger.ErrHeld) && !errors.Is(b.err, ledger.ErrExists) {
			t.Errorf("round %d: %v and %v; want one of them to publish, and the other to say so", round, a.err, b.err)
			continue
		}
		if errors.Is(b.err, ledger.ErrHeld) && !strings.Contains(b.err.Error(), a.run) {
			t.Errorf("round %d: %q does not name run %s", round, b.err, a.run)
		}
		g.published(t, output, g.place(t, output, false), a.work.want(0))
	}
}

// TestStalled takes an output from a run that is not heard of for a while, and wakes it.
func TestStalled(t *testing.T) { eachStore(t, testStalled) }

func testStalled(t *testing.T, g *gateway) {
	t.Helper()
	for _, c := range []struct {
		what   string
		finish bool // the other run, before the stalled one wakes
	}{{"the other run has published", true}, {"the other run is at work", false}} {
		w := work{output: "s3://bucket/stalled/" + strconv.FormatBool(c.finish), job: "j", parts: 2}
		staged, err := g.destination(4).Stage(t.Context(), w.options(ledger.NewRunID(time.Now())))
		if err != nil {
			t.Fatal(err)
		}
		stalled := staged.(*staging)
		if _, err := w.write(stalled); err != nil {
			t.Fatal(err)
		}
		stalled.mu.stop() // as if it were stopped by a signal: no beat any more
		other, err := g.destination(4).Stage(t.Context(), w.options(ledger.NewRunID(time.Now())))
		if err != nil {
			t.Fatalf("%s: Stage() = %v", c.what, err)
		}
		if taken := other.Taken(); taken == nil || len(taken.Parts) != 2 {
			t.Fatalf("%s: Taken() = %+v; want two parts", c.what, taken)
		}
		if _, err := w.write(other.(*staging)); err != nil {
			t.Fatal(err)
		}
		if c.finish {
			if err := errors.Join(other.Publish(w.manifest()), other.Discard()); err != nil {
				t.Fatal(err)
			}
		}
		if err := stalled.Publish(w.manifest()); !errors.Is(err, ledger.ErrHeld) {
			t.Errorf("%s: Publish() of the stalled run = %v; want %v", c.what, err, ledger.ErrHeld)
		}
		if err := stalled.TakenOver(); !errors.Is(err, ledger.ErrHeld) {
			t.Errorf("%s: TakenOver() = %v; want %v", c.what, err, ledger.ErrHeld)
		}
		if err := stalled.Discard(); err != nil {
			t.Errorf("%s: Discard() = %v", c.what, err)
		}
		if !c.finish {
			if err := errors.Join(other.Publish(w.manifest()), other.Discard()); err != nil {
				t.Errorf("%s: Publish() of the other run = %v", c.what, err)
			}
		}
		g.published(t, c.what, g.place(t, w.output, false), w.want(0))
	}
}

func copyFrom(to io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}
