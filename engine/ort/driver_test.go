package ort_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
)

func TestDevices(t *testing.T) {
	defer ort.StandIn(cuda.FakeDriver(cuda.H100), -1)()
	got, driver, err := ort.Devices()
	want := []ort.DeviceInfo{
		{Number: 0, Name: "fake 0", Bytes: 1 << 30, Address: "0000:00:00.0"}, {Number: 1, Name: "fake 1", Bytes: 1 << 30, Address: "0000:01:00.0"},
	}
	if err != nil || driver != "13.1" || !slices.Equal(got, want) {
		t.Errorf("Devices() = %v, %q, %v; want %v, 13.1", got, driver, err, want)
	}
	for _, call := range []string{"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetPCIBusId", "cuDeviceTotalMem"} {
		cuda.FailCall(call, cuda.LaunchFailed, "")
		got, _, err := ort.Devices()
		if !errors.Is(err, ort.ErrDevice) || got != nil {
			t.Errorf("Devices(), %s failing = %v, %v; want ErrDevice", call, got, err)
		}
	}
}

// copyThrough takes memory of the host and of a device, copies there and back, and
// frees both.
func copyThrough(t *testing.T, device int) error {
	t.Helper()
	host, err := ort.NewHostMemory(device, 5)
	if err != nil {
		return err
	}
	defer host.Free()
	there, err := ort.NewDeviceMemory(device, 5)
	if err != nil {
		return err
	}
	defer there.Free()
	copy(host.Bytes(), "there")
	if err := there.CopyFrom(host.Bytes()); err != nil {
		return err
	}
	clear(host.Bytes())
	if err := there.CopyTo(host.Bytes()); err != nil {
		return err
	}
	if got := string(host.Bytes()); got != "there" {
		t.Errorf("%q came back; want %q", got, "there")
	}
	return nil
}

// Whichever call fails, memory, streams and contexts are given back.
func TestDeviceMemoryFaults(t *testing.T) {
	n := 1
	for ; ; n++ {
		end := ort.StandIn(cuda.FakeDriver(cuda.H100), -1)
		cuda.Fail(n, cuda.OutOfMemory)
		err := copyThrough(t, 1)
		left := cuda.Left()
		end()
		if err == nil { // what comes last is to free, which nobody can do in a lost context
			break
		}
		if !errors.Is(err, ort.ErrDevice) {
			t.Errorf("call %d failed: %v; want ErrDevice", n, err)
		}
		if left != (cuda.Live{}) {
			t.Errorf("call %d failed (%v): %+v left", n, err, left)
		}
	}
	if n != 21 {
		t.Errorf("%d calls failed; want 20, every one but those that free", n-1)
	}
}
