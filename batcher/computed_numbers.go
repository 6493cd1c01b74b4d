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
	row := computedRow{p.index, index, at}
	res, err := a.compute(p.evaluator, p.binding, row)
	if err != nil {
		return err
	}
	switch p.binding.Features[index].Program.Values() {
	case feature.Integers:
		return takeComputed(p, a, row, computedValues[int64]{res.Ints, res.Marks}, dst)
	case feature.Unsigned:
		return takeComputed(p, a, row, computedValues[uint64]{kernel.Of[uint64](kernel.Bytes(res.Ints)), res.Marks}, dst)
	default:
		return takeComputed(p, a, row, computedValues[float64]{res.Numbers, res.Marks}, dst)
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

// computedNumber is what a feature's values are before they become elements.
type computedNumber interface{ int64 | uint64 | float64 }

// computedValues are a feature's; below marks they may be anything.
type computedValues[S computedNumber] struct {
	values []S
	marks  []feature.Mark
}

// castComputed rounds values to elements of a type, once, and returns the index of the
// first that does not fit, -1 if there is none: beyond the element's range, or a fraction
// where it is an integer.
func castComputed[S computedNumber, D kernel.Number](elem models.ElementType, dst []D, src []S) int {
	switch elem {
	case models.Float16, models.BFloat16:
		return castHalf(elem, kernel.Of[uint16](kernel.Bytes(dst)), src)
	case models.Bool:
		for r, v := range src[:len(dst)] {
			if dst[r] = D(v); v != 0 && v != 1 {
				return r
			}
		}
		return -1
	default:
		return kernel.CastFill(dst, src, nil, 0, 0).OutOfRange
	}
}

// castHalf goes through float64, rounded to odd where that cannot hold a value, so that
// the one rounding that counts is the last.
func castHalf[S computedNumber](elem models.ElementType, dst []uint16, src []S) int {
	format := halfFormats[elem]
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

// takeComputed writes a feature's elements: where there is no value, the fill of its null
// policy. A value that does not fit is bad, and so is one that is not finite and has to
// be.
func takeComputed[S computedNumber, D kernel.Number](p *numberPacker[D], a *Assembler, row computedRow, v computedValues[S], dst []D) error {
	for from := 0; from < len(dst); {
		bad := castComputed(p.binding.Input.Elem, dst[from:], v.values[from:])
		if bad < 0 {
			break
		}
		r := from + bad
		if v.marks == nil || v.marks[r] == feature.Present {
			reason := fmt.Sprintf("value %v does not fit %s, which model input %q wants", v.values[r], p.binding.Input.Elem, p.binding.Input.Name)
			if err := a.bad(p.binding, row.feature, row.at+r, reason, "clip the feature, or cast it with rounding (cast: {to: int64, round: nearest})"); err != nil {
				return err
			}
		}
		dst[r] = 0
		from = r + 1
	}
	for r, m := range v.marks {
		if m != feature.Present {
			dst[r] = 0
		}
	}
	if p.binding.Features[row.feature].Finite {
		if err := finiteComputed(p, a, row, v, dst); err != nil {
			return err
		}
	}
	for r, m := range v.marks {
		if m == feature.NullMark {
			dst[r] = p.fills[row.feature]
		}
	}
	return nil
}

// finiteComputed deals with a feature's values that are not finite.
func finiteComputed[S computedNumber, D kernel.Number](p *numberPacker[D], a *Assembler, row computedRow, v computedValues[S], dst []D) error {
	exponent := exponents[p.binding.Input.Elem]
	for r := notFinite(dst, 0, exponent); r >= 0; r = notFinite(dst, r+1, exponent) {
		dst[r] = 0
		reason := fmt.Sprintf("value %v is not finite", v.values[r])
		if err := a.bad(p.binding, row.feature, row.at+r, reason, "fill and clip the feature, or leave it out of --finite"); err != nil {
			return err
		}
	}
	return nil
}

// computedWide computes a feature of several values a row straight into its place in
// the rows of the evaluator's tile: dst begins with the first one's.
func (p *numberPacker[D]) computedWide(a *Assembler, index int, dst []D, at int) error {
	f := &p.binding.Features[index]
	row := computedRow{p.index, index, at}
	res, err := a.compute(p.evaluator, p.binding, row)
	if err != nil {
		return err
	}
	if f.Program.Values() == feature.Pairs {
		for k, numbers := range [][]float64{res.Numbers, res.Seconds} {
			column := p.scratchColumn(len(numbers))
			if err := takeComputed(p, a, row, computedValues[float64]{numbers, res.Marks}, column); err != nil {
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
		item := dst[r*p.binding.Width:][:f.Width]
		if clear(item); m == feature.NullMark {
			kernel.Fill(item, p.fills[index])
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
