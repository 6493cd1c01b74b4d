package batcher

import (
	"fmt"

	"github.com/millrace/millrace/batcher/kernel"
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
}

// Reject is a row that cannot be scored.
type Reject struct {
	Row    int // in the batch
	Column string
	Reason string
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
}

// RowError says which row cannot become part of a tensor, and why.
type RowError struct {
	Input, Column string
	Origin        Origin
	Reason        string
	Advice        string
}

// Error describes the row by its number; whoever knows the files' names adds
// them.
func (e *RowError) Error() string {
	return fmt.Sprintf("column %q, row %d: %s; %s", e.Column, e.Origin.Row, e.Reason, e.Advice)
}

// Assembler makes the tensors of batches of up to Rows rows in buffers of its
// own that it reuses.
//
// For each input and segment of the batch it resolves every feature to a
// stretch of values: memory that holds the tensor's element type already, or
// a conversion of a run of values. If one stretch is the whole tensor, the
// tensor is a view of it. Otherwise tiles of as many rows as fit the first
// level of cache are converted, filled where null and written as rows, all in
// one pass: each source value is read once and each element written once.
//
// The alternative, to build whole converted columns and transpose them after,
// moves every byte through memory twice more.
type Assembler struct {
	plan    *Plan
	packers []packer
	tensors Tensors
	counts  Counts
}

// packer makes one input.
type packer interface {
	pack(a *Assembler, batch *Batch, in *Input) error
}

// NewAssembler makes an Assembler for batches of at most rows rows. With a
// plan of fixed rows, every tensor has exactly that many, padded with zeros.
func (p *Plan) NewAssembler(rows int, lossy LossyCasts) *Assembler {
	a := &Assembler{plan: p, packers: make([]packer, len(p.Bindings))}
	a.tensors.Inputs = make([]Input, len(p.Bindings))
	a.counts.Features = make([][]FeatureCount, len(p.Bindings))
	if p.FixedRows > 0 {
		rows = p.FixedRows
	}
	for i := range p.Bindings {
		b := &p.Bindings[i]
		a.packers[i] = newPacker(b, rows, p.FixedRows > 0, lossy, i)
		a.tensors.Inputs[i] = Input{Name: b.Input.Name, Elem: b.Input.Elem}
		a.counts.Features[i] = make([]FeatureCount, len(b.Features))
	}
	return a
}

// Assemble makes the tensors of a batch, which it borrows. Its error is a
// *RowError when a row's value is the cause.
func (a *Assembler) Assemble(batch *Batch) (*Tensors, error) {
	a.tensors.Rows = batch.Rows
	a.tensors.Rejects = a.tensors.Rejects[:0]
	for i, p := range a.packers {
		in := &a.tensors.Inputs[i]
		rows := batch.Rows
		if a.plan.FixedRows > 0 {
			rows = a.plan.FixedRows
		}
		in.Shape = append(append(in.Shape[:0], int64(rows)), a.plan.Bindings[i].Item...)
		in.View = false
		if err := p.pack(a, batch, in); err != nil {
			return nil, err
		}
	}
	a.counts.Rows += int64(batch.Rows)
	return &a.tensors, nil
}

// Counts returns what was done so far; it is borrowed.
func (a *Assembler) Counts() *Counts { return &a.counts }

func newPacker(b *Binding, rows int, pad bool, lossy LossyCasts, index int) packer {
	switch b.Input.Elem {
	case models.String:
		return &stringPacker{binding: b, index: index, rows: rows, pad: pad}
	case models.Float32:
		return newNumberPacker[float32](b, rows, pad, lossy, index)
	case models.Float64:
		return newNumberPacker[float64](b, rows, pad, lossy, index)
	case models.Int8:
		return newNumberPacker[int8](b, rows, pad, lossy, index)
	case models.Int16:
		return newNumberPacker[int16](b, rows, pad, lossy, index)
	case models.Int32:
		return newNumberPacker[int32](b, rows, pad, lossy, index)
	case models.Int64:
		return newNumberPacker[int64](b, rows, pad, lossy, index)
	case models.Uint8, models.Bool:
		return newNumberPacker[uint8](b, rows, pad, lossy, index)
	case models.Uint16, models.Float16, models.BFloat16:
		return newNumberPacker[uint16](b, rows, pad, lossy, index)
	case models.Uint32:
		return newNumberPacker[uint32](b, rows, pad, lossy, index)
	default:
		return newNumberPacker[uint64](b, rows, pad, lossy, index)
	}
}

