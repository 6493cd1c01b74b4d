package batcher

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/models"
)

// complaint is one reason why a batch cannot become a tensor. Complaints of
// one column and one kind are told in the order of rows.
type complaint struct {
	column string
	kind   string // "length", "null", "value" or "finite"
	file   int
	row    int64
}

// outcome is what the plainest possible loop says about one input of a batch.
type outcome struct {
	elements   []element
	complaints []complaint
	nulls      []int64
	rounded    []int64
	rejects    map[rejectedRow]bool // true where the null policy asks for it
	unknown    bool                 // what the rows have, all of which are rejected
}

// rejectedRow is a row of a batch and the column to blame.
type rejectedRow struct {
	row    int
	column string
}

// rules are what the plan leaves to the assembler.
type rules struct {
	lossy     LossyCasts
	rejectBad bool
}

// plainLoop makes one input's elements value by value.
func plainLoop(batch *Batch, plan *Plan, input int, rules rules) *outcome {
	b := &plan.Bindings[input]
	out := &outcome{
		nulls: make([]int64, len(b.Features)), rounded: make([]int64, len(b.Features)), rejects: map[rejectedRow]bool{},
	}
	row := 0
	for _, segment := range batch.Segments {
		for r := range segment.Rows {
			for i := range b.Features {
				out.addRow(&b.Features[i], b, i, place{segment, r, row}, rules)
			}
			row++
		}
	}
	out.standIn(batch.Rows, plan.FixedRows, b.Width)
	return out
}

// standIn puts the first row that is not rejected in the place of padding and of those
// that are.
func (o *outcome) standIn(rows, fixed, width int) {
	absent := map[int]bool{}
	for at := range o.rejects {
		absent[at.row] = true
	}
	first := 0
	for absent[first] {
		first++
	}
	if o.unknown = first >= rows; o.unknown {
		o.elements = append(o.elements, make([]element, max(fixed-rows, 0)*width)...)
		return
	}
	for row := range max(rows, fixed) {
		if row >= rows {
			o.elements = append(o.elements, o.elements[first*width:(first+1)*width]...)
		} else if absent[row] {
			copy(o.elements[row*width:], o.elements[first*width:(first+1)*width])
		}
	}
}

// place is a row of a segment and of the batch.
type place struct {
	segment Segment
	r, row  int
}

func (o *outcome) addRow(f *Feature, b *Binding, feature int, at place, rules rules) {
	segment, r := at.segment, at.r
	complain := func(kind string) {
		if rejected := (rejectedRow{at.row, f.Column}); rules.rejectBad {
			if _, there := o.rejects[rejected]; !there {
				o.rejects[rejected] = false
			}
			return
		}
		o.complaints = append(o.complaints, complaint{column: f.Column, kind: kind, file: segment.Origin.File, row: segment.Origin.Row + int64(r)})
	}
	width := 1
	if b.Form == Vector {
		width = b.Width
	}
	values, nulls := rowValues(segment.Record.Column(f.Field), segment.From+r, width)
	if len(values) != width {
		complain("length")
		for range width {
			o.elements = append(o.elements, fillElement(f.Nulls, b.Input.Elem))
		}
		return
	}
	o.nulls[feature] += nulls
	if nulls > 0 {
		switch f.Nulls.Action {
		case NullError:
			complain("null")
		case NullReject:
			o.rejects[rejectedRow{at.row, f.Column}] = true
		case NullNaN, NullFill:
		}
	}
	for _, v := range values {
		if v.null {
			o.elements = append(o.elements, fillElement(f.Nulls, b.Input.Elem))
			continue
		}
		e, said := v.cast(b.Input.Elem)
		switch {
		case said == misfits || said == rounded && rules.lossy != AllowLossy:
			complain("value")
			e = element{}
		case f.Finite && (math.IsNaN(e.float) || math.IsInf(e.float, 0)):
			complain("finite")
			e = element{}
		case said == rounded:
			o.rounded[feature]++
		}
		o.elements = append(o.elements, e)
	}
}

// rowValues is the values of one row, in order, and its nulls, of which a null
// list is one.
func rowValues(a arrow.Array, r, width int) (values []value, nulls int64) {
	if ext, ok := a.(array.ExtensionArray); ok {
		return rowValues(ext.Storage(), r, width)
	}
	list, ok := a.(array.ListLike)
	if !ok {
		v := valueOf(a, r)
		if v.null {
			nulls = 1
		}
		return []value{v}, nulls
	}
	if a.IsNull(r) {
		for range width {
			values = append(values, value{null: true})
		}
		return values, 1
	}
	start, end := list.ValueOffsets(r)
	if fixed, ok := a.DataType().(*arrow.FixedSizeListType); ok {
		width /= int(fixed.Len())
	} else {
		width = 1
	}
	for i := start; i < end; i++ {
		v, n := rowValues(list.ListValues(), int(i), width)
		values = append(values, v...)
		nulls += n
	}
	return values, nulls
}

// fillElement is what a null becomes; the tests' constant is 7, and for bools
// true.
func fillElement(p NullPolicy, elem models.ElementType) element {
	floating := elem == models.Float16 || elem == models.BFloat16 || elem == models.Float32 || elem == models.Float64
	switch {
	case p.Action == NullNaN && floating:
		return element{float: math.NaN()}
	case p.Action != NullFill:
		return element{}
	case floating:
		return element{float: 7}
	case elem == models.String:
		return element{text: "7"}
	case elem == models.Bool:
		return element{int: 1}
	default:
		return element{int: 7}
	}
}

// elementsOf reads a tensor back.
func elementsOf(in *Input) []element {
	var elements []element
	if in.Elem == models.String {
		for i := range len(in.Offsets) - 1 {
			elements = append(elements, element{text: string(in.Text[in.Offsets[i]:in.Offsets[i+1]])})
		}
		return elements
	}
	size := in.Elem.Bytes()
	for at := 0; at < len(in.Data); at += size {
		var wide [8]byte
		copy(wide[:], in.Data[at:at+size])
		bits := binary.LittleEndian.Uint64(wide[:])
		elements = append(elements, readElement(bits, in.Elem))
	}
	return elements
}

func readElement(bits uint64, elem models.ElementType) element {
	switch elem {
	case models.Float64:
		return element{float: math.Float64frombits(bits)}
	case models.Float32:
		return element{float: float64(math.Float32frombits(uint32(bits)))}
	case models.Float16:
		return element{float: halfValue(uint16(bits), 5)}
	case models.BFloat16:
		return element{float: halfValue(uint16(bits), 8)}
	case models.Int8:
		return element{int: uint64(int64(int8(bits)))}
	case models.Int16:
		return element{int: uint64(int64(int16(bits)))}
	case models.Int32:
		return element{int: uint64(int64(int32(bits)))}
	default:
		return element{int: bits}
	}
}
