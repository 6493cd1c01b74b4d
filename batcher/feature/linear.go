package feature

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/kernel"
)

// Linear is a program that is a linear function of one column with bounds, which
// kernels can compute as they make rows.
type Linear struct {
	Column   string
	Function kernel.Affine // of each number; see kernel.NewLine on float32
	// Filled says that nulls become the function's fill. Otherwise a null stays one.
	Filled bool
}

// Linear reports whether the program is fill, clip and scale alone, at most one of each
// but clips, of a column of plain numbers.
func (p *Program) Linear() (Linear, bool) {
	l := Linear{Function: kernel.Identity}
	if p.combine != nil || p.inputs[0].from != nil || len(p.steps) == 0 || !plainNumbers(p.inputs[0].typ) {
		return l, false
	}
	l.Column = p.inputs[0].column
	scaled := false
	for i := range p.feature.Transforms {
		switch s := &p.feature.Transforms[i]; {
		case s.Fill != nil && !l.Filled:
			fill, err := numberOrNaN(*s.Fill)
			if err != nil {
				return l, false
			}
			l.Filled, l.Function.Fill, l.Function.FillNaN = true, fill, fill == fill
		case s.Clip != nil:
			low, high, _ := s.Clip.bounds() // was compiled
			l.Function.Fill = min(max(l.Function.Fill, low), high)
			if !scaled {
				l.Function = l.Function.Clip(low, high)
				continue
			}
			l.Function.Lo, l.Function.Hi = min(max(l.Function.Lo, low), high), min(max(l.Function.Hi, low), high)
		case s.Scale != nil && !scaled:
			scaled = true
			if !l.scale(s.Scale) {
				return l, false
			}
		default:
			return l, false
		}
	}
	return l, true
}

// scale puts a linear function after the bounds; false where kernels have none like it.
func (l *Linear) scale(s *Scale) bool {
	f, _ := s.linear() // was compiled
	before, a := l.Function, kernel.Identity
	if f.div == 0 {
		a.Mul, a.Add = f.mul, f.add
	} else {
		a.Sub, a.Div = f.sub, f.div
	}
	if a.Mul == 0 {
		return false
	}
	l.Function = a.Clip(before.Lo, before.Hi)
	l.Function.FillNaN, l.Function.Fill = before.FillNaN, a.At(before.Fill)
	return true
}

// plainNumbers says that a column is an array of numbers with a bitmap, whose values
// pass as float64.
func plainNumbers(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64, arrow.FLOAT32, arrow.FLOAT64:
		return true
	default:
		return false
	}
}
