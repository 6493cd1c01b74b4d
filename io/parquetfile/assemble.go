package parquetfile

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/nulls"
	"github.com/millrace/millrace/io/format"
)

// assembler builds arrays from the current chunks of a column's leaves. Every
// node finds its slots in the levels of the first leaf below it; siblings that
// come to a different number of slots contradict each other.
//
// Levels are read as in Dremel (Melnik et al., VLDB 2010). For a node with
// levelInfo{def: d, rep: r, ancestor: a}, a level pair (def, rep) is
//
//	def < a            no slot: a list around the node is null or empty
//	rep > r            no slot: inside a list below the node
//	rep == r, a list   no slot: the list's next value
//	otherwise          a slot; it is null where def < d (for a list: def < d-1)
//
// Source: arrow:cpp/src/parquet/level_conversion.h.
type assembler struct {
	leaves map[int]*leaf
	mem    *budget
}

// build returns the array of a node; the caller releases it.
func (a *assembler) build(n *node) (arrow.ArrayData, error) {
	switch n.kind {
	case structNode:
		return a.structs(n)
	case listNode:
		return a.lists(n)
	default:
		return a.leafArray(n)
	}
}

func (a *assembler) buffer(size int) *memory.Buffer {
	b := memory.NewResizableBuffer(a.mem)
	b.Resize(size)
	return b
}

// structs finds a struct's validity and builds its fields.
func (a *assembler) structs(n *node) (arrow.ArrayData, error) {
	l := a.leaves[n.leaf]
	slots, nulls := 0, 0
	validity := a.buffer(int(bitutil.BytesForBits(int64(l.levels))))
	defer validity.Release()
	bits := validity.Bytes()
	clear(bits)
	for i := range l.levels {
		if l.rep(i) > n.levels.rep || l.def(i) < n.levels.ancestor {
			continue
		}
		if l.def(i) >= n.levels.def {
			bitutil.SetBit(bits, slots)
		} else {
			nulls++
		}
		slots++
	}
	children := make([]arrow.ArrayData, 0, len(n.children))
	defer func() {
		for _, c := range children {
			c.Release()
		}
	}()
	for i, c := range n.children {
		data, err := a.build(c)
		if err != nil {
			return nil, err
		}
		children = append(children, data)
		if data.Len() != slots {
			return nil, damaged("field %d of a struct has %d values for %d structs", i, data.Len(), slots)
		}
	}
	return array.NewData(n.dtype, slots, []*memory.Buffer{nullable(n, validity, nulls)}, children,
		nullCount(n, nulls), 0), nil
}

// nullable gives the validity bitmap that an array of n takes: none where it
// has no nulls, or is not nullable (a null ancestor then covers them).
func nullable(n *node, validity *memory.Buffer, nulls int) *memory.Buffer {
	if nulls == 0 || !n.nullable {
		return nil
	}
	return validity
}

func nullCount(n *node, nulls int) int {
	if !n.nullable {
		return 0
	}
	return nulls
}

// lists finds a list's validity and offsets and builds its values.
func (a *assembler) lists(n *node) (arrow.ArrayData, error) {
	l := a.leaves[n.leaf]
	// Levels are many more where lists are long, and what is made here may wait for a row group.
	lists := n.slots(l)
	validity := a.buffer(int(bitutil.BytesForBits(int64(lists))))
	defer validity.Release()
	offsets := a.buffer(arrow.Int32Traits.BytesRequired(lists + 1))
	defer offsets.Release()
	bits, ends := validity.Bytes(), arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	clear(bits)
	slots, nulls, values := 0, 0, int32(0)
	ends[0] = 0
	for i := range l.levels {
		def, rep := l.def(i), l.rep(i)
		switch {
		case rep > n.levels.rep || def < n.levels.ancestor:
			continue
		case rep == n.levels.rep: // the next value of the same list
			if slots == 0 || def < n.levels.def {
				return nil, damaged("levels continue a list that has not begun")
			}
			values++
			ends[slots] = values
			continue
		}
		if def >= n.levels.def-1 {
			bitutil.SetBit(bits, slots)
		} else {
			nulls++
		}
		if def >= n.levels.def {
			values++
		}
		slots++
		ends[slots] = values
	}
	child, err := a.build(n.children[0])
	if err != nil {
		return nil, err
	}
	defer func() { child.Release() }()
	if child.Len() != int(values) {
		return nil, damaged("list has %d values for offsets up to %d", child.Len(), values)
	}
	nullBits := nullable(n, validity, nulls)
	switch t := n.storage.(type) {
	case *arrow.FixedSizeListType:
		if child, err = a.fixedSize(t, child, ends[:slots+1], nullBits); err != nil {
			return nil, err
		}
		return array.NewData(n.dtype, slots, []*memory.Buffer{nullBits}, []arrow.ArrayData{child}, nullCount(n, nulls), 0), nil
	case *arrow.LargeListType:
		wide := a.buffer(arrow.Int64Traits.BytesRequired(slots + 1))
		defer wide.Release()
		for i, end := range ends[:slots+1] {
			arrow.Int64Traits.CastFromBytes(wide.Bytes())[i] = int64(end)
		}
		return array.NewData(n.dtype, slots, []*memory.Buffer{nullBits, wide}, []arrow.ArrayData{child}, nullCount(n, nulls), 0), nil
	}
	return array.NewData(n.dtype, slots, []*memory.Buffer{nullBits, offsets}, []arrow.ArrayData{child}, nullCount(n, nulls), 0), nil
}

