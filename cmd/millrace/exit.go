package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/bench"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/jobfile"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/internal/scratch"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/postgres/pgrows"
	"github.com/millrace/millrace/io/query"
	"github.com/millrace/millrace/io/spool"
	"github.com/millrace/millrace/models"
)

// The exit codes; docs/operations.md says what a scheduler should do.
const (
	exitOK          = 0
	exitFault       = 1
	exitUsage       = 2
	exitBadRows     = 3
	exitInput       = 4
	exitModel       = 5
	exitOutput      = 6
	exitDevice      = 7
	exitInterrupted = 75
)

const exitTable = `   0  done
   1  a fault of millrace's
   2  usage, settings, a job file, or no ONNX Runtime library, or one without the execution provider
   3  more rows cannot be scored than allowed, or models agree less than limits ask for: nothing is published; or bench found a regression, or replay a difference
   4  input cannot be read, or changed while it was read; or an output is not as it was published
   5  model cannot be loaded or does not fit the data
   6  output, or temporary files, cannot be written or reached, or the output exists
   7  out of memory, or the memory limit is too small, or the device is lost
  75  interrupted, or another run holds the output, or a database went away: run the same command again`

// exitCode is the one place where errors become exit codes. The order matters:
// an error may wrap several sentinels, and the first that fits says most about
// what a scheduler should do.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	if child, ok := errors.AsType[*childError](err); ok { // it knew
		return child.code
	}
	switch {
	case err == nil:
		return exitOK
	case is(engine.ErrInternal):
		return exitFault
	case is(engine.ErrInterrupted, ledger.ErrHeld, context.Canceled, sink.ErrPasses, pgrows.ErrPasses):
		return exitInterrupted
	case is(ledger.ErrInputChanged):
		return exitInput
	case is(engine.ErrUsage, jobfile.ErrJob, ledger.ErrOtherJob, ort.ErrLibrary, ort.ErrProvider, bench.ErrIncomparable, bench.ErrRecords,
		secret.ErrGiven, lines.ErrOptions, query.ErrURI, query.ErrOrder, query.ErrStatement, postgres.ErrURI, duckdb.ErrNotBuilt):
		return exitUsage
	case is(ort.ErrOutOfMemory, ort.ErrDevice, engine.ErrMemory):
		return exitDevice
	case is(engine.ErrBadRows, engine.ErrDisagree, errRegression, engine.ErrReplayDiffers):
		return exitBadRows
	case is(format.ErrChanged, ledger.ErrNoOutput, ledger.ErrUnsound, ledger.ErrManifest, engine.ErrNoRow):
		return exitInput
	case is(ledger.ErrExists, ledger.ErrOutput, ledger.ErrUnread, format.ErrColumnType, format.ErrValue, spool.ErrSpool, scratch.ErrWrite):
		return exitOutput
	case is(dataset.ErrInput, format.ErrDamaged, format.ErrUnsupported, format.ErrBudget, batcher.ErrDamaged):
		return exitInput
	case is(models.ErrModel, batcher.ErrBind, engine.ErrOutputShape):
		return exitModel
	case is(syscall.ENOMEM):
		return exitDevice
	default:
		if _, ok := errors.AsType[*ort.StatusError](err); ok { // a Run that failed: the model does not take these values
			return exitModel
		}
		return exitFault
	}
}
