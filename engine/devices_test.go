package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// fakeComputer doubles float32 values, with room for so many rows at a time.
type fakeComputer struct {
	device    int
	room      int64
	fail      error // of every Run
	running   atomic.Int64
	most      *atomic.Int64 // Runs at a time, over all
	took      *sync.Map     // device -> *atomic.Int64 of rows
	closed    atomic.Bool
	delay     time.Duration
	seenAfter *atomic.Bool // a Run on a closed session
}

func (f *fakeComputer) Run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	if f.closed.Load() {
		f.seenAfter.Store(true)
	}
	now := f.running.Add(1)
	defer f.running.Add(-1)
	for m := f.most.Load(); now > m; m = f.most.Load() {
		if f.most.CompareAndSwap(m, now) {
			break
		}
	}
	time.Sleep(f.delay)
	if f.fail != nil {
		return f.fail
	}
	rows := inputs[0].Shape()[0]
	if rows > f.room {
		return fmt.Errorf("run: %w", ort.ErrOutOfMemory)
	}
	count, _ := f.took.LoadOrStore(f.device, new(atomic.Int64))
	count.(*atomic.Int64).Add(rows)
	in, out := ort.View[float32](inputs[0]), ort.View[float32](outputs[0])
	for i, v := range in {
		out[i] = 2 * v
	}
	return context.Cause(ctx)
}

func (f *fakeComputer) Close() error {
	if f.running.Load() != 0 {
		return errors.New("closed while it runs")
	}
	f.closed.Store(true)
	return nil
}

// fakeDevices are devices whose sessions are fakes; change alters each new one.
type fakeDevices struct {
	*devices
	opened    atomic.Int64
	most      atomic.Int64
	took      sync.Map
	seenAfter atomic.Bool
}

