package objects

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

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
		w.job, w.output = "first", g.in(w.output)
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

// decided is the run that the log says is published.
func (g *gateway) decided(t *testing.T, p *place) string {
	t.Helper()
	now, err := g.direct.newest(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return now.Published
}

// TestTwoAtOnce starts two runs of different jobs at the same time: one publishes, and the
// other says who has the output, or that it is there.
//
// A folder does not do: fileblob looks whether an object is there and then renames, each
// writer under a lock of its own, so that two can make the same one.
func TestTwoAtOnce(t *testing.T) { eachServer(t, testTwoAtOnce) }

func testTwoAtOnce(t *testing.T, g *gateway) {
	t.Helper()
	for round := range 16 {
		output := g.in(fmt.Sprintf("s3://bucket/two/%d", round))
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
		w := work{output: g.in("s3://bucket/stalled/" + strconv.FormatBool(c.finish)), job: "j", parts: 2}
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
