package ort_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func TestEveryFixedSizeTypePassesThrough(t *testing.T) {
	for _, elem := range []models.ElementType{
		models.Float32, models.Uint8, models.Int8, models.Uint16, models.Int16, models.Int32, models.Int64, models.Bool,
		models.Float16, models.Float64, models.Uint32, models.Uint64, models.BFloat16,
	} {
		t.Run(elem.String(), func(t *testing.T) {
			s := newSession(t, onnxtest.Identity(pb.TensorProto_DataType(elem), "N", 3), ort.SessionOptions{})
			for _, rows := range []int64{0, 1, 7} {
				in := make([]byte, int(rows)*3*elem.Bytes())
				for i := range in {
					in[i] = byte(i % 2) // valid booleans too
				}
				x, err := ort.NewTensor(elem, []int64{rows, 3}, in)
				if err != nil {
					t.Fatal(err)
				}
				own := make([]byte, len(in))
				y, err := ort.NewTensor(elem, []int64{rows, 3}, own)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Run(t.Context(), []*ort.Tensor{x}, []*ort.Tensor{y}); err != nil {
					t.Fatalf("Run(%d rows) = %v", rows, err)
				}
				if !slices.Equal(own, in) {
					t.Errorf("Run(%v) into a tensor of ours = %v", in, own)
				}
				made := []*ort.Tensor{nil}
				if err := s.Run(t.Context(), []*ort.Tensor{x}, made); err != nil {
					t.Fatalf("Run(%d rows) = %v", rows, err)
				}
				if got := made[0]; got.Elem() != elem || !slices.Equal(got.Shape(), []int64{rows, 3}) || !slices.Equal(got.Bytes(), in) {
					t.Errorf("Run(%v) = %v %v %v", in, got.Elem(), got.Shape(), got.Bytes())
				}
				closeAll(t, x, y, made[0])
			}
		})
	}
}

func matMul() *pb.ModelProto {
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("z", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Node("MatMul", onnxtest.Names("x", "w"), onnxtest.Names("y")),
		onnxtest.Node("Neg", onnxtest.Names("y"), onnxtest.Names("z")))
	g.Initializer = []*pb.TensorProto{onnxtest.Floats32("w", []int64{2, 3}, 1, 2, 3, 10, 20, 30)}
	return onnxtest.Model(g)
}

func TestRunComputes(t *testing.T) {
	s := newSession(t, matMul(), ort.SessionOptions{})
	want := []models.Value{{
		Name: "x", Kind: models.Tensor, Elem: models.Float32, HasShape: true,
		Shape: models.Shape{{Size: -1, Param: "N"}, {Size: 2}},
	}}
	if diff := cmp.Diff(want, s.Inputs()); diff != "" {
		t.Errorf("Inputs() (-want +got):\n%s", diff)
	}
	x := tensor(t, models.Float32, []int64{2, 2}, []float32{1, 1, 2, 0})
	defer closeAll(t, x)
	outputs := make([]*ort.Tensor, 2)
	if err := s.Run(t.Context(), []*ort.Tensor{x}, outputs); err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, outputs...)
	if got := ort.View[float32](outputs[1]); !slices.Equal(got, []float32{-11, -22, -33, -2, -4, -6}) {
		t.Errorf("z = %v", got)
	}
}

func TestOnlyChosenOutputs(t *testing.T) {
	s := newSession(t, matMul(), ort.SessionOptions{Outputs: []string{"z"}})
	x := tensor(t, models.Float32, []int64{1, 2}, []float32{1, 1})
	z := tensor(t, models.Float32, []int64{1, 3}, make([]float32, 3))
	defer closeAll(t, x, z)
	if err := s.Run(t.Context(), []*ort.Tensor{x}, []*ort.Tensor{z}); err != nil {
		t.Fatal(err)
	}
	if got := ort.View[float32](z); !slices.Equal(got, []float32{-11, -22, -33}) {
		t.Errorf("z = %v", got)
	}
	if _, err := ort.NewSession(nil, s.Model(), ort.SessionOptions{}); !errors.Is(err, ort.ErrLibrary) {
		t.Errorf("NewSession(nil library) = %v; want ErrLibrary", err)
	}
}

// An output that is an input, which no operator gives, has the input's values in memory of
// the caller's and in ONNX Runtime's, whose own Run leaves the former as it was.
func TestAnInputThatIsAnOutput(t *testing.T) {
	g := matMul().Graph
	g.Output = append(g.Output, g.Input[0])
	s := newSession(t, onnxtest.Model(g), ort.SessionOptions{})
	in := []float32{1, 1, 2, 0}
	x := tensor(t, models.Float32, []int64{2, 2}, in)
	own := make([]float32, 4)
	given := tensor(t, models.Float32, []int64{2, 2}, own)
	outputs := []*ort.Tensor{nil, nil, given}
	if err := s.Run(t.Context(), []*ort.Tensor{x}, outputs); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(own, in) {
		t.Errorf("Run(%v) into a tensor of ours = %v", in, own)
	}
	made := make([]*ort.Tensor, 3)
	if err := s.Run(t.Context(), []*ort.Tensor{x}, made); err != nil {
		t.Fatal(err)
	}
	if got := made[2].Bytes(); !slices.Equal(got, x.Bytes()) {
		t.Errorf("Run(%v) = %v", x.Bytes(), got)
	}
	other := tensor(t, models.Float32, []int64{4, 1}, own)
	if err := s.Run(t.Context(), []*ort.Tensor{x}, []*ort.Tensor{nil, nil, other}); err == nil {
		t.Error("Run with a tensor of another shape = nil; want an error")
	}
	closeAll(t, outputs...)
	closeAll(t, made...)
	closeAll(t, x, other)
}

