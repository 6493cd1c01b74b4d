package batcher

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// ColumnView is one column's values in a segment of a batch, where they lie: those
// without a bit in Validity, from Bit on, are Fill. A nil Validity means that all are
// there, and nil Values that none is.
type ColumnView struct {
	Values   []float32
	Validity []byte
	Bit      int
	Fill     float32
}

// Leavable reports whether LeaveColumns can leave the binding's columns where they lie:
// a matrix of float32 made of columns of float32, of which none is checked value by value.
func (b *Binding) Leavable() bool {
	if b.Form != Matrix || b.Input.Elem != models.Float32 {
		return false
	}
	for i := range b.Features {
		if f := &b.Features[i]; f.Program != nil || f.Finite || f.Type.ID() != arrow.FLOAT32 {
			return false
		}
	}
	return true
}

// LeaveColumns has the columns of bindings, by place, which are Leavable, not made into
// tensors but described, as Input.Columns: for who makes something else of them anyway.
// Nulls are judged and counted as in a tensor. It is called before the first Assemble,
// and not for a plan of fixed rows, nor with Pad or UseMemory.
func (a *Assembler) LeaveColumns(bindings []bool) {
	for i, leave := range bindings {
		if leave {
			a.packers[i].(*numberPacker[float32]).leaves = true //nolint:forcetypeassert // of a Leavable binding
		}
	}
}

// leave describes a batch's columns.
func (p *numberPacker[D]) leave(a *Assembler, batch *Batch, in *Input) error {
	features := len(p.binding.Features)
	in.Data = nil
	p.views = p.views[:0]
	row := 0
	for _, segment := range batch.Segments {
		a.segment, a.first = segment, row
		row += segment.Rows
		err := p.resolve(a)
		for i := range p.stretches {
			s := &p.stretches[i]
			p.views = append(p.views, ColumnView{
				Values: kernel.Of[float32](kernel.Bytes(s.direct)), Validity: s.validity, Bit: s.bit, Fill: kernel.Of[float32](kernel.Bytes(p.fills[i : i+1]))[0],
			})
		}
		p.releaseStretches()
		if err != nil {
			return err
		}
		in.ColumnRows = append(in.ColumnRows, segment.Rows)
	}
	for i := range in.ColumnRows {
		in.Columns = append(in.Columns, p.views[i*features:(i+1)*features])
	}
	a.counts.BytesViewed += int64(row*p.binding.Width) * int64(p.binding.Input.Elem.Bytes())
	return nil
}
