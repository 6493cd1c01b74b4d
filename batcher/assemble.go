package batcher

import (
	"fmt"

	"github.com/millrace/millrace/models"
)

// Input is one assembled tensor. It is borrowed from its Assembler, and where
// View is true it aliases memory of the batch.
type Input struct {
	Name  string
	Elem  models.ElementType
	Shape []int64 // the batch's rows first
	Data  []byte  // numeric and bool tensors, row-major
	// Offsets and Text hold a string tensor: element i is
	// Text[Offsets[i]:Offsets[i+1]].
	Offsets []int64
	Text    []byte
	View    bool
	// Columns are, by segment of ColumnRows rows, the columns of a matrix that were left
	// where they lie (Assembler.LeaveColumns); then Data is nil.
	Columns    [][]ColumnView
	ColumnRows []int
}

// Reject is a row that cannot be scored.
type Reject struct {
	Row    int    // in the batch
	Column string // or the feature, where it is computed
	Reason string
	// Asked says that the column's own null policy is to reject such rows; other
	// rows are bad, see RejectBad.
	Asked bool
	// Advice says what to do about it; empty where it was asked for.
	Advice   string
	Computed bool // Column names a feature
}

// FeatureCount is what was met in one feature's values.
type FeatureCount struct {
	Nulls   int64 // nulls, in list elements too
	Rounded int64 // values changed by an allowed lossy cast
}

// Counts are what an Assembler has done since it was made.
type Counts struct {
	Rows        int64
	BytesCopied int64 // written into tensors
	BytesViewed int64 // given to the session where they lay
	// Features counts by binding and feature.
	Features [][]FeatureCount
}

// Tensors are the inputs of one Run.
type Tensors struct {
	Rows    int // rows of the batch, without padding
	Inputs  []Input
	Rejects []Reject // in no order; a row may be named more than once
	Sound   int      // the first row that is not rejected; -1 where all are, and nothing need run
}

// Assembler makes the tensors of batches of up to Rows rows in buffers of its
// own that it reuses.
//
// For each input and segment of the batch it resolves every feature to a
// stretch of values: memory that holds the tensor's element type already, or
// a conversion of a run of values. If one stretch is the whole tensor, the
// tensor is a view of it. Otherwise columns of one type, a cache line of a row
// at a time, go to one kernel, which converts them, fills nulls and writes rows
// in one pass: each source value is read once and each element written once.
// Columns that no kernel takes are converted to a tile in cache, and turned from
// there.
//
// The alternative, to build whole converted columns and transpose them after,
// moves every byte through memory twice more.
type Assembler struct {
	plan    *Plan
	packers []packer
	tensors Tensors
	counts  Counts
	memory  func(bytes int) ([]byte, error) // of tensors; Go's where it is nil
	rows    int                             // of a batch at most
	fixed   int                             // of every tensor; 0: those of its batch

	rejectBad bool
	segment   Segment // that is being packed
	first     int     // its first row in the batch
	absent    []bool  // by row of the tensors: see standIn
}

// packer makes one input.
type packer interface {
	pack(a *Assembler, batch *Batch, in *Input) error
	repeat(a *Assembler, in *Input, row int)
}

// NewAssembler makes an Assembler for batches of at most rows rows. With a
// plan of fixed rows, every tensor has exactly that many, padded with a row of the batch.
func (p *Plan) NewAssembler(rows int, lossy LossyCasts) *Assembler {
	a := &Assembler{plan: p, packers: make([]packer, len(p.Bindings)), fixed: p.FixedRows}
	a.tensors.Inputs = make([]Input, len(p.Bindings))
	a.counts.Features = make([][]FeatureCount, len(p.Bindings))
	if p.FixedRows > 0 {
		rows = p.FixedRows
	}
	a.rows = rows
	for i := range p.Bindings {
		b := &p.Bindings[i]
		a.packers[i] = newPacker(b, rows, lossy, i, p.Columns)
		a.tensors.Inputs[i] = Input{Name: b.Input.Name, Elem: b.Input.Elem}
		a.counts.Features[i] = make([]FeatureCount, len(b.Features))
	}
	return a
}

// UseMemory has the tensors of numbers made in memory that the function gives:
// bytes of them, aligned to 64. Then none is a view: memory that a device reads by
// itself is worth a copy. It is called before the first Assemble.
func (a *Assembler) UseMemory(memory func(bytes int) ([]byte, error)) { a.memory = memory }

// Pad has every tensor made with as many rows as a batch can have, as with a plan of
// fixed rows: for who computes one shape fastest. It is called before the first Assemble.
func (a *Assembler) Pad() { a.fixed = a.rows }

// Assemble makes the tensors of a batch, which it borrows. Its error is a
// *RowError when a row's value is the cause; see RejectBad.
func (a *Assembler) Assemble(batch *Batch) (*Tensors, error) {
	if a.fixed > 0 && batch.Rows > a.fixed {
		panic(fmt.Sprintf("batcher: a batch of %d rows for tensors of %d", batch.Rows, a.fixed))
	}
	if err := a.pack(batch, batch.Rows); err != nil {
		return nil, err
	}
	a.counts.Rows += int64(batch.Rows)
	return &a.tensors, nil
}

// Blank makes the tensors of rows that are all zeros and empty texts, to see what a
// model does whatever the data.
func (a *Assembler) Blank(rows int) (*Tensors, error) {
	if err := a.pack(&Batch{}, rows); err != nil {
		return nil, err
	}
	return &a.tensors, nil
}

// pack makes tensors of some rows, those of the batch first.
func (a *Assembler) pack(batch *Batch, rows int) error {
	a.tensors.Rows = rows
	a.tensors.Rejects = a.tensors.Rejects[:0]
	if a.fixed > 0 {
		rows = a.fixed
	}
	for i, p := range a.packers {
		in := &a.tensors.Inputs[i]
		in.Shape = append(append(in.Shape[:0], int64(rows)), a.plan.Bindings[i].Item...)
		in.View = false
		if err := p.pack(a, batch, in); err != nil {
			return err
		}
	}
	a.tensors.Sound = a.standIn(batch.Rows)
	return nil
}

// Counts returns what was done so far; it is borrowed.
func (a *Assembler) Counts() *Counts { return &a.counts }

func newPacker(b *Binding, rows int, lossy LossyCasts, index int, columns []string) packer {
	switch b.Input.Elem {
	case models.String:
		return newStringPacker(b, index, columns)
	case models.Float32:
		return newNumberPacker[float32](b, rows, lossy, index, columns)
	case models.Float64:
		return newNumberPacker[float64](b, rows, lossy, index, columns)
	case models.Int8:
		return newNumberPacker[int8](b, rows, lossy, index, columns)
	case models.Int16:
		return newNumberPacker[int16](b, rows, lossy, index, columns)
	case models.Int32:
		return newNumberPacker[int32](b, rows, lossy, index, columns)
	case models.Int64:
		return newNumberPacker[int64](b, rows, lossy, index, columns)
	case models.Uint8, models.Bool:
		return newNumberPacker[uint8](b, rows, lossy, index, columns)
	case models.Uint16, models.Float16, models.BFloat16:
		return newNumberPacker[uint16](b, rows, lossy, index, columns)
	case models.Uint32:
		return newNumberPacker[uint32](b, rows, lossy, index, columns)
	default:
		return newNumberPacker[uint64](b, rows, lossy, index, columns)
	}
}
