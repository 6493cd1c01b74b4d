package ort

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// onThread runs a function on a thread of its own, which ends with it.
func onThread(do func()) (done chan struct{}) {
	done = make(chan struct{}) // closed at the end
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: its affinity goes with it
		do()
	}()
	return done
}

// allow sets the processors that the calling thread may use.
func allow(t *testing.T, cpus ...int) {
	t.Helper()
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		t.Errorf("allow processors %v: %v", cpus, err)
	}
}

// allowed lists the processors that the calling thread may use.
func allowed(t *testing.T) (cpus []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// cpu is the processor that the calling thread is on.
func cpu(t *testing.T) int {
	t.Helper()
	cpu := spreadCPU()
	if cpu < 0 {
		t.Error("the system does not say where a thread is")
	}
	return cpu
}

func TestSpread(t *testing.T) {
	cpus := allowed(t)
	if len(cpus) < 2 {
		t.Skipf("%d processor: nothing to move to", len(cpus))
	}
	first, second := cpus[0], cpus[1]
	begun, end := make(chan int), make(chan struct{})
	other := onThread(func() { // at work on the first, until the test ends
		allow(t, first)
		slot := spreadBegin()
		begun <- slot
		<-end
		spreadEnd(slot)
	})
	defer func() { <-other }()
	defer close(end)
	if slot := <-begun; slot < 0 {
		t.Skip("the kernel, or the C library, has no rseq")
	}

	// Other load on the machine may move a thread at any time, here or back: what counts
	// is that it is found moved soon.
	const tries = 50
	moved := 0
	for range tries {
		<-onThread(func() {
			allow(t, first)
			allow(t, first, second) // and it stays where it is
			if cpu(t) != first {
				return // moved by itself: nothing to see this time
			}
			slot := spreadBegin()
			defer spreadEnd(slot)
			if cpu(t) == second {
				moved++
			}
			if got := allowed(t); len(got) != 2 {
				t.Errorf("after the move it may use %v; want both", got)
			}
		})
	}
	if moved < tries/5 {
		t.Errorf("a thread that shares processor %d was found on %d %d times of %d", first, second, moved, tries)
	}

	<-onThread(func() { // nowhere to go
		allow(t, first)
		slot := spreadBegin()
		defer spreadEnd(slot)
		if got := cpu(t); got != first {
			t.Errorf("a thread that may use processor %d alone is on %d", first, got)
		}
	})

	<-onThread(func() { // alone: nothing to do
		allow(t, second)
		allow(t, first, second)
		if cpu(t) != second {
			return
		}
		slot := spreadBegin()
		defer spreadEnd(slot)
		if got := cpu(t); got != second {
			t.Errorf("a thread alone on processor %d was moved to %d", second, got)
		}
	})
}

// TestSpreadMany has more threads at work than there are slots.
func TestSpreadMany(t *testing.T) {
	const threads = 80
	begun, end := make(chan int, threads), make(chan struct{})
	all := make([]chan struct{}, threads)
	for i := range all {
		all[i] = onThread(func() {
			slot := spreadBegin()
			begun <- slot
			<-end
			spreadEnd(slot)
		})
	}
	seen, without := map[int]bool{}, 0
	for range all {
		slot := <-begun
		if slot < 0 {
			without++
			continue
		}
		if seen[slot] {
			t.Errorf("slot %d was given twice", slot)
		}
		seen[slot] = true
	}
	close(end)
	for _, done := range all {
		<-done
	}
	if len(seen) == 0 {
		t.Skip("the kernel, or the C library, has no rseq")
	}
	if without == 0 {
		t.Error("80 threads all found a slot; the table has fewer")
	}
	slot := spreadBegin()
	defer spreadEnd(slot)
	if slot < 0 {
		t.Error("no slot is free after all threads ended their work")
	}
}
