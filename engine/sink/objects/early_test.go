package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// early looks at an output as a command does before it plans, and stages then.
func (w *work) early(t *testing.T, g *gateway, between func()) (*staging, error) {
	t.Helper()
	d := g.destination(4)
	d.Early = &Early{}
	t.Cleanup(d.Early.Close)
	if err := d.Held(t.Context(), w.output); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Early.saw.sight(); err != nil {
		t.Fatal(err)
	}
	between()
	staged, err := d.Stage(t.Context(), w.options(ledger.NewRunID(time.Now())))
	if err != nil {
		return nil, err
	}
	return staged.(*staging), nil
}

// TestClaimIsRefused lets another run do something between the look before the plan and the
// claim: whoever holds the output then is named, or what it did is seen, and nothing of this
// run stays.
func TestClaimIsRefused(t *testing.T) { eachServer(t, testClaimIsRefused) }

func testClaimIsRefused(t *testing.T, g *gateway) {
	t.Helper()
	t.Run("it is at work", func(t *testing.T) {
		w := work{output: g.in("s3://bucket/refused/held"), job: "j", parts: 1}
		var other *staging
		s, err := w.early(t, g, func() {
			staged, err := g.destination(4).Stage(t.Context(), w.options(ledger.NewRunID(time.Now())))
			if err != nil {
				t.Fatal(err)
			}
			other = staged.(*staging)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Loading(), s.Loaded(), s.Begin(json.RawMessage("{}")), s.Enter(0)); err != nil {
			t.Fatal(err)
		}
		_, err = s.Part(0)
		if !errors.Is(err, ledger.ErrHeld) || !strings.Contains(err.Error(), other.RunID()) {
			t.Errorf("Part() = %v; want %v, by run %s", err, ledger.ErrHeld, other.RunID())
		}
		if _, err := s.Suspend("refused"); err != nil {
			t.Errorf("Suspend() = %v", err)
		}
		for _, key := range g.left(t) {
			if strings.Contains(key, s.RunID()) {
				t.Errorf("%s is left", key)
			}
		}
		if _, err := w.write(other); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(other.Publish(w.manifest()), other.Discard()); err != nil {
			t.Errorf("Publish() of the other run = %v", err)
		}
		g.published(t, "held", g.place(t, w.output, false), w.want(0))
	})
	t.Run("it has published", func(t *testing.T) {
		w := work{output: g.in("s3://bucket/refused/done"), job: "j", parts: 1}
		first := work{output: w.output, job: "first", parts: 1} // so that the look finds a log
		if _, _, err := first.run(t.Context(), g.destination(4)); err != nil {
			t.Fatal(err)
		}
		w.ifExists, w.restart = ledger.IfExistsAppend, true
		other := work{output: w.output, job: "other", parts: 2, ifExists: ledger.IfExistsAppend}
		s, err := w.early(t, g, func() {
			if _, _, err := other.run(t.Context(), g.destination(4)); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.write(s); !errors.Is(err, ledger.ErrHeld) {
			t.Errorf("write() = %v; want %v", err, ledger.ErrHeld)
		}
		if err := s.Discard(); err != nil {
			t.Errorf("Discard() = %v", err)
		}
		g.published(t, "done", g.place(t, w.output, false), first.want(0), other.want(1))
	})
}

// TestSomethingComesMeanwhile has another program write to the output's place after the run
// looked at it: what is published is what is said of that place.
func TestSomethingComesMeanwhile(t *testing.T) { eachStore(t, testSomethingComesMeanwhile) }

func testSomethingComesMeanwhile(t *testing.T, g *gateway) {
	t.Helper()
	for i, c := range []struct {
		what     string
		ifExists ledger.IfExists
		before   bool // an output stands there when the run begins
		want     error
	}{
		{"a new output, which may not be replaced", ledger.IfExistsError, false, ledger.ErrExists},
		{"an output that is replaced, with what came", ledger.IfExistsReplace, true, nil},
	} {
		w := work{output: g.in(fmt.Sprintf("s3://bucket/meanwhile/%d", i)), job: "j", parts: 1, ifExists: c.ifExists}
		p := g.place(t, w.output, false)
		if c.before {
			first := work{output: w.output, job: "first", parts: 2}
			if _, _, err := first.run(t.Context(), g.destination(4)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := w.early(t, g, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.write(s); err != nil {
			t.Fatal(err)
		}
		if c.before {
			if _, err := s.mu.stood(); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.direct.put(t.Context(), p.final("came.parquet"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		m := w.manifest()
		err = s.Publish(m)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Publish() = %v; want %v", c.what, err, c.want)
		}
		if err := s.Discard(); err != nil {
			t.Errorf("%s: Discard() = %v", c.what, err)
		}
		if c.want == nil {
			g.published(t, c.what, p, w.want(0))
		} else if seen := g.visible(t, p); len(seen) != 1 {
			t.Errorf("%s: %v can be seen; want what came alone", c.what, seen)
		}
	}
}

// TestYoungEntriesStay trims a log: entries that a stalled run may still know stay, however
// many there are.
func TestYoungEntriesStay(t *testing.T) { eachStore(t, testYoungEntriesStay) }

func testYoungEntriesStay(t *testing.T, g *gateway) {
	t.Helper()
	p := g.place(t, g.in("s3://bucket/young/"), false)
	var e entry
	for range keptEntries + 5 {
		if won, err := g.direct.next(t.Context(), p, e.Number, &e); !won || err != nil {
			t.Fatal(won, err)
		}
	}
	if err := g.direct.trim(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	numbers, err := g.direct.logNumbers(t.Context(), p)
	if err != nil || len(numbers) != keptEntries+5 {
		t.Errorf("%d entries are left, %v; want all %d", len(numbers), err, keptEntries+5)
	}
	if got := tooOld(oldEntries()); len(got) != 3 || got[2].key != "2" {
		t.Errorf("tooOld() = %v; want the three first ones", got)
	}
}

// oldEntries are 3 that are old, and others as young as they may be.
func oldEntries() []object {
	now := time.Now()
	all := make([]object, 0, keptEntries+5)
	for i := range keptEntries + 5 {
		o := object{key: strconv.Itoa(i), modTime: now.Add(-keptFor + time.Second)}
		if i < 3 {
			o.modTime = now.Add(-keptFor)
		}
		all = append(all, o)
	}
	all[len(all)-1].modTime = now
	return all
}
