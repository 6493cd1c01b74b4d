package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// pacedSession takes the time for a Run that a function gives for its rows and the
// Runs in flight. The session on the CPU shows shapes; where they are known it
// computes nothing.
type pacedSession struct {
	sessions
	room     int64
	inFlight *atomic.Int64
	takes    func(rows int64, inFlight int64) time.Duration
}

func (d pacedSession) Run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	rows := inputs[0].Shape()[0]
	if rows > d.room {
		return fmt.Errorf("run: %w", ort.ErrOutOfMemory)
	}
	now := d.inFlight.Add(1)
	defer d.inFlight.Add(-1)
	time.Sleep(d.takes(rows, now))
	if slices.Contains(outputs, nil) {
		return d.sessions.Run(ctx, inputs, outputs)
	}
	return nil
}

func (pacedSession) Close() error { return nil } // it is every session's

// openPaced is a scoring on such a device.
func openPaced(t *testing.T, plan *Plan, whole *scoring, streams int, room int64, takes func(rows, inFlight int64) time.Duration) (*scoring, *countedMemory) {
	t.Helper()
	inFlight := &atomic.Int64{}
	s := &scoring{plan: plan, sessions: whole.sessions, outputs: whole.outputs}
	var err error
	s.devices, err = openDevices([]int{0}, streams, func(int) (computer, error) { return pacedSession{whole.sessions, room, inFlight, takes}, nil })
	if err != nil {
		t.Fatal(err)
	}
	s.usePlainMemory()
	counted := &countedMemory{}
	lock := s.devices.lock
	s.devices.lock = func(device, bytes int) (hostMemory, error) {
		m, err := lock(device, bytes)
		counted.live.Add(1)
		return countedHost{m, counted}, err
	}
	return s, counted
}

// countedMemory is how much page-locked memory is not freed.
type countedMemory struct{ live atomic.Int64 }

type countedHost struct {
	hostMemory
	counted *countedMemory
}

func (m countedHost) Free() { m.counted.live.Add(-1) }

// deviceRun is a run on a device, of which the outputs need no compression.
func deviceRun(t *testing.T, times int) (*Plan, *scoring) {
	t.Helper()
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", times)
	opts.Workers, opts.Output = 6, opts.Output+".arrow"
	onCPU, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := onCPU.openScoringOf(onCPU.asRun(), lib, 1) // of tensors, as a device takes them
	if err != nil {
		t.Fatal(err)
	}
	opts.Provider = ort.CUDA
	plan, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(whole.close(), onCPU.Close(), plan.Close()); err != nil {
			t.Error(err)
		}
	})
	return plan, whole
}

