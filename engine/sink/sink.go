package sink

import (
	"context"
	"encoding/json"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
)

// Destination is a kind of place. Its methods may be called concurrently.
type Destination interface {
	Traits() Traits
	// Check says what of an output's name and settings cannot be, before anything is
	// read or connected to. RunID and Job are not known yet.
	Check(opts *Options) error
	// CheckFields says which columns the place cannot hold; asked only where Traits say
	// Records, since files have their formats' own checks.
	CheckFields(fields []arrow.Field) error
	// Held returns an error that wraps ledger.ErrHeld if a run holds the output now, as
	// far as one look tells; anything else is Stage's to say.
	Held(ctx context.Context, output string) error
	// Stage takes the output for a run: it looks at what is there, cleans up after dead
	// runs, and takes over the progress of one of an equal job. A *ledger.PublishedError
	// says that an equal run published it. When ctx ends, what the Staging writes fails,
	// and Suspend and Discard still work.
	Stage(ctx context.Context, opts Options) (Staging, error)
}

// Reader is a Destination whose outputs can be looked at again. Errors wrap
// ledger.ErrNoOutput where there is none. Its Stage heeds Options.Follows.
type Reader interface {
	Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (*ledger.Verification, error)
	FindHistories(ctx context.Context, path string) (*ledger.Found, error)
	// WithHistory reads the runs of one output, and calls read while their manifests can be
	// read whole.
	WithHistory(ctx context.Context, output string, read func(*ledger.History) error) error
	// Seen tells what the runs of an output have read; see ledger.ReadSeen.
	Seen(ctx context.Context, output string) (*ledger.Seen, error)
	// ManifestPlace and RejectsPlace say where those of a run are: a path, or words. output
	// may be one that Shown gave.
	ManifestPlace(output, run string) string
	RejectsPlace(output, run string) string
}

// RowReader is a Reader whose outputs are tables. What it gives are inputs, as package
// query's URIs name them, of no order; they may hold a password.
type RowReader interface {
	Reader
	// RowsOf are rows of the output's table.
	RowsOf(output string, q RowQuery) (input string, err error)
	// RejectsOf are the rejected rows of a run: file, row, column, stage, reason, and all
	// other columns as JSON in values.
	RejectsOf(output, run string) (input string, err error)
}

// RowQuery says which rows of a table.
type RowQuery struct {
	Run     string          // that wrote them
	Columns []ledger.Column // as its manifest has them
	// Where are values that the rows have. It may be heeded in part: other rows may come.
	Where []ColumnValue
	Most  int // rows; 0 for all
}

// ColumnValue is the value of a column, as text.
type ColumnValue struct {
	Column ledger.Column
	Value  string
}

// Traits say how an output is to be written.
type Traits struct {
	// Records says that Stage gives a Records: parts are rows, and there are no files to
	// choose a format, a size or folders for. Otherwise it gives a Files.
	Records bool
	// OneWriter says that parts are written one after the other, in order.
	OneWriter bool
	// FileBytes is what a file that is being written holds in memory at most, beyond what
	// its format does.
	FileBytes int64
}

// Options describe an output. FS is not used, but for local files.
type Options struct {
	ledger.StageOptions

	Parts int      // that the run has
	IDs   []string // columns that say which row it is, in order
	// Fields are the output's columns, as far as they are known before the model ran, and
	// AllFields says that there will be no others.
	Fields    []arrow.Field
	AllFields bool
}

