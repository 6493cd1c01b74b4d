package ort_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// stump is a model of one split, with kernels of ours.
func stump(t *testing.T) *models.Model {
	t.Helper()
	tree := &onnxtest.Trees{}
	tree.Node(0, 0, "BRANCH_LEQ", 0, 0.5, 1, 2)
	tree.Node(0, 1, "LEAF", 0, 0, 0, 0)
	tree.Node(0, 2, "LEAF", 0, 0, 0, 0)
	tree.Weight(0, 1, 0, 1)
	tree.Weight(0, 2, 0, 2)
	k, changed, err := models.UseKernels(openModel(t, tree.Regressor(1, 1)))
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	return k
}

// runStump makes a session, runs three rows and closes it.
func runStump(t *testing.T, k *models.Model) error {
	t.Helper()
	s, err := ort.NewSession(orttest.Library(t), k, ort.SessionOptions{})
	if err != nil {
		return err
	}
	defer closeAll(t, s)
	in := tensor(t, models.Float32, []int64{3, 1}, []float32{0, 0.5, 1})
	defer closeAll(t, in)
	outputs := []*ort.Tensor{nil}
	if err := s.Run(t.Context(), []*ort.Tensor{in}, outputs); err != nil {
		return err
	}
	defer closeAll(t, outputs...)
	if got, want := ort.View[float32](outputs[0]), []float32{1, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("scores %v; want %v", got, want)
	}
	return nil
}

// A second session finds the device open; each enters the context for what it
// does there, and leaves it.
func TestCUDADriverCalls(t *testing.T) {
	orttest.Library(t)
	k := stump(t)
	for _, device := range []int{0, 1} {
		end := ort.StandIn(cuda.FakeDriver(cuda.H100), device)
		defer end()
		for range 2 {
			if err := runStump(t, k); err != nil {
				t.Fatal(err)
			}
		}
		digit := string(rune('0' + device))
		session := []string{
			"cuCtxPushCurrent " + digit, "cuMemAlloc", "cuMemcpyHtoD", "cuStreamSynchronize", "cuCtxPopCurrent",
			"cuCtxPushCurrent " + digit, "cuLaunchKernel mr_trees_staged_one_le 1x128", "cuCtxPopCurrent",
			"cuCtxPushCurrent " + digit, "cuMemFree", "cuCtxPopCurrent",
		}
		want := slices.Concat([]string{
			"cuDeviceGet " + digit, "cuDevicePrimaryCtxRetain " + digit, "cuCtxPushCurrent " + digit,
			"cuModuleLoadDataEx 2 options", "cuCtxPopCurrent",
		}, session, session)
		got := slices.DeleteFunc(cuda.Calls(), func(call string) bool {
			return regexp.MustCompile("^cu(DeviceGetAttribute|ModuleGetFunction|FuncSetAttribute) ").MatchString(call)
		})
		if !slices.Equal(got, want) {
			t.Errorf("device %d: calls\n%s\nwant\n%s", device, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		end()
	}
}

func TestCUDADriverErrors(t *testing.T) {
	orttest.Library(t)
	k := stump(t)
	for _, c := range []struct {
		name, call string
		code       int
		log        string
		want       []string
		is         error
	}{
		{
			"no memory for a forest", "cuMemAlloc", cuda.OutOfMemory, "",
			[]string{"bytes for an operator", "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
			ort.ErrOutOfMemory,
		},
		{
			"no memory for a context", "cuDevicePrimaryCtxRetain", cuda.OutOfMemory, "",
			[]string{"device 0", "out of memory"},
			ort.ErrOutOfMemory,
		},
		{
			"kernels that the driver cannot compile", "cuModuleLoadDataEx", cuda.InvalidPTX, "ptxas application ptx input, line 1; fatal: Unsupported .version 9.0",
			[]string{"the kernels cannot be loaded", "CUDA error 218", "Unsupported .version 9.0"},
			ort.ErrProvider,
		},
		{
			"a launch that fails", "cuLaunchKernel", cuda.LaunchFailed, "",
			[]string{"cuLaunchKernel", "unspecified launch failure", "EP_FAIL"},
			ort.ErrDevice,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer ort.StandIn(cuda.FakeDriver(cuda.H100), 0)()
			cuda.FailCall(c.call, c.code, c.log)
			err := runStump(t, k)
			var status *ort.StatusError
			if !errors.As(err, &status) || !errors.Is(err, c.is) || errors.Is(err, models.ErrModel) {
				t.Fatalf("session and Run = %v; want a status, and %v", err, c.is)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("session and Run = %q; want %q in it", err, want)
				}
			}
			if err := runStump(t, k); err != nil {
				t.Errorf("after that = %v; want it to work again", err)
			}
		})
	}
}

// Whichever call of a session's beginning and Run fails, nothing is left behind,
// and the next session works.
func TestCUDADriverFaults(t *testing.T) {
	orttest.Library(t)
	k := stump(t)
	n := 1
	for ; ; n++ {
		end := ort.StandIn(cuda.FakeDriver(cuda.H100), 0)
		cuda.Fail(n, cuda.LaunchFailed)
		err := runStump(t, k)
		if err == nil { // what comes last is to free memory, which nobody can do in a lost context
			end()
			break
		}
		if left := cuda.Left(); left.Allocations != 0 || left.Pushed != 0 || left.Contexts > 1 {
			t.Errorf("call %d failed (%v): %+v left", n, err, left)
		}
		if again := runStump(t, k); again != nil {
			t.Errorf("after call %d failed: %v", n, again)
		}
		end()
	}
	if n < 30 {
		t.Errorf("%d calls failed; want every one of a session's beginning and Run", n-1)
	}
}

// Without a driver a session says so, and nothing else needs one.
func TestCUDADriverMissing(t *testing.T) {
	orttest.Library(t)
	k := stump(t)
	defer ort.StandIn(nil, 0)()
	err := runStump(t, k)
	if err == nil || !strings.Contains(err.Error(), "libcuda.so.1") {
		t.Skipf("this machine has a driver (%v)", err)
	}
	if !errors.Is(err, ort.ErrProvider) || errors.Is(err, models.ErrModel) {
		t.Errorf("NewSession = %v; want ErrProvider", err)
	}
	for _, want := range []string{"CUDA: ", "libcuda.so.1", "millrace doctor"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("NewSession = %q; want %q in it", err, want)
		}
	}
}