// slots is how many slots a list has in the levels of a leaf.
func (n *node) slots(l *leaf) (slots int) {
	for i := range l.levels {
		if l.rep(i) < n.levels.rep && l.def(i) >= n.levels.ancestor {
			slots++
		}
	}
	return slots
}

// fixedSize checks that every list has as many values as its type says. It
// returns child, which it takes over, with values put in for null lists, which
// Parquet does not store.
func (a *assembler) fixedSize(t *arrow.FixedSizeListType, child arrow.ArrayData, ends []int32, nullBits *memory.Buffer) (arrow.ArrayData, error) {
	size := t.Len()
	isNull := func(i int) bool { return nullBits != nil && !bitutil.BitIsSet(nullBits.Bytes(), i) }
	lists := len(ends) - 1
	for i := range lists {
		if n := ends[i+1] - ends[i]; n != size && !isNull(i) {
			return child, damaged("list of %d values in a column of lists of %d", n, size)
		}
	}
	if nullBits == nil {
		return child, nil
	}
	if int64(lists)*int64(size) > math.MaxInt32 {
		return child, fmt.Errorf("%w: %d lists of %d values in one chunk; read fewer rows at a time", format.ErrBudget, lists, size)
	}
	mem := zeroed{a.mem} // arrow-go leaves the bits after a bitmap's last as they were
	values := array.MakeFromData(child)
	defer values.Release()
	var pieces []arrow.Array
	defer func() {
		for _, p := range pieces {
			p.Release()
		}
	}()
	for from := 0; from < lists; {
		to := from + 1
		for to < lists && isNull(to) == isNull(from) {
			to++
		}
		if isNull(from) {
			pieces = append(pieces, nulls.Array(mem, t.Elem(), (to-from)*int(size)))
		} else {
			pieces = append(pieces, array.NewSlice(values, int64(ends[from]), int64(ends[to])))
		}
		from = to
	}
	joined, err := array.Concatenate(pieces, mem)
	if err != nil {
		return child, damaged("%v", err)
	}
	defer joined.Release()
	child.Release()
	data := joined.Data()
	data.Retain()
	return data, nil
}

func (l *leaf) def(i int) int16 {
	if l.maxDef == 0 {
		return 0
	}
	return l.defs[i]
}

func (l *leaf) rep(i int) int16 {
	if l.maxRep == 0 {
		return 0
	}
	return l.reps[i]
}

// leafArray spreads a leaf's dense values over its slots.
func (a *assembler) leafArray(n *node) (arrow.ArrayData, error) {
	l := a.leaves[n.leaf]
	if l.flat {
		return a.flatArray(n, l)
	}
	defs := l.defs
	if l.maxDef > 0 {
		defs = defs[:l.levels]
	}
	if ancestor := n.levels.ancestor; ancestor > 0 && ancestor < l.maxDef {
		kept := a.buffer(arrow.Int16Traits.BytesRequired(l.levels))
		defer kept.Release()
		k := arrow.Int16Traits.CastFromBytes(kept.Bytes())
		at := 0
		for _, d := range defs {
			if d >= ancestor {
				k[at] = d
				at++
			}
		}
		defs = k[:at]
	}
	slots := l.dense
	if n.levels.ancestor < l.maxDef {
		slots = len(defs)
	}
	if n.storage.ID() == arrow.NULL {
		return array.NewData(n.dtype, slots, []*memory.Buffer{nil}, nil, slots, 0), nil
	}
	var validity *memory.Buffer
	nulls := slots - l.dense
	if nulls < 0 {
		return nil, damaged("%d values for %d slots", l.dense, slots)
	}
	if nulls > 0 {
		validity = a.buffer(int(bitutil.BytesForBits(int64(slots))))
		defer validity.Release()
		clear(validity.Bytes())
		if set := bitmapOf(validity.Bytes(), defs, l.maxDef); set != l.dense {
			return nil, damaged("%d values for %d levels that need one", l.dense, set)
		}
	}
	return a.spacedArray(n, l, validity, slots)
}

// flatArray is leafArray of a column that is not nested, whose levels are the
// validity already.
func (a *assembler) flatArray(n *node, l *leaf) (arrow.ArrayData, error) {
	if n.storage.ID() == arrow.NULL {
		return array.NewData(n.dtype, l.levels, []*memory.Buffer{nil}, nil, l.levels, 0), nil
	}
	var validity *memory.Buffer
	if l.dense < l.levels {
		validity = l.valid.take()
		defer validity.Release()
	}
	return a.spacedArray(n, l, validity, l.levels)
}

// spacedArray makes an array of a leaf's values and their validity.
func (a *assembler) spacedArray(n *node, l *leaf, validity *memory.Buffer, slots int) (arrow.ArrayData, error) {
	buffers, err := a.spaced(n, l, validity, slots)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, b := range buffers[1:] {
			b.Release()
		}
	}()
	return array.NewData(n.dtype, slots, buffers, nil, slots-l.dense, 0), nil
}