// Staging is a run's output while nobody sees it. Its methods may be called
// concurrently. One of Suspend and Discard is always called last.
type Staging interface {
	// RunID is the id under which the run publishes.
	RunID() string
	// Taken is the journal of the run that this one continues, with the parts that need
	// not be done again; nil when it is a fresh one.
	Taken() *ledger.Journal
	// Starts counts the processes that worked on the run, this one among them.
	Starts() int
	// CheckColumns returns an error that wraps ledger.ErrExists where these columns cannot
	// stand beside what is there.
	CheckColumns(columns []ledger.Column) error

	// Loading notes that the model is about to be loaded, and Loaded that this went well
	// or failed in order; LoadDeaths is how many starts of the job, the last ones, died
	// between the two.
	Loading() error
	Loaded() error
	LoadDeaths() int

	// Begin begins the journal; frozen is for ledger.Head.
	Begin(frozen json.RawMessage) error
	// Enter notes that a part is being worked on, so that the next start knows in which
	// ones this one died. It need not be durable.
	Enter(part int) error
	// Record puts a committed part into the journal, durably: no start of an equal job
	// does it again.
	Record(part ledger.PartRecord) error
	// RecordDigest notes the digest of an input. It need not be durable.
	RecordDigest(d ledger.DigestRecord) error

	// PartRejects makes the file for the rejected rows of a part, which lasts as the part
	// does, and PartRejectsPath is where it can be read on this machine once it is
	// committed. Rejects makes the one file of all that is published.
	PartRejects(part int) (File, error)
	PartRejectsPath(part int) (path string, err error)
	Rejects() (File, error)
	// ScratchDir makes an empty directory on this machine, which the caller removes.
	ScratchDir() (dir string, err error)

	// Publish completes the manifest (run, outputs, rejects, parent, mode, job), checks
	// all accounts and makes the output visible, in one step that either happens or does
	// not. After it the only error is one that wraps ledger.ErrNotDurable.
	Publish(m *ledger.Manifest) error
	// KeepRejects takes the place of Publish for a run that rejected too much: it keeps
	// the file of Rejects beside the output and says where; "" if there is none. Discard
	// is still to follow.
	KeepRejects() (where string, err error)
	// Suspend keeps what is recorded for the next start and gives the output up. It says
	// how many parts it kept; where that is none it discards.
	Suspend(why string) (parts int, err error)
	// Discard removes everything staged, or what publishing left behind, and gives the
	// output up. It may be called again.
	Discard() error
	// TakenOver returns an error that wraps ledger.ErrHeld when another run took the
	// output, because this one seemed dead.
	TakenOver() error
}

// Records is a Staging that takes rows.
type Records interface {
	Staging
	// NewPart begins a part. One that was aborted can be begun again.
	NewPart(part int, schema *arrow.Schema) (Part, error)
}

// Part is a part of rows being written, by one goroutine at a time. It ends by Commit,
// which aborts on an error, or by Abort.
type Part interface {
	// Write appends a record's rows, which it borrows.
	Write(record arrow.RecordBatch) error
	// Commit makes the part, which has so many rows, durable where nobody sees it.
	Commit(rows int64) ([]ledger.Output, error)
	// Abort drops it, and may be called again.
	Abort() error
}

// Files is a Staging that takes files.
type Files interface {
	Staging
	// Part makes the file of a part, or with Options.Pieces a piece of Whole, which can
	// be read at PiecePath on this machine once it is committed.
	Part(part int) (File, error)
	PiecePath(part int) (path string, err error)
	Whole() (File, error)
	// PartFiles begins a part of any number of files: with Options.PartitionBy or Numbered.
	PartFiles(part int) (PartFiles, error)
	// Scratch makes a file on this machine that only this process reads again, at a path.
	Scratch(name string) (file ScratchFile, path string, err error)
}

// Apart is a Staging whose parts other processes can stage, see ledger.StageApart.
// Without it, a part that kills processes is tried again as any other.
type Apart interface {
	// Job is the digest of the run's job.
	Job() string
	// Apart makes an empty directory on this machine, and Adopt takes over the part that
	// was staged there and records it.
	Apart() (dir string, err error)
	Adopt(dir string, part int) (ledger.PartRecord, error)
}

// File is a file being written, by one goroutine at a time. It ends by Commit, which
// aborts on an error, or by Abort, which may be called again.
type File interface {
	io.Writer
	// Commit makes the file, which has so many rows, durable where nobody sees it.
	Commit(rows int64) (ledger.Output, error)
	Abort() error
}

// PartFiles are the files of one part, of which one is written at a time.
type PartFiles interface {
	// Create makes the next file of a folder, which is relative to the output: "" is the
	// output itself. End says that it has all its rows.
	Create(folder string) (CountedFile, error)
	End(rows int64) error
	// Commit makes all durable and returns their accounts, sorted by name.
	Commit(rows int64) ([]ledger.Output, error)
	Abort() error
}

// CountedFile knows how many bytes were written to it.
type CountedFile interface {
	io.Writer
	Bytes() int64
}

// ScratchFile can be read after Flush and is removed by Abort.
type ScratchFile interface {
	io.Writer
	Flush() error
	Abort() error
}