// Two sessions on two devices share nothing.
func TestCUDATwoDevices(t *testing.T) {
	lib := orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(7, 8)), width: 3, modes: []string{"BRANCH_LEQ"}, thresholds: []float32{0, 1}}
	for _, leaf := range g.tree(0, 8) {
		g.trees.Weight(0, leaf, 0, g.weight())
	}
	k, _, err := models.UseKernels(openModel(t, g.trees.Regressor(g.width, 1)))
	if err != nil {
		t.Fatal(err)
	}
	driver := cuda.FakeDriver(cuda.H100)
	sessions := make([]*ort.Session, 0, 2)
	for device := range 2 {
		defer ort.StandIn(driver, device)()
		s, err := ort.NewSession(lib, k, ort.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	for device, s := range sessions {
		in := tensor(t, models.Float32, []int64{2, 3}, g.rows(2))
		outputs := []*ort.Tensor{nil}
		if err := s.Run(t.Context(), []*ort.Tensor{in}, outputs); err != nil {
			t.Fatal(err)
		}
		closeAll(t, outputs...)
		closeAll(t, in)
		calls := cuda.Calls()
		if want := "cuCtxPushCurrent " + string(rune('0'+device)); calls[len(calls)-3] != want {
			t.Errorf("session of device %d: %q before its launch; want %q", device, calls[len(calls)-3], want)
		}
	}
	closeAll(t, sessions...)
	if left := cuda.Left(); left.Allocations != 0 || left.Contexts != 2 {
		t.Errorf("%+v left; want both contexts and no memory", left)
	}
}