func newFakeDevices(t *testing.T, numbers []int, streams int, change func(n int64, c *fakeComputer)) *fakeDevices {
	t.Helper()
	orttest.Library(t) // tensors are its
	f := &fakeDevices{}
	ds, err := openDevices(numbers, streams, func(device int) (computer, error) {
		c := &fakeComputer{device: device, room: 1 << 40, most: &f.most, took: &f.took, delay: time.Millisecond, seenAfter: &f.seenAfter}
		change(f.opened.Add(1), c)
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.devices = ds
	t.Cleanup(func() {
		if err := ds.close(); err != nil || f.seenAfter.Load() {
			t.Errorf("close() = %v, a Run on a closed session: %v", err, f.seenAfter.Load())
		}
	})
	return f
}

// double runs one batch of rows rows of two columns and checks what comes back.
func (f *fakeDevices) double(ctx context.Context, t *testing.T, rows int) error {
	t.Helper()
	in, out := make([]float32, 2*rows), make([]float32, 2*rows)
	want := make([]float32, 2*rows)
	for i := range in {
		in[i] = float32(i)
		want[i] = 2 * in[i]
	}
	tensors := make([]*ort.Tensor, 2)
	for i, data := range [][]float32{in, out} {
		var err error
		if tensors[i], err = ort.NewTensor(models.Float32, []int64{int64(rows), 2}, kernel.Bytes(data)); err != nil {
			t.Fatal(err)
		}
	}
	err := f.run(ctx, tensors[:1], tensors[1:])
	for _, tensor := range tensors {
		if closed := tensor.Close(); closed != nil {
			t.Error(closed)
		}
	}
	if err == nil && !slices.Equal(out, want) {
		t.Errorf("a batch of %d rows came back as %v", rows, out[:min(len(out), 8)])
	}
	return err
}

func TestDevicesShareBatches(t *testing.T) {
	f := newFakeDevices(t, []int{0, 3}, 2, func(int64, *fakeComputer) {})
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			if err := f.double(t.Context(), t, 5); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most := f.most.Load(); most != 2 {
		t.Errorf("%d Runs at a time on one device; want 2", most)
	}
	for _, device := range []int{0, 3} {
		if rows, ok := f.took.Load(device); !ok || rows.(*atomic.Int64).Load() < 20 {
			t.Errorf("device %d took %v of 200 rows", device, rows)
		}
	}
}

// A batch that does not fit is run in pieces, by a new session, and so are all
// after it; what several Runs find at the same time counts once.
func TestDevicesHalveWhatDoesNotFit(t *testing.T) {
	f := newFakeDevices(t, []int{0}, 4, func(_ int64, c *fakeComputer) { c.room = 30 })
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			if err := f.double(t.Context(), t, 101+i%3); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if d := f.all[0]; d.pieces != 4 || d.halved != 2 || f.opened.Load() != 3 {
		t.Errorf("%d pieces after %d halvings and %d sessions; want 4, 2 and 3", d.pieces, d.halved, f.opened.Load())
	}
	if err := f.double(t.Context(), t, 3); err != nil { // fewer rows than pieces
		t.Error(err)
	}
}

func TestDevicesGiveUp(t *testing.T) {
	t.Run("after five halvings", func(t *testing.T) {
		f := newFakeDevices(t, []int{0}, 1, func(_ int64, c *fakeComputer) { c.room = 0 })
		err := f.double(t.Context(), t, 100)
		if !errors.Is(err, ort.ErrOutOfMemory) || f.opened.Load() != 1+mostHalvings {
			t.Errorf("run() = %v after %d sessions; want ErrOutOfMemory after %d", err, f.opened.Load(), 1+mostHalvings)
		}
	})
	t.Run("at once when the device is lost", func(t *testing.T) {
		lost := &ort.StatusError{Code: ort.CodeEPFail, Message: "CUDA failure 719: unspecified launch failure ; GPU=0"}
		f := newFakeDevices(t, []int{0}, 1, func(_ int64, c *fakeComputer) { c.fail = lost })
		err := f.double(t.Context(), t, 100)
		if !errors.Is(err, ort.ErrDevice) || errors.Is(err, ort.ErrOutOfMemory) || f.opened.Load() != 1 {
			t.Errorf("run() = %v after %d sessions; want ErrDevice from the first", err, f.opened.Load())
		}
	})
	t.Run("waiting for a place when the run ends", func(t *testing.T) {
		f := newFakeDevices(t, []int{0}, 1, func(int64, *fakeComputer) {})
		place := <-f.places
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stopped)
		if err := f.double(ctx, t, 100); !errors.Is(err, stopped) {
			t.Errorf("run() = %v; want what ended the run", err)
		}
		f.places <- place
	})
	t.Run("when a session cannot be opened again", func(t *testing.T) {
		f := newFakeDevices(t, []int{0}, 1, func(_ int64, c *fakeComputer) { c.room = 10 })
		broken := errors.New("no session")
		f.all[0].open = func(int) (computer, error) { return nil, broken }
		if err := f.double(t.Context(), t, 100); !errors.Is(err, broken) {
			t.Errorf("run() = %v; want why there is no session", err)
		}
	})
}

func TestCheckPlacement(t *testing.T) {
	nodes := []ort.Node{
		{Name: "a", Operator: models.Operator{Name: "MatMul"}, Provider: ort.CUDA},
		{Name: "b", Operator: models.Operator{Domain: "ai.onnx.ml", Name: "Scaler"}, Provider: ort.CPU},
	}
	model := &models.Model{Path: "m.onnx"}
	p := &Plan{Options: Options{Provider: ort.CUDA}}
	err := p.checkPlacement(model, nodes)
	if !errors.Is(err, ErrCPUNodes) || !errors.Is(err, models.ErrModel) {
		t.Fatalf("checkPlacement() = %v; want ErrCPUNodes", err)
	}
	if want := "ai.onnx.ml.Scaler (b)"; !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "MatMul") {
		t.Errorf("checkPlacement() = %v; want it to name %s alone", err, want)
	}
	p.Options.AllowCPUNodes = true
	if err := p.checkPlacement(model, nodes); err != nil {
		t.Errorf("checkPlacement() with --allow-cpu-nodes = %v", err)
	}
	if err := p.checkPlacement(model, nodes[:1]); err != nil {
		t.Errorf("checkPlacement() = %v; want nil where all nodes are on the device", err)
	}
}

// Batches on a device are bounded in bytes, and by what its kernels can count.
func TestDeviceBatchRows(t *testing.T) {
	rows := func(change func(*Options)) (int, error) {
		opts := sampleRun(t, "flights_gbdt", 1)
		opts.Provider = ort.CUDA
		change(&opts)
		plan, err := NewPlan(t.Context(), opts)
		if err != nil {
			return 0, err
		}
		return plan.Options.BatchRows, plan.Close()
	}
	if n, err := rows(func(*Options) {}); err != nil || n != DefaultDeviceRows {
		t.Errorf("%d rows by default, %v; want %d", n, err, DefaultDeviceRows)
	}
	if n, err := rows(func(o *Options) {
		o.Model = "../models/reference/embed.onnx"
		o.Inputs = []string{"../testdata/embed-sample.parquet"}
	}); err != nil || n != deviceBatchBytes/(4*(64+16)) {
		t.Errorf("%d rows of 80 values by default, %v; want 16 MiB of them", n, err)
	}
	n, err := rows(func(o *Options) { o.Kernels, o.BatchRows = KernelsONNXRuntime, 1<<27 })
	if !errors.Is(err, ErrUsage) || !strings.Contains(fmt.Sprint(err), "rows at most") {
		t.Errorf("%d rows of 200 trees as tensor operators: %v; want ErrUsage", n, err)
	}
}

// smallDevice is a session on the CPU that takes few rows at a time, as a device
// with little memory does.
type smallDevice struct {
	sessions
	rows int64
}