// tileBytes is the size of a tile's rows and of its converted columns: both
// together stay below a first-level cache of 32 KiB.
const tileBytes = 12 << 10

type numberPacker[D kernel.Number] struct {
	binding   *Binding
	index     int
	rows      int
	pad       bool
	lossy     LossyCasts
	buffer    []D
	fills     []D
	tileRows  int
	scratch   []D // one tile of columns, column by column
	columns   [][]D
	stretches []stretch[D]
}

func newNumberPacker[D kernel.Number](b *Binding, rows int, pad bool, lossy LossyCasts, index int) *numberPacker[D] {
	features := len(b.Features)
	p := &numberPacker[D]{binding: b, index: index, rows: rows, pad: pad, lossy: lossy}
	p.tileRows = min(max(tileBytes/(features*max(b.Input.Elem.Bytes(), 1))&^15, 16), 1024)
	p.columns = make([][]D, features)
	p.stretches = make([]stretch[D], features)
	for i := range b.Features {
		p.fills = append(p.fills, fillOf[D](b.Input.Elem, b.Features[i].fill))
	}
	return p
}

func fillOf[D kernel.Number](elem models.ElementType, v fillValue) D {
	one := []D{0}
	switch elementNumbers[elem].class {
	case classFloat:
		switch elem {
		case models.Float16:
			bits := []uint16{0}
			kernel.Half(bits, []float64{v.float}, nil, 0)
			return D(bits[0])
		case models.BFloat16:
			return D(kernel.BFloatBits(float32(v.float)))
		default:
			return D(v.float)
		}
	case classSigned:
		return D(v.int)
	case classUnsigned, classBool:
		return D(v.uint)
	default:
		return one[0]
	}
}

func (p *numberPacker[D]) pack(a *Assembler, batch *Batch, in *Input) error {
	width := p.binding.Width
	total := int(in.Shape[0]) * width
	row := 0
	for _, segment := range batch.Segments {
		n := int(segment.Record.NumRows())
		if err := p.resolve(a, segment, row); err != nil {
			return err
		}
		if view := p.view(batch, n*width, total); view != nil {
			in.Data, in.View = kernel.Bytes(view), true
			a.counts.BytesViewed += int64(len(in.Data))
			p.releaseStretches()
			return nil
		}
		if len(p.buffer) < p.rows*width {
			p.buffer = kernel.Aligned[D](p.rows * width)
		}
		err := p.packSegment(a, segment, p.buffer[row*width:], n)
		p.releaseStretches()
		if err != nil {
			return err
		}
		row += n
	}
	if len(p.buffer) < total {
		p.buffer = kernel.Aligned[D](total)
	}
	clear(p.buffer[row*width : total])
	in.Data = kernel.Bytes(p.buffer[:total])
	a.counts.BytesCopied += int64(len(in.Data))
	return nil
}

// view is the tensor's memory where it lies, or nil when it must be made.
func (p *numberPacker[D]) view(batch *Batch, n, total int) []D {
	s := &p.stretches[0]
	if len(p.stretches) > 1 || len(batch.Segments) > 1 || n != total || n == 0 {
		return nil
	}
	if s.direct == nil || s.nulls > 0 || s.rowNulls != nil || s.starts != nil {
		return nil
	}
	return s.direct[:n]
}

// resolve finds the stretches of a segment and deals with its nulls.
func (p *numberPacker[D]) resolve(a *Assembler, segment Segment, row int) error {
	for i := range p.binding.Features {
		f := &p.binding.Features[i]
		column := segment.Record.Column(f.Field)
		s, err := newStretch[D](column, p.binding)
		if err == nil {
			p.stretches[i] = s
			err = countNulls(a, p.binding, p.index, i, segment, row, s.nullRows(p.binding.Width))
		}
		if err != nil {
			p.releaseStretches()
			return locate(err, p.binding, f, segment)
		}
	}
	return nil
}

func (p *numberPacker[D]) releaseStretches() {
	for i := range p.stretches {
		p.stretches[i].release()
		p.stretches[i] = stretch[D]{}
	}
}

// packSegment writes n rows of a segment to dst.
func (p *numberPacker[D]) packSegment(a *Assembler, segment Segment, dst []D, n int) error {
	if len(p.stretches) == 1 {
		return p.packOne(a, segment, dst, n)
	}
	if p.scratch == nil {
		p.scratch = make([]D, p.tileRows*len(p.stretches))
	}
	for at := 0; at < n; at += p.tileRows {
		rows := min(p.tileRows, n-at)
		for i := range p.stretches {
			s := &p.stretches[i]
			if s.direct != nil && s.nulls == 0 {
				p.columns[i] = s.direct[at : at+rows]
				continue
			}
			tile := p.scratch[i*p.tileRows : i*p.tileRows+rows]
			if err := p.fillTile(a, segment, i, tile, at); err != nil {
				return err
			}
			p.columns[i] = tile
		}
		kernel.Transpose(dst[at*len(p.columns):], p.columns, rows)
	}
	return nil
}

