package batcher

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/internal/ascii"
	"github.com/millrace/millrace/internal/storage"
)

// stringPacker makes string tensors: offsets and text, which ONNX Runtime
// copies into strings of its own; that copy is the one that is counted. Text
// of a single column without nulls is given where it lies.
type stringPacker struct {
	binding *Binding
	index   int
	offsets []int64
	text    []byte
	columns []texts
	spare   struct { // what a tensor is written anew in
		offsets []int64
		text    []byte
	}

	evaluator *feature.Evaluator // of computed features; nil where there are none
	computed  [][]rowText        // by feature: its tile
}

// rowText is a computed feature's text in a row; it is borrowed from the evaluator.
type rowText struct {
	text []byte
	mark feature.Mark
}

func newStringPacker(b *Binding, index int, columns []string) *stringPacker {
	p := &stringPacker{binding: b, index: index, computed: make([][]rowText, len(b.Features))}
	var programs []*feature.Program
	for i := range b.Features {
		if program := b.Features[i].Program; program != nil {
			programs = append(programs, program)
			p.computed[i] = make([]rowText, tileRows)
		}
	}
	p.evaluator = newEvaluator(programs, columns)
	return p
}

// texts gives the bytes of the values of one column in one segment.
type texts struct {
	extent
	at    func(i int) []byte
	check bool // values must be found to be UTF-8
	// offsets, one more than there are values, and data are set where values
	// follow each other in data.
	offsets func(i int) int64
	data    []byte
}

func (p *stringPacker) pack(a *Assembler, batch *Batch, in *Input) error {
	width := p.binding.Width
	total := int(in.Shape[0]) * width
	p.offsets = append(p.offsets[:0], 0)
	p.text = p.text[:0]
	in.Text = nil
	row := 0
	for _, segment := range batch.Segments {
		n := segment.Rows
		a.segment, a.first = segment, row
		err := p.resolve(a)
		if err == nil {
			if p.viewable(batch, n*width, total) {
				in.Text = p.columns[0].data
				p.offsets = p.offsets[:0]
				for i := range total + 1 {
					p.offsets = append(p.offsets, p.columns[0].offsets(i))
				}
			} else {
				err = p.append(a, n)
			}
		}
		p.release()
		if err != nil {
			return err
		}
		row += n
	}
	if in.Text == nil {
		in.Text = p.text
	}
	for len(p.offsets) <= total {
		p.offsets = append(p.offsets, int64(len(p.text)))
	}
	in.Offsets = p.offsets
	a.counts.BytesCopied += p.offsets[total] - p.offsets[0]
	return nil
}

func (p *stringPacker) release() {
	if p.evaluator != nil {
		p.evaluator.Close()
	}
	for i := range p.columns {
		p.columns[i].release()
		p.columns[i] = texts{}
	}
	p.columns = p.columns[:0]
}

func (p *stringPacker) resolve(a *Assembler) error {
	if p.evaluator != nil {
		if err := a.openComputed(p.evaluator); err != nil {
			return err
		}
	}
	for i := range p.binding.Features {
		f := &p.binding.Features[i]
		if f.Program != nil {
			p.columns = append(p.columns, texts{})
			continue
		}
		t, err := newTexts(a.segment, f, p.binding)
		if err == nil {
			p.columns = append(p.columns, t)
			err = a.checkRows(p.binding, p.index, i, &t.extent)
		}
		if err != nil {
			return a.locate(err, f)
		}
	}
	return nil
}

// viewable reports whether a segment's n values, which would be the whole
// tensor, can be given where they lie.
func (p *stringPacker) viewable(batch *Batch, n, total int) bool {
	t := &p.columns[0]
	return len(p.columns) == 1 && len(batch.Segments) == 1 && n == total && n > 0 &&
		t.offsets != nil && !t.check && t.nulls == 0 && t.starts == nil
}

// append copies the values of n rows of the current segment, a tile at a time where
// some are computed.
func (p *stringPacker) append(a *Assembler, n int) error {
	if p.evaluator == nil {
		return p.appendRows(a, 0, n)
	}
	for at := 0; at < n; at += tileRows {
		rows := min(tileRows, n-at)
		p.evaluator.Tile(at, rows)
		for i := range p.binding.Features {
			if err := p.compute(a, i, at); err != nil {
				return err
			}
		}
		if err := p.appendRows(a, at, at+rows); err != nil {
			return err
		}
	}
	return nil
}

// compute computes a feature's tile, if it is computed.
func (p *stringPacker) compute(a *Assembler, index, at int) error {
	rows := p.computed[index]
	if rows == nil {
		return nil
	}
	res, err := a.compute(p.evaluator, p.binding, computedRow{p.index, index, at})
	if err != nil {
		return err
	}
	for r := range res.Slots {
		rows[r] = rowText{}
		if res.Marks != nil {
			rows[r].mark = res.Marks[r]
		}
		if rows[r].mark == feature.Present {
			rows[r].text = res.Text(r)
		}
	}
	return nil
}

