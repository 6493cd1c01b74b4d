package main

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// crashBySignal has what kills the process, such as a fault in ONNX Runtime, end it by
// a signal in place of exit 2, which would say that the settings are wrong. It writes
// no core file for that, as it would not otherwise, unless GOTRACEBACK says what to do.
func crashBySignal() {
	if os.Getenv("GOTRACEBACK") != "" {
		return
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err == nil {
		limit.Cur = 0
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit) // to lower it is always allowed
	}
	debug.SetTraceback("crash")
}
