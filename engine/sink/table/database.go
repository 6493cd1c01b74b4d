package table

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
)

// State is how far a run came.
type State string

// The states.
const (
	Staged    State = "staged"    // it is going on, or stopped
	Published State = "published" // its rows are, or were, the table's
	Rejected  State = "rejected"  // too many rows were; they are kept
)

// Run is a run as a database has it.
type Run struct {
	ID    string
	State State
	// Live says that the table has the run's rows, and no run after it replaced them.
	Live   bool
	Job    string // digest
	SHA256 string // of its manifest
	// Published is when it was, in microseconds since 1970; 0 where that is no time.
	Published int64
	Shown     // of one that is published
}

// Shown is what the row of a published run has of its manifest, for those who look at it by
// SQL.
type Shown struct {
	Parent             string // the run before it; "" where there was none
	Mode               ledger.Mode
	Model, ModelSHA256 string
	// Started and Finished are in microseconds since 1970, as all databases have them; 0 is none.
	Started, Finished int64
	// Rows; -1 where that is no number.
	Read, Scored, Rejected, Filtered, Written int64
}

// ShownOf is what a manifest's row has.
func ShownOf(m *ledger.Manifest) Shown {
	name := m.Model.Path[strings.LastIndexByte(m.Model.Path, '/')+1:] // what people call the model
	s := Shown{
		Mode: m.Mode, Model: strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", ""), "?"), ModelSHA256: m.Model.SHA256,
		Started: Micros(m.Started), Finished: Micros(m.Finished),
		Read: m.Ledger.Read, Scored: m.Ledger.Scored, Rejected: m.Ledger.Rejected, Filtered: m.Ledger.Filtered, Written: m.Ledger.Written(),
	}
	if m.Parent != nil {
		s.Parent = m.Parent.Run
	}
	return s
}

// Micros is a time as Run and Shown have it.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// sameTime compares times in microseconds, to which a server rounds what it is given as text, and
// others cut it.
func sameTime(a, b int64) bool { return (a == 0) == (b == 0) && max(a-b, b-a) <= 1 }

// otherThan names the columns in which a row is not what another is.
func (s *Shown) otherThan(o *Shown) (columns []string) {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"parent", s.Parent == o.Parent},
		{"mode", s.Mode == o.Mode},
		{"model", s.Model == o.Model},
		{"model_sha256", s.ModelSHA256 == o.ModelSHA256},
		{"started", sameTime(s.Started, o.Started)},
		{"finished", sameTime(s.Finished, o.Finished)},
		{"rows_read", s.Read == o.Read},
		{"rows_scored", s.Scored == o.Scored},
		{"rows_rejected", s.Rejected == o.Rejected},
		{"rows_filtered", s.Filtered == o.Filtered},
		{"rows_written", s.Written == o.Written},
	} {
		if !c.same {
			columns = append(columns, c.name)
		}
	}
	return columns
}

// Standing is what stands in the table's place.
type Standing struct {
	There bool // the table is
	Rows  bool // it has some
}

// Columns are those of the output, as far as they are known.
type Columns struct {
	Fields []arrow.Field
	All    bool // there will be no others
}

// Publication is what becomes visible.
type Publication struct {
	Run      string
	IfExists ledger.IfExists
	IDs      []string // keys of upsert
	Manifest *ledger.Manifest
	Encoded  []byte // the manifest as it is stored
	SHA256   string // of Encoded
	// Rejects is the Parquet file of all rejected rows on this machine; empty where there
	// are none.
	Rejects string
}

// Database is a database with the table of an output. Its methods may be called
// concurrently. Errors wrap those of package ledger, and name the table.
type Database interface {
	// Hold takes the table for a run, and makes nothing: what is refused leaves the database as
	// it was. A *ledger.HeldError names who has it and lives.
	Hold(ctx context.Context, holder ledger.Holder) error
	// Claim makes the run's own tables, unless they are there; transactions of whoever had the
	// table before fail from now on. It comes after Hold and before anything is written.
	Claim(ctx context.Context, holder ledger.Holder) error
	// Held is nil while nobody else took the table.
	Held(ctx context.Context) error
	// Standing looks at the table, and Fit says, with every problem at once, whether it
	// can take columns, or one be made for them.
	Standing(ctx context.Context) (Standing, error)
	Fit(ctx context.Context, columns Columns) error

	// Runs are all runs, oldest first, and Count is how many rows of one the table has.
	Runs(ctx context.Context) ([]Run, error)
	Count(ctx context.Context, run string) (int64, error)
	Manifest(ctx context.Context, run string) ([]byte, error)

	// Begin notes a run with its job's digest and the first lines of its journal, durably.
	Begin(ctx context.Context, run, job string, lines []byte) error
	// Append adds a line to the journal of a run; durable or a moment later.
	Append(ctx context.Context, run string, line []byte, durable bool) error
	Journal(ctx context.Context, run string) ([]byte, error)
	// Staged is how many rows are staged of a run; -1 where nothing ever was.
	Staged(ctx context.Context, run string) (int64, error)
	// Drop removes a run that published nothing, and all it staged.
	Drop(ctx context.Context, run string) error

	// NewPart begins a part of a run in a transaction.
	NewPart(ctx context.Context, run string, part int, schema *arrow.Schema) (Part, error)
	// Rejects writes the bytes of a recorded part's rejects.
	Rejects(ctx context.Context, run string, part int, to io.Writer) error

	// Publish is the one step.
	Publish(ctx context.Context, p *Publication) error
	// KeepRejects keeps the rejects of a run that publishes nothing, and says where.
	KeepRejects(ctx context.Context, p *Publication) (where string, err error)

	// RejectsName is the table of rejected rows.
	RejectsName() string
	// Close gives the table up. The run's own tables go again if this run made them and no run
	// is in them.
	Close() error
}

// Part is a part of a run in its transaction.
type Part interface {
	// Write appends a record's rows, which it borrows.
	Write(record arrow.RecordBatch) error
	// End says that all rows are written, and gives their account. The transaction is open
	// still.
	End() (ledger.Output, error)
	// Commit adds the part's line to the journal, with the bytes of its rejects, and commits.
	Commit(line []byte, rejects io.Reader) error
	// Abort drops the part, and may be called again.
	Abort() error
}
