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
