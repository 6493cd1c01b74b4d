package batcher

import "slices"

// standIn has a row of the batch stand in for those that are not there: rejected ones,
// whose values may be missing, and padding. A model that takes the row takes them too, as
// it need not take zeros: one that divides, or knows some categories alone. It returns that
// row; -1 where all of the batch are rejected, or it has none.
func (a *Assembler) standIn(rows int) int {
	made := max(rows, a.fixed)
	if len(a.tensors.Rejects) == 0 && made == rows {
		return 0
	}
	a.absent = append(a.absent[:0], make([]bool, made)...)
	for _, r := range a.tensors.Rejects {
		a.absent[r.Row] = true
	}
	row := slices.Index(a.absent[:rows], false)
	if row < 0 {
		return row
	}
	for i := rows; i < made; i++ {
		a.absent[i] = true
	}
	for i, p := range a.packers {
		p.repeat(a, &a.tensors.Inputs[i], row)
	}
	return row
}

// repeat copies a row of the tensor to the absent ones. In a view these have values
// of their own, which it does not share with a row that lacks some.
func (p *numberPacker[D]) repeat(a *Assembler, in *Input, row int) {
	if in.View || in.Data == nil {
		return
	}
	width := p.binding.Width
	from := p.buffer[row*width : (row+1)*width]
	for r, absent := range a.absent {
		if absent {
			copy(p.buffer[r*width:], from)
		}
	}
}

// repeat writes the tensor anew, with the texts of a row in the absent ones.
func (p *stringPacker) repeat(a *Assembler, in *Input, row int) {
	width := p.binding.Width
	offsets, text := p.spare.offsets[:0], p.spare.text[:0]
	offsets = append(offsets, 0)
	for r, absent := range a.absent {
		if absent {
			r = row
		}
		for i := r * width; i < (r+1)*width; i++ {
			text = append(text, in.Text[in.Offsets[i]:in.Offsets[i+1]]...)
			offsets = append(offsets, int64(len(text)))
		}
	}
	a.counts.BytesCopied += int64(len(text)) - (in.Offsets[len(in.Offsets)-1] - in.Offsets[0])
	p.spare.offsets, p.spare.text, p.offsets, p.text = p.offsets, p.text, offsets, text
	in.Offsets, in.Text = offsets, text
}
