package batcher

import (
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// stringPacker makes string tensors: offsets and text, which ONNX Runtime
// copies into strings of its own. Text of a single column without nulls is
// given where it lies.
type stringPacker struct {
	binding *Binding
	index   int
	rows    int
	pad     bool
	offsets []int64
	text    []byte
}

// texts gives the bytes of the values of one column in one segment.
type texts struct {
	values arrow.Array // owned
	at     func(i int) []byte
	check  bool // values must be found to be UTF-8
	// offsets and data are set where values follow each other in data.
	offsets func(i int) int64
	data    []byte
	stretch stretch[uint8] // only its nulls and rows
}

func (p *stringPacker) pack(a *Assembler, batch *Batch, in *Input) error {
	width := p.binding.Width
	p.offsets = append(p.offsets[:0], 0)
	p.text = p.text[:0]
	row := 0
	for _, segment := range batch.Segments {
		n := int(segment.Record.NumRows())
		columns, err := p.resolve(a, segment, row)
		if err == nil {
			if len(columns) == 1 && len(batch.Segments) == 1 && !p.pad && p.viewText(&columns[0], n*width) {
				in.Text = columns[0].data
			} else {
				err = p.append(columns, segment, n)
				in.Text = p.text
			}
		}
		for i := range columns {
			columns[i].values.Release()
		}
		if err != nil {
			return err
		}
		row += n
	}
	for len(p.offsets) <= int(in.Shape[0])*width {
		p.offsets = append(p.offsets, int64(len(p.text)))
	}
	in.Offsets = p.offsets
	a.counts.BytesCopied += p.offsets[len(p.offsets)-1] - p.offsets[0]
	return nil
}

func (p *stringPacker) resolve(a *Assembler, segment Segment, row int) ([]texts, error) {
	columns := make([]texts, 0, len(p.binding.Features))
	for i := range p.binding.Features {
		f := &p.binding.Features[i]
		t, err := newTexts(segment.Record.Column(f.Field), p.binding)
		if err == nil {
			columns = append(columns, t)
			err = countNulls(a, p.binding, p.index, i, segment, row, t.stretch.nullRows(p.binding.Width))
		}
		if err != nil {
			return columns, locate(err, p.binding, f, segment)
		}
	}
	return columns, nil
}

// viewText notes the offsets of a column's values where they lie, if they can
// be used so.
func (p *stringPacker) viewText(t *texts, n int) bool {
	s := &t.stretch
	if t.offsets == nil || t.check || s.nulls > 0 || s.rowNulls != nil || s.starts != nil {
		return false
	}
	p.offsets = p.offsets[:0]
	for i := range n + 1 {
		p.offsets = append(p.offsets, t.offsets(i))
	}
	return true
}

// append copies the values of n rows, row by row.
func (p *stringPacker) append(columns []texts, segment Segment, n int) error {
	perColumn := 1
	if p.binding.Form == Vector {
		perColumn = p.binding.Width
	}
	for r := range n {
		for c := range columns {
			t := &columns[c]
			s := &t.stretch
			start := r * perColumn
			if s.starts != nil {
				start = int(s.starts[r])
			}
			for i := start; i < start+perColumn; i++ {
				if s.rowNulls != nil && s.rowNulls[r] || s.nulls > 0 && t.values.IsNull(i) {
					p.text = append(p.text, p.binding.Features[c].fill.text...)
				} else {
					v := t.at(i)
					if t.check && !utf8.Valid(v) {
						return p.notText(segment, r, c, v)
					}
					p.text = append(p.text, v...)
				}
				p.offsets = append(p.offsets, int64(len(p.text)))
			}
		}
	}
	return nil
}

func (p *stringPacker) notText(segment Segment, row, column int, v []byte) error {
	origin := segment.Origin
	origin.Row += int64(row)
	return &RowError{
		Input: p.binding.Input.Name, Column: p.binding.Features[column].Column, Origin: origin,
		Reason: fmt.Sprintf("value %.40q is not UTF-8", v),
		Advice: "write the column as text",
	}
}

func newTexts(column arrow.Array, b *Binding) (texts, error) {
	rows := column.Len()
	var t texts
	flat := column
	flat.Retain()
	var err error
	if b.Form == Vector {
		if flat, err = t.stretch.descend(flat, rows, b.Width); err != nil {
			return texts{}, err
		}
	}
	if flat, err = plainArray(flat); err != nil {
		return texts{}, err
	}
	t.values = flat
	t.stretch.length = flat.Len()
	if t.stretch.nulls = flat.NullN(); t.stretch.nulls > 0 {
		t.stretch.validity, t.stretch.bit = flat.NullBitmapBytes(), flat.Data().Offset()
	}
	switch v := flat.(type) {
	case *array.Null:
		t.stretch.allNull, t.stretch.nulls = true, v.Len()
	case *array.String:
		t.setOffsets(func(i int) int64 { return int64(v.ValueOffset(i)) }, bufferBytes(v.Data(), 2))
	case *array.LargeString:
		t.setOffsets(v.ValueOffset64, bufferBytes(v.Data(), 2))
	case *array.StringView:
		t.at = func(i int) []byte { return []byte(v.Value(i)) }
	case *array.Binary:
		t.at, t.check = v.Value, true
	case *array.LargeBinary:
		t.at, t.check = v.Value, true
	case *array.BinaryView:
		t.at, t.check = v.Value, true
	case *array.FixedSizeBinary:
		t.at, t.check = v.Value, true
	default:
		flat.Release()
		return texts{}, fmt.Errorf("%w: a %s column became text after it was refused", ErrBind, flat.DataType())
	}
	return t, nil
}

func (t *texts) setOffsets(offsets func(int) int64, data []byte) {
	t.offsets, t.data = offsets, data
	t.at = func(i int) []byte { return data[offsets(i):offsets(i+1)] }
}

func bufferBytes(d arrow.ArrayData, i int) []byte {
	if b := d.Buffers()[i]; b != nil {
		return b.Bytes()
	}
	return nil
}
