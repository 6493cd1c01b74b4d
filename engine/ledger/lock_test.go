package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who only asks whether an output is held does not make the run fail that takes it.
func TestLockOutlastsALook(t *testing.T) {
	for _, tc := range []struct {
		what string
		look time.Duration // how long the other has the file
		won  bool
	}{
		{"a look, which is over soon", lockPause, true},
		{"a holder", time.Minute, false},
	} {
		name := filepath.Join(t.TempDir(), ".out.millrace.lock")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
			t.Fatal(err)
		}
		over := make(chan error, 1)
		timer := time.AfterFunc(tc.look, func() { over <- unix.Flock(int(f.Fd()), unix.LOCK_UN) })
		lock, err := osFS{}.Lock(name, []byte("{}"))
		if !timer.Stop() {
			if err := <-over; err != nil {
				t.Error(err)
			}
		}
		if taken, ok := errors.AsType[*lockedError](err); tc.won != (err == nil) || !tc.won && !ok {
			t.Errorf("%s: Lock() = %v, %v", tc.what, err, taken)
		}
		if err == nil {
			if err := lock.Release(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHeldAsks(t *testing.T) {
	opts := options(t)
	if err := Held(opts.Output); err != nil {
		t.Errorf("Held() before = %v", err)
	}
	s := stage(t, opts)
	if err := Held(opts.Output); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), opts.RunID) {
		t.Errorf("Held() = %v; want the run's name", err)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := Held(opts.Output); err != nil {
		t.Errorf("Held() after = %v", err)
	}
}

// A lock that another run has is one thing, and a file system that does not say another: that
// is no reason to try again for ever, nor to name another run.
func TestIsLost(t *testing.T) {
	dir := t.TempDir()
	hold := func(name string) *fileLock {
		lock, err := osFS{}.Lock(filepath.Join(dir, name), []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		l := lock.(*fileLock)
		t.Cleanup(func() { _ = l.Release() }) // some are closed
		return l
	}
	for _, tc := range []struct {
		what string
		do   func(l *fileLock) error
		lost bool
		held bool
	}{
		{"nothing", func(*fileLock) error { return nil }, false, true},
		{"its file is removed", func(l *fileLock) error { return os.Remove(l.path) }, true, false},
		{"another file is there", func(l *fileLock) error {
			return errors.Join(os.Remove(l.path), os.WriteFile(l.path, nil, 0o600))
		}, true, false},
		{"its file does not answer", func(l *fileLock) error { return l.file.Close() }, false, false},
	} {
		l := hold(strings.ReplaceAll(tc.what, " ", "-"))
		if err := tc.do(l); err != nil {
			t.Fatal(err)
		}
		if err := l.Held(); (err == nil) != tc.held || isLost(err) != tc.lost {
			t.Errorf("%s: Held() = %v, isLost %v; want held %v, lost %v", tc.what, err, isLost(err), tc.held, tc.lost)
		}
	}
}
