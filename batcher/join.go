package batcher

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/millrace/millrace/models"
)

// Join adds the inputs of a further model to the plan, so that one Assembler makes the
// tensors of both, and returns which of the plan's bindings each of its inputs is. An
// input that is made as one of a model's before is that one: it is assembled once. The
// further plan was bound with Options.Read set to the plan's Columns. An error wraps
// ErrBind, where both models fix their batches and to different rows.
func (p *Plan) Join(further *Plan) (bindings []int, err error) {
	if p.FixedRows != 0 && further.FixedRows != 0 && p.FixedRows != further.FixedRows {
		return nil, fmt.Errorf("%w: it fixes its batch to %d rows, and a model before it to %d; score them in two runs",
			ErrBind, further.FixedRows, p.FixedRows)
	}
	p.FixedRows = max(p.FixedRows, further.FixedRows)
	p.Columns = further.Columns
	before := p.Bindings
	for i := range further.Bindings {
		b := &further.Bindings[i]
		at := slices.IndexFunc(before, func(other Binding) bool { return b.alike(&other) })
		if at < 0 {
			at = len(p.Bindings)
			p.Bindings = append(p.Bindings, *b)
		}
		bindings = append(bindings, at)
	}
	return bindings, nil
}

// alike says that two bindings make the same tensor of the same values, whatever the
// models call it.
func (b *Binding) alike(other *Binding) bool {
	if b.Input.Elem != other.Input.Elem {
		return false
	}
	one, two := b.made(), other.made()
	return reflect.DeepEqual(&one, &two)
}

// made is what a tensor is made of. A fill follows from a feature's policy, and one
// that is NaN equals nothing.
func (b *Binding) made() Binding {
	m := *b
	m.Input = models.Value{}
	m.Features = slices.Clone(b.Features)
	for i := range m.Features {
		m.Features[i].fill = fillValue{}
	}
	return m
}