func (d smallDevice) Run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	if inputs[0].Shape()[0] > d.rows {
		return fmt.Errorf("run: %w", ort.ErrOutOfMemory)
	}
	return d.sessions.Run(ctx, inputs, outputs)
}

// shapedSession is a session on the CPU that notes how many rows it is given.
type shapedSession struct {
	sessions
	rows *sync.Map
}

func (d shapedSession) Run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	d.rows.Store(inputs[0].Shape()[0], true)
	return d.sessions.Run(ctx, inputs, outputs)
}

// For TensorRT every Run has the rows of a full batch, over all spans; predictions
// of the padding are dropped.
func TestTensorRTBatchesArePadded(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_xgb", 1)
	opts.Provider, opts.BatchRows = ort.TensorRT, 7000 // 50,000 rows in spans of 10,000
	plan, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if plan.OwnKernels || plan.Batches() != 8 {
		t.Errorf("own kernels: %v, %d batches; want none, and 8", plan.OwnKernels, plan.Batches())
	}
	onCPU := *plan
	onCPU.Options.Provider = ort.CPU
	whole, err := onCPU.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	var rows sync.Map
	padded := &scoring{plan: plan, sessions: whole.sessions, outputs: whole.outputs}
	padded.devices, err = openDevices([]int{0}, 1, func(int) (computer, error) { return shapedSession{whole.sessions, &rows}, nil })
	if err != nil {
		t.Fatal(err)
	}
	padded.usePlainMemory()
	sample, err := plan.readSample(t.Context(), 5000)
	if err != nil {
		t.Fatal(err)
	}
	var got [2][]*result
	for i, s := range []*scoring{whole, padded} {
		s.usePool(2)
		w := s.worker(7000, &Progress{})
		for _, b := range sample.batches(7000) {
			res, err := w.score(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = append(got[i], res)
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
	rows.Range(func(n, _ any) bool {
		if n != int64(7000) {
			t.Errorf("a Run of %d rows; want 7000 alone", n)
		}
		return true
	})
	for i, res := range got[1] {
		if want := got[0][i].predictions[0]; res.batch.Rows != want.Len() || !array.Equal(res.predictions[0], want) {
			t.Errorf("batch %d: %d rows of predictions differ from those without padding", i, res.batch.Rows)
		}
	}
	releaseResults(slices.Concat(got[:]...))
	sample.release()
	if err := errors.Join(padded.close(), plan.Close()); err != nil {
		t.Error(err)
	}
}

type plainMemory []byte

// usePlainMemory has no device needed for page-locked memory.
func (s *scoring) usePlainMemory() {
	s.devices.lock = func(_, bytes int) (hostMemory, error) { return plainMemory(kernel.Aligned[byte](bytes)), nil }
	s.memory = s.devices.host.memory
}

func (m plainMemory) Bytes() []byte { return m }
func (plainMemory) Free()           {}

// A batch that is too large already when nobody knows the outputs' shapes is
// scored as on the CPU, by pieces, whether by one model or by several.
func TestFirstBatchInPieces(t *testing.T) {
	one := sampleRun(t, "flights_xgb", 1)
	several := one
	several.Model, several.Models = "", []ModelOptions{{Name: "a", Model: one.Model}, {Name: "b", Model: "../models/reference/flights_mlp.onnx"}}
	for _, opts := range []Options{one, several} {
		firstBatchInPieces(t, opts)
	}
}

func firstBatchInPieces(t *testing.T, opts Options) {
	t.Helper()
	lib := orttest.Library(t)
	plan, err := NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	pieces := &scoring{plan: plan, sessions: whole.sessions, outputs: whole.outputs}
	pieces.devices, err = openDevices([]int{0}, 1, func(int) (computer, error) {
		s, err := plan.openScoringOf(plan.asRun(), lib, 1) // of tensors, as a device takes them
		if err != nil {
			return nil, err
		}
		return smallDevice{s.sessions, 700}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pieces.usePlainMemory()
	sample, err := plan.readSample(t.Context(), 5000)
	if err != nil {
		t.Fatal(err)
	}
	var results [3]*result
	for i, s := range []*scoring{whole, pieces, pieces} { // the third comes when batches run in pieces already
		s.usePool(1)
		w := s.worker(5000, &Progress{})
		if results[i], err = w.score(t.Context(), sample.batches(5000)[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
	if d := pieces.devices.all[0]; d.pieces != 8 {
		t.Errorf("%d pieces; want 8 of 625 rows", d.pieces)
	}
	for _, r := range results[1:] {
		for i, got := range r.predictions {
			if want := results[0].predictions[i]; !array.Equal(got, want) {
				t.Errorf("column %s differs: %v; want %v", r.fields[i].Name, got, want)
			}
		}
	}
	releaseResults(results[:])
	sample.release()
	if err := errors.Join(pieces.close(), whole.close(), plan.Close()); err != nil {
		t.Error(err)
	}
}
