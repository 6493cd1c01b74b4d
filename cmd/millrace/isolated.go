package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

// isolatedFlag is the hidden flag of the process that scores one part by itself: the
// path of an engine.Apart. It gets it by its variable, so that its arguments are those
// of the run.
const isolatedFlag = "isolated-part"

// runIsolated is that process.
func runIsolated(ctx context.Context, opts engine.Options, path string) (err error) {
	lib, err := ort.Load(opts.Library)
	if err != nil {
		return err
	}
	plan, err := engine.NewPlan(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	return plan.ScoreApart(ctx, lib, path)
}

// childError is what such a process says when it ends with an error. It exits with the
// code that this program then exits with.
type childError struct {
	code int
	text string
}

func (e *childError) Error() string { return e.text }

// isolate starts this program again for one part and waits for it; the error wraps
// engine.ErrDied unless it ends by itself.
func (o *commonOptions) isolate(ctx context.Context, path string) error {
	// The kernel ends the child with the thread that started it, and so with this
	// process: nobody else may score the part while it lives.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	said := &beginning{}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", o.args...) // what runs, should the file have been replaced
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), variable(isolatedFlag)+"="+path, variable("quiet")+"=true")
	cmd.Stderr = said
	// A group of its own: a Ctrl-C is for this process, which ends the child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ended:
		return fmt.Errorf("start a process: %w", err)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signal() == syscall.SIGKILL:
		return fmt.Errorf("%w by SIGKILL, which is how the kernel says: %w", engine.ErrDied, engine.ErrMemory)
	case ok && status.Signaled():
		return fmt.Errorf("%w by %s: %s", engine.ErrDied, unix.SignalName(status.Signal()), said.first())
	}
	return &childError{code: exit.ExitCode(), text: strings.TrimPrefix(strings.TrimSpace(said.text.String()), "millrace: ")}
}

// beginningBytes is how much of what a process says is kept.
const beginningBytes = 16 << 10

// beginning keeps the first bytes of what is written: what a crash says first is why.
type beginning struct{ text strings.Builder }

// Write drops what is too much.
func (b *beginning) Write(p []byte) (int, error) {
	b.text.Write(p[:min(len(p), beginningBytes-b.text.Len())])
	return len(p), nil
}

// first is the first line.
func (b *beginning) first() string {
	for line := range strings.Lines(b.text.String()) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return "it said nothing"
}