// What a trial finds follows from how the device behaves. Time is the devices' alone,
// so that it does so every time.
func TestDeviceTrialFinds(t *testing.T) {
	if testing.Short() {
		t.Skip("what it finds; TestDeviceTrial races it")
	}
	perRow := func(rows int64) time.Duration { return time.Duration(rows) * 100 * time.Nanosecond }
	const fixed = 200 * time.Microsecond
	// How many are in flight at the edges of a lap is chance: by size, the default is
	// best by more than that.
	hindered := func(rows, inFlight int64) time.Duration {
		took := perRow(rows) * time.Duration(max(inFlight-1, 1)*max(inFlight-1, 1))
		if rows != 1024 {
			took *= 2
		}
		return took
	}
	for _, c := range []struct {
		about   string
		streams int
		asked   bool // of streams
		room    int64
		takes   func(rows, inFlight int64) time.Duration
		rows    int
		found   int // streams
		tried   int
	}{
		{
			"more Runs at a time take as long as one: the default", 4, false, 1 << 20,
			func(rows, _ int64) time.Duration { return perRow(rows) }, 1024, 4, 4,
		},
		{
			"more than two hinder each other", 4, false, 1 << 20,
			hindered, 1024, 2, 4,
		},
		{
			"so they do, but four were asked for", 4, true, 1 << 20,
			hindered, 1024, 4, 3,
		},
		{
			"beginning a Run takes long, so that the largest batch is best", 4, false, 1 << 20,
			func(rows, _ int64) time.Duration { return fixed + perRow(rows)/100 }, 16384, 4, 5,
		},
		{
			"large batches spill", 4, false, 1 << 20,
			func(rows, _ int64) time.Duration { return perRow(rows) * time.Duration(rows) / 256 }, 256, 4, 4,
		},
		{
			"the largest would be best, but does not fit", 4, false, 5000,
			func(rows, _ int64) time.Duration { return 50*fixed + perRow(rows)/100 }, 4096, 4, 5,
		},
		{
			"the default does not fit", 4, false, 500,
			func(rows, _ int64) time.Duration { return 50*fixed + perRow(rows)/100 }, 256, 4, 4,
		},
		{
			"one stream is as few as there can be", 1, false, 1 << 20,
			func(rows, _ int64) time.Duration { return fixed + perRow(rows)/100 }, 16384, 1, 4,
		},
	} {
		t.Run(c.about, func(t *testing.T) {
			plan, whole := deviceRun(t, 1)
			plan.asked.streams, plan.Options.Streams, plan.asked.workers = c.asked, c.streams, false
			trial := &trial{plan: plan, workers: 6, base: 1024, first: 1024, streams: c.streams}
			var err error
			if trial.sample, err = plan.readSample(t.Context(), 40_000); err != nil {
				t.Fatal(err)
			}
			choice := Choice{BatchRows: 1024, Workers: 6, Streams: c.streams}
			trying := func(t *testing.T) {
				t.Helper()
				s, memory := openPaced(t, plan, whole, c.streams, c.room, c.takes)
				trial.scoring = s
				arms := []*trialArm{trial.arm(256), trial.arm(1024), trial.arm(4096), trial.arm(16384)}
				if err := trial.onDevices(t.Context(), arms, time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				trial.decide(&choice)
				trial.close()
				if d := s.devices.all[0]; d.pieces != 1 || len(s.devices.places) != c.streams {
					t.Errorf("%d pieces and %d places after the trial; want 1 and %d", d.pieces, len(s.devices.places), c.streams)
				}
				if left := memory.live.Load(); left != 0 {
					t.Errorf("%d pieces of page-locked memory are left", left)
				}
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}
			if c.room < 16384 { // whoever opens a session waits for a lock, under which synctest's time stands still
				trying(t)
			} else {
				synctest.Test(t, trying)
			}
			if choice.BatchRows != c.rows || choice.Streams != c.found || choice.Workers != 6+c.found-c.streams || len(choice.Tried) != c.tried {
				t.Errorf("found %d rows, %d streams and %d workers of %+v; want %d, %d, and %d tried (%s)",
					choice.BatchRows, choice.Streams, choice.Workers, choice.Tried, c.rows, c.found, c.tried, choice.Reason)
			}
			if c.room < 1024 && !strings.Contains(choice.Reason, "the default of 1,024 and 4 streams do not fit") {
				t.Errorf("the reason is %q; want that the default does not fit", choice.Reason)
			}
		})
	}
}

// The time is over before anything but the default is measured twice: nothing else is
// begun.
func TestDeviceTrialEnds(t *testing.T) {
	plan, whole := deviceRun(t, 1)
	trial := &trial{plan: plan, workers: 6, base: 1024, first: 1024, streams: 4}
	var err error
	if trial.sample, err = plan.readSample(t.Context(), 40_000); err != nil {
		t.Fatal(err)
	}
	choice := Choice{BatchRows: 1024, Workers: 6, Streams: 4}
	synctest.Test(t, func(t *testing.T) {
		s, _ := openPaced(t, plan, whole, 4, 1<<20, func(int64, int64) time.Duration { return time.Millisecond })
		trial.scoring = s
		arms := []*trialArm{trial.arm(256), trial.arm(1024), trial.arm(4096)}
		if err := trial.onDevices(t.Context(), arms, time.Now()); err != nil {
			t.Fatal(err)
		}
		trial.decide(&choice)
		trial.close()
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if choice.BatchRows != 1024 || choice.Streams != 4 || len(choice.Tried) != 1 || choice.Tried[0].Laps != trialRounds {
		t.Errorf("chose %+v; want the default, measured %d times, alone", choice, trialRounds)
	}
}

// A whole trial, from the first rows on, within its time. What it chooses is the
// machine's business.
func TestDeviceTrial(t *testing.T) {
	plan, whole := deviceRun(t, 120)
	live := ort.Live().Tensors
	choice := Choice{BatchRows: 512, Workers: 6, Streams: 4}
	s, memory := openPaced(t, plan, whole, 4, 1<<20, func(rows, _ int64) time.Duration { return time.Duration(rows) * 24 * time.Microsecond })
	trial := plan.newTrial(t.Context(), &choice)
	if err := trial.try(t.Context(), s, &choice); err != nil {
		t.Fatal(err)
	}
	trial.close()
	if choice.Source != ChosenByTrial || choice.TrialSeconds <= 0 || choice.TrialSeconds > 2*trialMost.Seconds() {
		t.Errorf("chose %+v; want a trial within its time", choice)
	}
	for _, tried := range choice.Tried {
		if tried.Streams < 2 || tried.Laps < trialRounds || tried.RowsPerSecond <= 0 {
			t.Errorf("tried %+v; want streams, and %d laps at least", tried, trialRounds)
		}
	}
	if left := memory.live.Load(); left != 0 {
		t.Errorf("%d pieces of page-locked memory are left", left)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if now := ort.Live().Tensors; now != live {
		t.Errorf("%d tensors are live; were %d", now, live)
	}
}

// Sizes to try are bounded by a batch's tensors, by the device's memory, and by what
// its kernels count.
func TestDeviceTrialSizes(t *testing.T) {
	for _, c := range []struct {
		about string
		set   func(*Options)
		base  int
		want  []int
	}{
		{"32 columns: 64 MiB are 508,400 rows", func(*Options) {}, 1 << 16, []int{1 << 14, 1 << 16, 1 << 18}},
		{"small batches: up to the default of others", func(*Options) {}, 1 << 12, []int{1 << 10, 1 << 12, 1 << 14, 1 << 16}},
		{"none below 1,024", func(*Options) {}, 1 << 11, []int{1 << 11, 1 << 13, 1 << 15}},
		{"of 64 MiB a quarter for four batches", func(o *Options) { o.DeviceMemory = 64 << 20 }, 1 << 12, []int{1 << 10, 1 << 12, 1 << 14}},
		{"of 256 MiB there is room for more", func(o *Options) { o.DeviceMemory = 256 << 20 }, 1 << 14, []int{1 << 12, 1 << 14, 1 << 16}},
		{"but as tensor operators, 200 trees take as much each", func(o *Options) {
			o.Model, o.Kernels, o.DeviceMemory = "../models/reference/flights_gbdt.onnx", KernelsONNXRuntime, 256<<20
		}, 1 << 14, []int{1 << 12, 1 << 14}},
	} {
		opts := sampleRun(t, "flights_linear", 1)
		opts.Provider = ort.CUDA
		c.set(&opts)
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.deviceTrialSizes(c.base); !slices.Equal(got, c.want) {
			t.Errorf("%s: sizes %v (a row has %d bytes and %d elements); want %v", c.about, got, plan.rowBytes(), plan.Model.RowElements(), c.want)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}