// appendRows copies the values of some rows of the current segment, row by row.
func (p *stringPacker) appendRows(a *Assembler, from, to int) error {
	for r := from; r < to; r++ {
		for c := range p.columns {
			if p.computed[c] != nil {
				p.appendComputed(c, p.computed[c][r%tileRows])
				continue
			}
			t := &p.columns[c]
			start, null := t.row(r)
			for i := start; i < start+t.width; i++ {
				if null || t.isNull(i) {
					p.text = append(p.text, p.binding.Features[c].fill.text...)
				} else if v := t.at(i); !t.check || utf8.Valid(v) {
					p.text = append(p.text, v...)
				} else if err := p.notText(a, c, r, v); err != nil {
					return err
				}
				p.offsets = append(p.offsets, int64(len(p.text)))
			}
		}
	}
	return nil
}

// appendComputed appends a computed feature's text.
func (p *stringPacker) appendComputed(index int, v rowText) {
	switch v.mark {
	case feature.Present:
		p.text = append(p.text, v.text...)
	case feature.NullMark:
		p.text = append(p.text, p.binding.Features[index].fill.text...)
	}
	p.offsets = append(p.offsets, int64(len(p.text)))
}

func (p *stringPacker) notText(a *Assembler, column, row int, v []byte) error {
	if a.rejected(p.binding, column, row) {
		return nil
	}
	return a.bad(p.binding, column, row, fmt.Sprintf("value %.40q is not UTF-8", v), "write the column as text")
}

// newTexts resolves a binding's column; the caller releases the texts.
func newTexts(segment Segment, f *Feature, b *Binding) (texts, error) {
	var t texts
	if err := t.open(segment, f, b); err != nil {
		t.release()
		return texts{}, err
	}
	values := t.values
	if t.index != nil {
		values = t.entries
	}
	if err := t.setValues(values); err != nil {
		t.release()
		return texts{}, err
	}
	if index := t.index; index != nil {
		entry := t.at
		t.at = func(i int) []byte { return entry(int(index[i])) }
		t.offsets, t.data = nil, nil
	}
	return t, nil
}

func (t *texts) setValues(a arrow.Array) error {
	if t.allNull || a.Len() == 0 || t.nulls == t.length {
		t.allNull = true // the values are nobody's business, and may not be there
		return nil
	}
	switch v := a.(type) {
	case *array.String:
		return setOffsets(t, v.ValueOffsets, v.Data())
	case *array.LargeString:
		return setOffsets(t, v.ValueOffsets, v.Data())
	case *array.Binary:
		return setOffsets(t, v.ValueOffsets, v.Data())
	case *array.LargeBinary:
		return setOffsets(t, v.ValueOffsets, v.Data())
	case *array.StringView:
		t.at, t.check = storage.TextOf(v), true
	case *array.BinaryView:
		t.at, t.check = v.Value, true
	case *array.FixedSizeBinary:
		t.at, t.check = v.Value, true
	default:
		return fmt.Errorf("%w: a %s column became text after it was refused", ErrBind, a.DataType())
	}
	return nil
}

// setOffsets checks the offsets, since whoever reads a view of the text will
// not.
func setOffsets[O int32 | int64](t *texts, valueOffsets func() []O, d arrow.ArrayData) error {
	var last O
	need := (d.Offset() + d.Len() + 1) * binary.Size(last)
	if b := d.Buffers()[1]; b == nil || b.Len() < need {
		return fmt.Errorf("%w: %d texts do not have as many offsets", ErrDamaged, d.Len())
	}
	if b := d.Buffers()[2]; b != nil {
		t.data = b.Bytes()
	}
	offsets, data := valueOffsets(), t.data
	last = offsets[d.Len()]
	if !slices.IsSorted(offsets) || offsets[0] < 0 || int64(last) > int64(len(data)) {
		return fmt.Errorf("%w: its text offsets do not fit its %d bytes of text", ErrDamaged, len(data))
	}
	t.offsets = func(i int) int64 { return int64(offsets[i]) }
	t.at = func(i int) []byte { return data[offsets[i]:offsets[i+1]] }
	// Of a large dictionary few entries may be asked for: each of them is looked at.
	t.check = d.Len() > t.length || !wholeTexts(data, offsets)
	return nil
}

// wholeTexts says whether all values are UTF-8, which writers of text columns promise
// and files do not keep: their bytes together are, and none starts within a rune.
func wholeTexts[O int32 | int64](data []byte, offsets []O) bool {
	end := offsets[len(offsets)-1]
	if ascii.Is(data[offsets[0]:end]) { // as most text is: 32 bytes a step
		return true
	}
	for _, o := range offsets {
		if o < end && !utf8.RuneStart(data[o]) {
			return false
		}
	}
	return utf8.Valid(data[offsets[0]:end])
}
