package batcher

import (
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/models"
)

// FinitePolicy says in which columns a NaN or an infinity is a bad value.
type FinitePolicy struct {
	All     bool     `json:"all"`
	Columns []string `json:"columns"`
}

// of says whether a column's values must be finite, and can fail to be: those of
// integers are, and what becomes an integer is checked anyway.
func (p FinitePolicy) of(column string, from arrow.DataType, to models.ElementType) bool {
	if !p.All && !slices.Contains(p.Columns, column) {
		return false
	}
	return arrowNumbers[entryType(storage.Type(from)).ID()].class == classFloat && elementNumbers[to].class == classFloat
}

// exponents are the bits of an element that are all 1 in a NaN or an infinity, and
// in no other value (IEEE 754-2019, 3.4).
var exponents = map[models.ElementType]uint64{
	models.Float32: 0x7f800000, models.Float64: 0x7ff0000000000000, models.Float16: 0x7c00, models.BFloat16: 0x7f80,
}

// notFinite is the first element from at on that is a NaN or an infinity; -1 when
// there is none.
func notFinite[D kernel.Number](elements []D, at int, exponent uint64) int {
	bytes := kernel.Bytes(elements[at:])
	var i int
	switch len(bytes) / max(len(elements)-at, 1) {
	case 2:
		i = firstWith(arrow.Uint16Traits.CastFromBytes(bytes), uint16(exponent))
	case 4:
		i = firstWith(arrow.Uint32Traits.CastFromBytes(bytes), uint32(exponent))
	default:
		i = firstWith(arrow.Uint64Traits.CastFromBytes(bytes), exponent)
	}
	if i < 0 {
		return -1
	}
	return at + i
}

// firstWith is the first word that has all bits of a mask; -1 when none has.
func firstWith[W uint16 | uint32 | uint64](words []W, mask W) int {
	for i, w := range words {
		if w&mask == mask {
			return i
		}
	}
	return -1
}

// featureOf is the feature that an element of a row belongs to.
func (p *numberPacker[D]) featureOf(element int) int {
	if p.evaluator == nil {
		return element
	}
	return sort.Search(len(p.binding.Features), func(i int) bool { return p.binding.Features[i].Offset > element }) - 1
}

// checkFinite deals with the values of the current segment that are not finite and
// have to be, once they are in dst. A null that became one is none of them.
func (p *numberPacker[D]) checkFinite(a *Assembler, dst []D) error {
	width := p.binding.Width
	for at := notFinite(dst, 0, p.exponent); at >= 0; at = notFinite(dst, at+1, p.exponent) {
		row, feature, value := at/width, p.featureOf(at%width), at/width
		if p.binding.Form != Matrix {
			start, null := p.stretches[0].row(row)
			if null {
				continue
			}
			feature, value = 0, start+at%width
		}
		s := &p.stretches[feature]
		if !p.binding.Features[feature].Finite || p.binding.Features[feature].Program != nil || s.isNull(value) {
			continue
		}
		dst[at] = 0
		if a.rejected(p.binding, feature, row) {
			continue
		}
		if err := a.bad(p.binding, feature, row, "value "+s.text(value)+" is not finite", "correct the data, or leave the column out of --finite"); err != nil {
			return err
		}
	}
	return nil
}
