package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/spool"
	"github.com/millrace/millrace/io/stream"
)

// addPipeFlags adds the flags of runs that write a stream.
func (o *runOptions) addPipeFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Piped.Rejects, "rejects", "", "with --output -, the Parquet `FILE` that rejected rows go to, or none to drop them")
	fs.StringVar(&o.Piped.Manifest, "manifest", "", "with --output -, the `FILE` that the run's manifest goes to")
}

// openPipes gives the engine standard input and output, where the run reads or writes a
// stream; done must be called when it is over.
func openPipes(opts *engine.Options, s streams) (done func(), err error) {
	var open []io.Closer
	done = func() {
		for _, c := range open {
			_ = c.Close() // of another descriptor of what stays open
		}
	}
	if opts.StreamsIn() {
		if isTerminal(s.In) {
			return done, fmt.Errorf("%w: --input - reads an Arrow IPC stream from standard input, which is a terminal: pipe one in, such as `python3 export.py | millrace score --input - ...`, or name files", engine.ErrUsage)
		}
		if opts.Piped.In, err = interruptibleEnd(s.In, os.O_RDONLY, &open); err != nil {
			return done, err
		}
		if !opts.StreamsOut() {
			opts.Stores[engine.StreamName] = stream.NewStore(opts.Piped.In, spool.Options{})
		}
		opts.ScoreApart = nil // another process has no stream
	}
	if opts.StreamsOut() {
		if isTerminal(s.Out) {
			return done, fmt.Errorf("%w: --output - writes an Arrow IPC stream to standard output, which is a terminal: pipe it on, such as `millrace score ... --output - | python3 import.py`, or name a file or directory", engine.ErrUsage)
		}
		if opts.Piped.Out, err = interruptibleEnd(s.Out, os.O_WRONLY, &open); err != nil {
			return done, err
		}
	}
	return done, nil
}

// pipeBytes is how much a pipe may hold, where the system allows: as much as it usually
// does. Each system call moves as much at most.
const pipeBytes = 1 << 20

// interruptibleEnd gives an end of a pipe or socket as one whose reads and writes can be
// interrupted; what cannot wait, such as a file, is given as it is.
//
// A pipe is opened again: to be interrupted it must not block, which is a property of
// the open file, and that is shared with whoever else holds this end. It is also why a
// pipe whose reader is gone is an error and no deadly signal. A socket cannot be opened
// again; that of a parent that made it for this process is not used by others.
func interruptibleEnd[T any](end T, flag int, open *[]io.Closer) (T, error) {
	file, ok := any(end).(*os.File)
	if !ok {
		return end, nil
	}
	info, err := file.Stat()
	if err != nil {
		if errors.Is(err, syscall.EBADF) {
			return end, fmt.Errorf("%w: %s is closed", engine.ErrUsage, file.Name())
		}
		return end, fmt.Errorf("%s: %w", file.Name(), err)
	}
	var other io.Closer
	switch info.Mode().Type() {
	case fs.ModeNamedPipe:
		_, _ = unix.FcntlInt(file.Fd(), unix.F_SETPIPE_SZ, pipeBytes) // slower without
		other, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), flag|unix.O_NONBLOCK, 0)
	case fs.ModeSocket:
		other, err = net.FileConn(file)
	default:
		return end, nil
	}
	if err != nil { // no /proc, or opened by another user: it works, but a wait is not interrupted
		return end, nil //nolint:nilerr // see above
	}
	again, ok := other.(T)
	if !ok {
		return end, other.Close()
	}
	*open = append(*open, other)
	return again, nil
}

// closedByReader says that a run ended because nobody reads its stream any more, as with
// `| head`.
func closedByReader(opts *engine.Options, err error) bool {
	return opts.StreamsOut() && errors.Is(err, syscall.EPIPE)
}

// quietError is one that nobody needs to be told of: whoever caused it knows.
type quietError struct{ error }

// Unwrap gives what the exit code comes from.
func (e *quietError) Unwrap() error { return e.error }
