package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ort"
)

var update = flag.Bool("update", false, "write testdata again")

var began = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// at is a span of a worker, in microseconds.
func at(work Work, start, end int) Span {
	return Span{Work: work, Start: began.Add(time.Duration(start) * time.Microsecond), End: began.Add(time.Duration(end) * time.Microsecond)}
}

// on is a span of a device.
func on(device, stream int, work Work, name string, bytes int64, start, end int) Span {
	s := at(work, start, end)
	s.Device = &ort.DeviceSpan{Device: device, Stream: stream, Name: name, Bytes: bytes}
	return s
}

// twoStreams is a run of two workers: while one stream computes, the other copies.
func twoStreams() []Span {
	return []Span{
		at(Read, 0, 50), at(Assemble, 50, 90), at(Run, 90, 530),
		at(Read, 10, 70), at(Assemble, 70, 120), at(Run, 120, 720), at(Write, 530, 560),
		on(0, 7, CopyIn, "", 8388608, 100, 300), on(0, 7, Compute, "gemm", 0, 300, 500), on(0, 7, CopyOut, "", 262144, 500, 520),
		on(0, 8, CopyIn, "", 8388608, 300, 500), on(0, 8, Compute, "gemm", 0, 500, 680), on(0, 8, Compute, "gemm <tail>", 0, 670, 690), on(0, 8, CopyOut, "", 262144, 690, 710),
		on(1, 7, Compute, "gemm", 0, 150, 151),
	}
}

// What Perfetto opens; look at a change of it there.
func TestWrite(t *testing.T) {
	var got bytes.Buffer
	if err := WriteTrace(&got, twoStreams()); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/two-streams.json"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs; look at it with -update and git diff. Got:\n%s", path, got.String())
	}
}

// No two spans of a row overlap, and no span is lost, whatever they are.
func TestRows(t *testing.T) {
	spans := twoStreams()
	for i := range 300 { // many that overlap, and some of no length
		spans = append(spans, on(0, 9+i%2, Compute, "k", 0, (i*37)%500, (i*37)%500+i%40), at(Run, (i*31)%400, (i*31)%400+i%90))
	}
	var got bytes.Buffer
	if err := WriteTrace(&got, spans); err != nil {
		t.Fatal(err)
	}
	var trace struct {
		Events []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(got.Bytes(), &trace); err != nil {
		t.Fatal(err)
	}
	ends, n := map[int]float64{}, 0
	for _, e := range trace.Events {
		if e.Phase != "X" {
			continue
		}
		if n++; e.Start < ends[e.Row] {
			t.Errorf("%+v begins before the one before it ends, at %v", e, ends[e.Row])
		}
		ends[e.Row] = e.Start + e.Length
	}
	if n != len(spans) {
		t.Errorf("%d spans of %d", n, len(spans))
	}
}

func TestWriteNothing(t *testing.T) {
	var got bytes.Buffer
	if err := WriteTrace(&got, nil); err != nil || !json.Valid(got.Bytes()) {
		t.Errorf("a trace of nothing: %q, %v", got.String(), err)
	}
	full := errors.New("full")
	if err := WriteTrace(failing{full}, twoStreams()); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// The numbers of this test are worked out by hand.
func TestOverlap(t *testing.T) {
	all := Overlap(twoStreams())
	if len(all) != 2 || all[0].Device != 0 || all[1].Device != 1 {
		t.Fatalf("shares %+v; want those of two devices", all)
	}
	// Of 100 to 710: copies in 400, computes 390 (300 to 690), copies out 20 and 20, of
	// copies 200 and 20 while it computes, and always one or the other.
	got, want := all[0], Shares{0, 610 * time.Microsecond, 400. / 610, 390. / 610, 40. / 610, 220. / 610, 0}
	for _, pair := range [][2]float64{{got.CopyIn, want.CopyIn}, {got.Compute, want.Compute}, {got.CopyOut, want.CopyOut}, {got.Overlap, want.Overlap}, {got.Idle, want.Idle}} {
		if math.Abs(pair[0]-pair[1]) > 1e-9 {
			t.Errorf("shares %+v; want %+v", got, want)
			break
		}
	}
	if text := got.String(); text != "device 0: of 610µs, 66% copies to it, 64% computes, 7% copies from it; 36% copies and computes at once, 0% does nothing" {
		t.Errorf("shares read %q", text)
	}
	// Nothing goes on for half of the time, and copies within the device are no arithmetic.
	idle := Overlap([]Span{on(0, 1, CopyIn, "", 1, 0, 10), on(0, 1, Copy, "", 1, 20, 30), on(0, 1, CopyOut, "", 1, 30, 40)})[0]
	if math.Abs(idle.Idle-0.5) > 1e-9 || idle.Overlap != 0 || idle.Compute != 0 {
		t.Errorf("shares %+v; want half idle", idle)
	}
	if none := Overlap([]Span{at(Read, 0, 5)}); len(none) != 0 {
		t.Errorf("shares %+v without a device", none)
	}
	if at := Overlap([]Span{on(0, 1, Compute, "", 0, 5, 5)}); len(at) != 1 || at[0].Whole != 0 || strings.Contains(at[0].String(), "NaN") {
		t.Errorf("shares of no time: %v", at)
	}
}

// Any number of workers add at the same time; beyond a bound they are counted.
func TestRecorder(t *testing.T) {
	r := &Recorder{}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				r.Add(Assemble, began)
			}
		})
	}
	group.Wait()
	devices := []ort.DeviceSpan{{Work: ort.Kernel, Name: "gemm", Start: began, End: began}, {Work: ort.CopyOut}}
	spans, dropped := r.Spans(devices)
	if len(spans) != 402 || dropped != 0 || spans[0].Work != Assemble || !spans[0].End.After(began) {
		t.Fatalf("%d spans, %d dropped, the first %+v; want 402 and none", len(spans), dropped, spans[0])
	}
	if k := spans[400]; k.Work != Compute || k.Device != &devices[0] || spans[401].Work != CopyOut {
		t.Errorf("the device's spans are %+v and %+v", k, spans[401])
	}
	r.spans = make([]Span, mostSpans)
	r.Add(Read, began)
	if spans, dropped := r.Spans(nil); len(spans) != mostSpans || dropped != 1 {
		t.Errorf("%d spans, %d dropped; want %d and 1", len(spans), dropped, mostSpans)
	}
}
