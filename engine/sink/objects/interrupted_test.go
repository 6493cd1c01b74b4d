package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
)

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
	g, p, total := w.rehearsed(t)
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

// TestStopped tells a run to stop at SOAK_RUNS places spread over its requests, and lets the
// store take its time for the request at hand, whether its answer is waited for or not. The
// run ends with why it was told to stop, and leaves no upload, nor any object if it kept
// nothing; the next start goes on.
func TestStopped(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		testStopped(t, work{output: "s3://bucket/told/out", job: "j", parts: 3, large: 2})
	})
	t.Run("file", func(t *testing.T) {
		testStopped(t, work{output: "s3://bucket/told/one.parquet", job: "j", parts: 3, large: 2, single: true})
	})
}

func testStopped(t *testing.T, w work) {
	t.Helper()
	places := soakRuns(t)
	g, p, total := w.rehearsed(t)
	told := errors.New("told to stop")
	var stopped, kept int
	for i := range places {
		if err := g.wipe(t); err != nil {
			t.Fatal(err)
		}
		at := 1 + i%places*total/places
		method := ""
		ctx, stop := context.WithCancelCause(t.Context())
		g.fail(func(request int, r *http.Request) fault {
			if request != at {
				return fine
			}
			method = r.Method + " " + r.URL.String()
			stop(told)
			return slow
		})
		_, wrote, err := w.run(ctx, g.destination(4))
		left, uploads := g.left(t), g.uploads(t)
		g.slow.Wait()
		what := fmt.Sprintf("%s: told to stop at request %d of %d, %s", w.output, at, total, method)
		if later := g.left(t); len(later) != len(left) {
			t.Errorf("%s: staged are %v, and when the store has done what it was asked for, %v", what, left, later)
		}
		if later := g.uploads(t); uploads+later > 0 {
			t.Errorf("%s: %d unfinished uploads are left, and then %d", what, uploads, later)
		}
		if err != nil {
			stopped++
			if !errors.Is(err, told) || errors.Is(err, ledger.ErrOutput) {
				t.Errorf("%s: %v; want why it was told to stop, and no more", what, err)
			}
			if len(wrote) == 0 && len(left) > 0 {
				t.Errorf("%s: it kept no part, and left %v", what, left)
			}
		}
		g.fail(nil)
		_, again, err := w.run(t.Context(), g.destination(4))
		if err != nil && !errors.Is(err, ledger.ErrPublished) {
			t.Errorf("%s: the next start: %v", what, err)
			continue
		}
		if len(wrote) > 0 && len(again) < w.parts {
			kept++
		}
		g.published(t, what, p, w.want(0))
	}
	if stopped == 0 {
		t.Errorf("%s: no run of %d was stopped", w.output, places)
	}
	t.Logf("%s: %d of %d runs told to stop did before they published, %d starts went on with earlier ones' parts, and no upload was left", w.output, stopped, places, kept)
}

// rehearsed runs the work once, on a gateway of its own, and counts its requests.
func (w *work) rehearsed(t *testing.T) (g *gateway, p *place, requests int) {
	t.Helper()
	g = startGateway(t)
	g.fail(nil)
	if _, _, err := w.run(t.Context(), g.destination(4)); err != nil {
		t.Fatal(err)
	}
	return g, g.place(t, w.output, w.single), g.requests()
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
	w := work{output: "s3://bucket/faults", job: "j", parts: 2, large: 1}
	g, p, total := w.rehearsed(t)
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
