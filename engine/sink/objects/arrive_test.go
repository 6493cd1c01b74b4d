package objects

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// holding has the server hear of some requests only when release is called; came has a token
// when one is there.
func (g *gateway) holding(t *testing.T, which func(r *http.Request) bool) (came <-chan struct{}, release func()) {
	t.Helper()
	g.hold = make(chan struct{})
	arrived := make(chan struct{}, 100)
	g.fail(func(_ int, r *http.Request) fault {
		if !which(r) {
			return fine
		}
		arrived <- struct{}{}
		return held
	})
	return arrived, func() {
		g.fail(nil)
		close(g.hold)
	}
}

// begun stages the work up to its parts.
func (w *work) begun(t *testing.T, g *gateway) *staging {
	t.Helper()
	s, err := w.early(t, g, func() {})
	if err != nil {
		t.Fatal(err)
	}
	none := *w
	none.parts = 0
	if _, err := none.write(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNobodyWaitsForTheLastRecords has the store take its time for the journal: once all parts
// were handed over, whoever did goes on, and Publish waits for all of them.
func TestNobodyWaitsForTheLastRecords(t *testing.T) {
	g := startGateway(t)
	w := work{output: "s3://bucket/last/out", job: "j", parts: 3}
	s := w.begun(t, g)
	came, release := g.holding(t, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/journal/part-") })
	recorded := make(chan error, w.parts)
	for i := range w.parts {
		outputs, err := w.writePart(s, i)
		if err != nil {
			t.Fatal(err)
		}
		go func() { recorded <- s.Record(ledger.PartRecord{Part: i, Outputs: outputs, Rows: rowsOf(i)}) }()
		<-came // so that all but the last are waited for
	}
	for range w.parts {
		select {
		case err := <-recorded:
			if err != nil {
				t.Errorf("Record() = %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("Record() waits for the store after all parts were handed over")
		}
	}
	published := make(chan error, 1)
	go func() { published <- s.Publish(w.manifest()) }()
	time.Sleep(20 * time.Millisecond) // a Publish that waits for nothing would be over, or nearly
	if decided := g.decided(t, s.place); decided != "" {
		t.Errorf("run %s is published, and its parts are not recorded", decided)
	}
	release()
	if err := <-published; err != nil {
		t.Errorf("Publish() = %v", err)
	}
	if err := s.Discard(); err != nil {
		t.Errorf("Discard() = %v", err)
	}
	g.published(t, "last", s.place, w.want(0))
}

// TestTheStepWaitsForNoQuestion has the store take its time to say whether another run put the
// log's next entry: this one puts it meanwhile, and does not take it for another's.
func TestTheStepWaitsForNoQuestion(t *testing.T) {
	g := startGateway(t)
	w := work{output: "s3://bucket/asked/out", job: "j", parts: 1}
	s := w.begun(t, g)
	if _, err := w.writePart(s, 0); err != nil {
		t.Fatal(err)
	}
	next := s.place.logKey(s.newest().Number + 1)
	came, release := g.holding(t, func(r *http.Request) bool { return r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, next) })
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		s.ask(t.Context())
	}()
	<-came
	moved := make(chan error, 1)
	go func() { moved <- s.step(t.Context()) }()
	select {
	case err := <-moved:
		if err != nil {
			t.Errorf("step() = %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the step waits for an answer that nobody needs")
	}
	release()
	<-asked
	if err := s.lost(); err != nil {
		t.Errorf("the run takes its own entry for another's: %v", err)
	}
	if err := s.Discard(); err != nil {
		t.Errorf("Discard() = %v", err)
	}
}

// TestALateBeatIsWaitedFor has the store take longer for a beat than others wait for one, while
// the run publishes: the beat does not come when all else that was staged has gone.
func TestALateBeatIsWaitedFor(t *testing.T) {
	g := startGateway(t)
	w := work{output: "s3://bucket/late/out", job: "j", parts: 1}
	s := w.begun(t, g)
	outputs, err := w.writePart(s, 0)
	if err == nil {
		err = s.Record(ledger.PartRecord{Part: 0, Outputs: outputs, Rows: rowsOf(0)})
	}
	if err != nil {
		t.Fatal(err)
	}
	came, release := g.holding(t, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, beatName) })
	<-came
	published := make(chan error, 1)
	go func() { published <- s.Publish(w.manifest()) }()
	time.Sleep(2 * s.lease)
	release()
	if err := <-published; err != nil {
		t.Errorf("Publish() = %v", err)
	}
	if err := s.Discard(); err != nil {
		t.Errorf("Discard() = %v", err)
	}
	g.slow.Wait()
	g.published(t, "late", s.place, w.want(0))
}

// TestListingsAreWhole has no answer come to a listing of what is there: that is an error, and
// no empty place.
func TestListingsAreWhole(t *testing.T) {
	g := startGateway(t)
	through, err := g.destination(2).open(t.Context(), g.place(t, "s3://bucket/listed/", false))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.direct.put(t.Context(), "listed/a.parquet", []byte("PAR1")); err != nil {
		t.Fatal(err)
	}
	g.fail(func(int, *http.Request) fault { return reset })
	if found, err := through.all(t.Context(), "listed/"); err == nil {
		t.Errorf("all() = %v, nil; want an error", found)
	}
	for _, once := range []fault{reset, limited} {
		g.fail(func(n int, _ *http.Request) fault { return map[int]fault{1: once}[n] })
		if found, err := through.all(t.Context(), "listed/"); err != nil || len(found) != 1 {
			t.Errorf("all() = %v, %v; want one object", found, err)
		}
	}
}

// TestRefusedCopy has the store refuse to give a file its name: what is said has no more than
// that of the client's words.
func TestRefusedCopy(t *testing.T) {
	g := startGateway(t)
	w := work{output: "s3://bucket/refused/out", job: "j", parts: 1}
	g.fail(func(_ int, r *http.Request) fault {
		return map[bool]fault{r.Header.Get("X-Amz-Copy-Source") != "": denied}[true]
	})
	_, _, err := w.run(t.Context(), g.destination(2))
	if err == nil || !strings.Contains(err.Error(), "CopyObject was refused: AccessDenied") || strings.Contains(err.Error(), "operation error") {
		t.Errorf("run() = %v; want the refusal in our words", err)
	}
}
