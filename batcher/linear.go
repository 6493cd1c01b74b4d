package batcher

import (
	"slices"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// linearFeature is a computed feature that kernels compute as they make rows, of a
// column that is read like any other.
type linearFeature[D kernel.Number] struct {
	source Feature // the column
	line   *kernel.Line[D]
	fill   D    // the line's
	filled bool // nulls are no nulls of the feature
}

// newLinear finds how kernels compute a feature; nil where they do not. fill is that of
// the feature's null policy.
func newLinear[D kernel.Number](b *Binding, f *Feature, fill D, columns []string) *linearFeature[D] {
	if f.Program == nil || f.Finite || b.Input.Elem != models.Float32 && b.Input.Elem != models.Float64 {
		return nil
	}
	l, ok := f.Program.Linear()
	if !ok {
		return nil
	}
	if !l.Filled {
		l.Function.Fill = float64(fill)
	}
	source := Feature{Column: l.Column, Type: f.Program.Type(), Field: slices.Index(columns, l.Column)}
	return &linearFeature[D]{source: source, line: kernel.NewLine[D](l.Function), fill: D(l.Function.Fill), filled: l.Filled}
}

// evaluated are a binding's programs that no kernel computes.
func (p *numberPacker[D]) evaluated() (programs []*feature.Program) {
	for i := range p.binding.Features {
		if f := &p.binding.Features[i]; f.Program != nil && p.linear[i] == nil {
			programs = append(programs, f.Program)
		}
	}
	return programs
}

// resolveLinear finds a linear feature's stretch of the current segment, and deals with
// its nulls.
func (p *numberPacker[D]) resolveLinear(a *Assembler, index int) error {
	l, s := p.linear[index], &p.stretches[index]
	s.fill, s.line, s.column = l.fill, l.line, &p.sources[index]
	err := s.resolve(a.segment, &l.source, p.binding)
	if err == nil && !l.filled {
		err = a.checkRows(p.binding, p.index, index, &s.extent)
	}
	if err != nil {
		return a.locate(err, &l.source)
	}
	return nil
}
