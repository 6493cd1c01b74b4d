package batcher

import (
	"fmt"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// computedColumn computes a feature of one value a row into dst, for the rows of the
// evaluator's tile, which begin at row at of the segment.
func (p *numberPacker[D]) computedColumn(a *Assembler, index int, dst []D, at int) error {
	res, err := a.compute(p.evaluator, p.binding, computedRow{p.index, index, at})
	if err != nil {
		return err
	}
	values := computedValues[D]{row: computedRow{p.index, index, at}, marks: res.Marks, dst: dst}
	switch p.binding.Features[index].Program.Values() {
	case feature.Integers:
		return p.take(a, &values, castTo[int64, D](p.binding.Input.Elem, res.Ints))
	case feature.Unsigned:
		return p.take(a, &values, castTo[uint64, D](p.binding.Input.Elem, kernel.Of[uint64](kernel.Bytes(res.Ints))))
	default:
		return p.take(a, &values, castTo[float64, D](p.binding.Input.Elem, res.Numbers))
	}
}

// computedOne is computedColumn of the only feature, which may be a one-hot of one
// category.
func (p *numberPacker[D]) computedOne(a *Assembler, dst []D, at int) error {
	if p.binding.Features[0].Program.Wide() {
		return p.computedWide(a, 0, dst, at)
	}
	return p.computedColumn(a, 0, dst, at)
}

// computedValues are a feature's, on their way to elements.
type computedValues[D kernel.Number] struct {
	row   computedRow
	marks []feature.Mark
	dst   []D
}

// elements rounds values to elements of a type, once; it writes those from at on, and
// returns the index of the first that does not fit, -1 if there is none. text is a
// value for messages.
type elements[D kernel.Number] struct {
	cast func(dst []D, at int) int
	text func(at int) string
}

// castTo makes elements of values. A value beyond the element's range, and a fraction
// where it is an integer, does not fit.
func castTo[S int64 | uint64 | float64, D kernel.Number](elem models.ElementType, src []S) elements[D] {
	e := elements[D]{text: func(at int) string { return fmt.Sprint(src[at]) }}
	switch elem {
	case models.Float16, models.BFloat16:
		e.cast = func(dst []D, at int) int { return castHalf(elem, kernel.Of[uint16](kernel.Bytes(dst)), src[at:]) }
	case models.Bool:
		e.cast = func(dst []D, at int) int {
			for r, v := range src[at:][:len(dst)] {
				if dst[r] = D(v); v != 0 && v != 1 {
					return r
				}
			}
			return -1
		}
	default:
		e.cast = func(dst []D, at int) int { return kernel.CastFill(dst, src[at:], nil, 0, 0).OutOfRange }
	}
	return e
}

// castHalf goes through float64, rounded to odd where that cannot hold a value, so that
// the one rounding that counts is the last.
func castHalf[S int64 | uint64 | float64](elem models.ElementType, dst []uint16, src []S) int {
	format := kernel.Float16
	if elem == models.BFloat16 {
		format = kernel.BFloat16
	}
	var block [halfBlock]float64
	for from := 0; from < len(dst); from += halfBlock {
		n := min(halfBlock, len(dst)-from)
		switch s := any(src[from:]).(type) {
		case []int64:
			kernel.CastOdd(block[:n], s)
		case []uint64:
			kernel.CastOdd(block[:n], s)
		case []float64:
			copy(block[:n], s)
		}
		if res := format.Narrow(dst[from:from+n], block[:n], nil, 0); res.OutOfRange >= 0 {
			return from + res.OutOfRange
		}
	}
	return -1
}

// take writes a feature's elements: where there is no value, the fill of its null
// policy. A value that does not fit is bad, and so is one that is not finite and has to
// be.
func (p *numberPacker[D]) take(a *Assembler, v *computedValues[D], e elements[D]) error {
	f := &p.binding.Features[v.row.feature]
	for from := 0; from < len(v.dst); {
		bad := e.cast(v.dst[from:], from)
		if bad < 0 {
			break
		}
		r := from + bad
		if v.marks == nil || v.marks[r] == feature.Present { // below marks may be anything
			reason := fmt.Sprintf("value %s does not fit %s, which model input %q wants", e.text(r), p.binding.Input.Elem, p.binding.Input.Name)
			if err := a.bad(p.binding, v.row.feature, v.row.at+r, reason, "clip the feature, or cast it with rounding (cast: {to: int64, round: nearest})"); err != nil {
				return err
			}
		}
		v.dst[r] = 0
		from = r + 1
	}
	for r, m := range v.marks {
		switch m {
		case feature.NullMark, feature.DeadMark:
			v.dst[r] = 0
		}
	}
	if f.Finite {
		if err := p.finiteComputed(a, v, e); err != nil {
			return err
		}
	}
	for r, m := range v.marks {
		if m == feature.NullMark {
			v.dst[r] = p.fills[v.row.feature]
		}
	}
	return nil
}

// finiteComputed deals with a feature's values that are not finite.
func (p *numberPacker[D]) finiteComputed(a *Assembler, v *computedValues[D], e elements[D]) error {
	exponent := exponents[p.binding.Input.Elem]
	for r := notFinite(v.dst, 0, exponent); r >= 0; r = notFinite(v.dst, r+1, exponent) {
		v.dst[r] = 0
		reason := "value " + e.text(r) + " is not finite"
		if err := a.bad(p.binding, v.row.feature, v.row.at+r, reason, "fill and clip the feature, or leave it out of --finite"); err != nil {
			return err
		}
	}
	return nil
}

// computedWide computes a feature of several values a row straight into its place in
// the rows of the evaluator's tile: dst begins with the first one's.
func (p *numberPacker[D]) computedWide(a *Assembler, index int, dst []D, at int) error {
	f := &p.binding.Features[index]
	res, err := a.compute(p.evaluator, p.binding, computedRow{p.index, index, at})
	if err != nil {
		return err
	}
	if f.Program.Values() == feature.Pairs {
		for k, numbers := range [][]float64{res.Numbers, res.Seconds} {
			column := p.scratchColumn(len(numbers))
			values := computedValues[D]{row: computedRow{p.index, index, at}, marks: res.Marks, dst: column}
			if err := p.take(a, &values, castTo[float64, D](p.binding.Input.Elem, numbers)); err != nil {
				return err
			}
			for r, v := range column {
				dst[r*p.binding.Width+f.Offset+k] = v
			}
		}
		return nil
	}
	one := fillOf[D](p.binding.Input.Elem, fillValue{float: 1, int: 1, uint: 1})
	dst = dst[f.Offset:]
	kernel.SetOneHot(dst, p.binding.Width, f.Width, res.Slots, one)
	for r, m := range res.Marks {
		if m == feature.Present {
			continue
		}
		row := dst[r*p.binding.Width:][:f.Width]
		if clear(row); m == feature.NullMark {
			kernel.Fill(row, p.fills[index])
		}
	}
	return nil
}

// scratchColumn is room for a tile of one column.
func (p *numberPacker[D]) scratchColumn(n int) []D {
	if p.column == nil {
		p.column = kernel.Aligned[D](tileRows)
	}
	return p.column[:n]
}
