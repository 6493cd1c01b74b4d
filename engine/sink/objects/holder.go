package objects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// holder is who holds an output, with what tells on the same machine whether the process
// is still there.
type holder struct {
	ledger.Holder

	Boot  string `json:"boot,omitempty"`  // of the machine
	Space string `json:"space,omitempty"` // of process numbers
	Birth string `json:"birth,omitempty"` // of the process, in ticks after the boot
}

func newHolder(run string) *holder {
	h := &holder{Holder: ledger.NewHolder(run), Birth: birthOf(os.Getpid())}
	h.Boot, h.Space = machine()
	return h
}

// machine tells machines, and containers that count processes for themselves, apart.
func machine() (boot, space string) {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // empty tells nothing, as it should
	space, _ = os.Readlink("/proc/self/ns/pid")
	return string(bytes.TrimSpace(id)), space
}

// birthOf is when a process began; empty for one that is not there: proc(5), field 22.
func birthOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before may have anything
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// gone says that the process was one of this machine and is no more.
func (h *holder) gone() bool {
	boot, space := machine()
	if boot == "" || space == "" || h.Boot != boot || h.Space != space || h.Birth == "" {
		return false
	}
	return birthOf(h.PID) != h.Birth || errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}

// defaultLease is how long a run may not have been heard of before another takes it for
// dead. Four beats fit in.
const defaultLease = 12 * time.Second

// beat is what a run that lives rewrites.
type beat struct {
	Number int64 `json:"number"`
	Parts  []int `json:"parts"` // that are being worked on
}

// alive watches the holder of an output until it is heard of, which is a *HeldError, or was
// not for a while.
func (s *store) alive(ctx context.Context, p *place, e *entry, watch time.Duration) error {
	if e.Holder == nil || e.Holder.gone() {
		return nil
	}
	key := p.staging(e.Holder.Run) + beatName
	first, err := s.beatText(ctx, key)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(watch); time.Now().Before(deadline); {
		pause(ctx, watch/12)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		now, err := s.beatText(ctx, key)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, first) {
			return &ledger.HeldError{Output: p.shown, Holder: e.Holder.Holder}
		}
		if e.Holder.gone() {
			return nil
		}
	}
	return nil
}

// beatText is the beat as it stands; empty where there is none.
func (s *store) beatText(ctx context.Context, key string) ([]byte, error) {
	text, err := s.get(ctx, key, maxSmallBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// beating rewrites a run's beat until it is told to stop, and looks whether another run
// took the output.
func (s *staging) beating(ctx context.Context, stop <-chan struct{}) {
	ticker := time.NewTicker(s.lease / 4)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		case <-s.entered:
		}
		writing, written := context.WithTimeout(ctx, max(s.lease/2, lingers)) // one that is broken off may come when it has gone
		_ = s.beatOnce(writing)                                               // the next one may do; who doubts asks the log
		written()
		s.askUntil(ctx, stop)
	}
}

// askUntil asks, unless nobody wants to know any more.
func (s *staging) askUntil(ctx context.Context, stop <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, s.lease/2)
	defer cancel()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		s.ask(ctx)
	}()
	select {
	case <-asked:
	case <-stop:
	}
	cancel()
	<-asked
}

// beatOnce writes a beat.
func (s *staging) beatOnce(ctx context.Context) error {
	s.mu.Lock()
	s.mu.beat.Number++
	s.mu.beat.Parts = s.openPartsLocked()
	text, err := json.Marshal(s.mu.beat)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.store.put(ctx, s.place.staging(s.opts.RunID)+beatName, text)
}

// passed says whether the log has an entry after this run's own. What the run puts meanwhile
// does not wait for the answer.
func (s *staging) passed(ctx context.Context) (bool, error) {
	number := s.newest().Number
	_, err := s.store.size(ctx, s.place.logKey(number+1))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.moving.Lock() // the run may be about to know that it is its own
	defer s.moving.Unlock()
	return s.newest().Number == number, nil
}