func TestRunRefuses(t *testing.T) {
	s := newSession(t, matMul(), ort.SessionOptions{Outputs: []string{"y"}})
	x := tensor(t, models.Float32, []int64{1, 2}, []float32{1, 1})
	y := tensor(t, models.Float32, []int64{1, 3}, make([]float32, 3))
	wide := tensor(t, models.Float32, []int64{1, 4}, make([]float32, 4))
	double := tensor(t, models.Float64, []int64{1, 3}, make([]float64, 3))
	gone := tensor(t, models.Float32, []int64{1, 2}, []float32{1, 1})
	closeAll(t, gone)
	defer closeAll(t, x, y, wide, double)
	for _, c := range []struct {
		name            string
		inputs, outputs []*ort.Tensor
		want            error
	}{
		{"too few inputs", nil, []*ort.Tensor{y}, ort.ErrTensor},
		{"too few outputs", []*ort.Tensor{x}, nil, ort.ErrTensor},
		{"no tensor for an input", []*ort.Tensor{nil}, []*ort.Tensor{y}, ort.ErrTensor},
		{"an input of another type", []*ort.Tensor{double}, []*ort.Tensor{y}, ort.ErrTensor},
		{"an output of another type", []*ort.Tensor{x}, []*ort.Tensor{double}, ort.ErrTensor},
		{"a closed input", []*ort.Tensor{gone}, []*ort.Tensor{y}, ort.ErrClosed},
		{"an input of another width", []*ort.Tensor{wide}, []*ort.Tensor{y}, nil},
		{"an output of another width", []*ort.Tensor{x}, []*ort.Tensor{wide}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := s.Run(t.Context(), c.inputs, c.outputs)
			var status *ort.StatusError
			switch {
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("Run() = %v; want %v", err, c.want)
			case c.want == nil && !errors.As(err, &status):
				t.Errorf("Run() = %v; want a StatusError", err)
			}
		})
	}
}

func TestRunFromManyGoroutines(t *testing.T) {
	s := newSession(t, matMul(), ort.SessionOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				v := float32(worker*1000 + i)
				x := tensor(t, models.Float32, []int64{1, 2}, []float32{v, 0})
				outputs := make([]*ort.Tensor, 2)
				if err := s.Run(ctx, []*ort.Tensor{x}, outputs); err != nil {
					t.Errorf("Run() = %v", err)
					closeAll(t, x)
					return
				}
				if got := ort.View[float32](outputs[0]); got[2] != 3*v {
					t.Errorf("worker %d: y = %v; want %v at 2", worker, got, 3*v)
				}
				closeAll(t, outputs...)
				closeAll(t, x)
			}
		})
	}
	wg.Wait()
}

func TestCancelStopsARun(t *testing.T) {
	s := newSession(t, onnxtest.Endless(), ort.SessionOptions{})
	x := tensor(t, models.Float32, []int64{1}, []float32{0})
	defer closeAll(t, x)
	cause := errors.New("told to stop")
	for range 3 { // run options are replaced each time
		ctx, cancel := context.WithCancelCause(t.Context())
		timer := time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		outputs := []*ort.Tensor{nil}
		err := s.Run(ctx, []*ort.Tensor{x}, outputs)
		if !errors.Is(err, cause) {
			t.Errorf("Run() = %v; want the context's cause", err)
		}
		if outputs[0] != nil {
			t.Error("a stopped Run left an output")
			closeAll(t, outputs[0])
		}
		if err := s.Run(ctx, []*ort.Tensor{x}, outputs); !errors.Is(err, cause) {
			t.Errorf("Run() with an ended context = %v; want its cause", err)
		}
		timer.Stop()
		cancel(nil)
	}
}

func TestCloseWaitsForRuns(t *testing.T) {
	s := newSession(t, onnxtest.Endless(), ort.SessionOptions{})
	x := tensor(t, models.Float32, []int64{1}, []float32{0})
	defer closeAll(t, x)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		done <- s.Run(ctx, []*ort.Tensor{x}, []*ort.Tensor{nil})
	}()
	<-started
	time.Sleep(10 * time.Millisecond)
	closeAll(t, s, s)
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run() = %v; want the deadline", err)
		}
	case <-time.After(time.Second):
		t.Error("Close() returned before the Run it should wait for")
	}
	if err := s.Run(t.Context(), nil, nil); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("Run() after Close() = %v; want ErrClosed", err)
	}
}

// A mapping is not Go memory, and pinning it does nothing.
func TestTensorOverAMapping(t *testing.T) {
	s := newSession(t, onnxtest.Identity(pb.TensorProto_INT64, "N"), ort.SessionOptions{})
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	page[8] = 42
	x, err := ort.NewTensor(models.Int64, []int64{2}, page[8:24])
	if err != nil {
		t.Fatal(err)
	}
	y := []*ort.Tensor{nil}
	if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
		t.Fatal(err)
	}
	if got := ort.View[int64](y[0]); !slices.Equal(got, []int64{42, 0}) {
		t.Errorf("Identity(mapping) = %v; want 42, 0", got)
	}
	closeAll(t, x, y[0])
	if err := unix.Munmap(page); err != nil {
		t.Error(err)
	}
}