// packOne writes a column or vector input, whose values need no transpose.
func (p *numberPacker[D]) packOne(a *Assembler, segment Segment, dst []D, n int) error {
	s, width := &p.stretches[0], p.binding.Width
	if s.starts == nil && s.rowNulls == nil {
		step := p.tileRows
		for at := 0; at < n*width; at += step {
			if err := p.fillTile(a, segment, 0, dst[at:min(at+step, n*width)], at); err != nil {
				return err
			}
		}
		return nil
	}
	for r := range n {
		item := dst[r*width : (r+1)*width]
		if s.rowNulls != nil && s.rowNulls[r] {
			kernel.Fill(item, p.fills[0])
			continue
		}
		start := r * width
		if s.starts != nil {
			start = int(s.starts[r])
		}
		if err := p.fillTile(a, segment, 0, item, start); err != nil {
			return err
		}
	}
	return nil
}

// fillTile converts the values at.. of a feature into dst and fills its nulls.
func (p *numberPacker[D]) fillTile(a *Assembler, segment Segment, feature int, dst []D, at int) error {
	s := &p.stretches[feature]
	switch {
	case s.allNull:
		kernel.Fill(dst, p.fills[feature])
		return nil
	case s.direct != nil:
		copy(dst, s.direct[at:])
	default:
		res := s.convert(dst, at)
		if res.OutOfRange >= 0 || res.Inexact > 0 && p.lossy != AllowLossy {
			return p.badValue(segment, feature, at, res)
		}
		a.counts.Features[p.index][feature].Rounded += res.Inexact
	}
	if s.nulls > 0 {
		kernel.FillNulls(dst, s.validity, s.bit+at, p.fills[feature])
	}
	return nil
}

func (p *numberPacker[D]) badValue(segment Segment, feature, at int, res kernel.CheckResult) error {
	f := &p.binding.Features[feature]
	bad, advice := res.OutOfRange, "correct the data, or export the model with a wider input"
	reason := "does not fit"
	if bad < 0 {
		bad, reason = res.FirstInexact, "would be rounded to fit"
		advice = "allow it by --allow-lossy-casts, or correct the data"
	}
	value := p.stretches[feature].text(at + bad)
	row := at + bad
	if p.binding.Form == Vector {
		row = p.stretches[feature].rowOf(at+bad, p.binding.Width)
	}
	origin := segment.Origin
	origin.Row += int64(row)
	return &RowError{
		Input: p.binding.Input.Name, Column: f.Column, Origin: origin,
		Reason: fmt.Sprintf("value %s %s %s, which model input %q wants", value, reason, p.binding.Input.Elem, p.binding.Input.Name),
		Advice: advice,
	}
}

// countNulls counts a feature's nulls in a segment and applies its policy:
// rows to reject are noted, and a null where none is allowed is a *RowError.
func countNulls(a *Assembler, b *Binding, index, feature int, segment Segment, row int, nulls nullRows) error {
	if nulls.count == 0 {
		return nil
	}
	f := &b.Features[feature]
	a.counts.Features[index][feature].Nulls += nulls.count
	switch f.Nulls.Action {
	case NullError:
		origin := segment.Origin
		origin.Row += int64(nulls.first())
		return &RowError{
			Input: b.Input.Name, Column: f.Column, Origin: origin, Reason: "is null",
			Advice: fmt.Sprintf("say what a null becomes: --nulls %s=nan, %s=0 or %s=reject", f.Column, f.Column, f.Column),
		}
	case NullReject:
		nulls.each(func(r int) {
			a.tensors.Rejects = append(a.tensors.Rejects, Reject{Row: row + r, Column: f.Column, Reason: "null"})
		})
	case NullNaN, NullFill:
	}
	return nil
}

// locate puts the place of a segment on an error that does not have one.
func locate(err error, b *Binding, f *Feature, segment Segment) error {
	var length *lengthError
	if asLength(err, &length) {
		origin := segment.Origin
		origin.Row += int64(length.row)
		return &RowError{
			Input: b.Input.Name, Column: f.Column, Origin: origin, Reason: length.Error(),
			Advice: "correct the data, or write the column as a FixedSizeList",
		}
	}
	return err
}
