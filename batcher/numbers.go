package batcher

import (
	"fmt"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// A tile is some rows of as many columns as make a cache line of a row, for
// columns that no kernel makes rows of as they are. Its converted columns stay
// in the second level of cache, whatever the tensor's width. Fewer rows would
// keep them in the first, but then the runs of each column are too short for the
// processor to see them coming from memory: docs/decisions/008.
const (
	lineBytes = 64
	tileRows  = 1024
	// runValues is how many values are converted at a time of a column that
	// becomes a tensor by itself.
	runValues = 2048
)

// numberPacker makes tensors of numbers and bools; D is the tensor's element,
// or its bits.
type numberPacker[D kernel.Number] struct {
	binding   *Binding
	index     int
	rows      int
	lossy     LossyCasts
	buffer    []D
	fills     []D
	tileWidth int
	scratch   []D // one tile of columns, column by column
	columns   [][]D
	group     kernel.Group[D]
	stretches []stretch[D]
	sources   []kernel.Column[D] // by feature: those of stretches of numbers
	converted []kernel.Column[D] // a tile's
	exponent  uint64             // of elements that have to be finite; 0 where none have

	leaves bool         // columns are left where they lie: see LeaveColumns
	views  []ColumnView // of a batch then, by segment and feature

	runs   []columnRun
	linear []*linearFeature[D] // by feature: those that kernels compute
	// Of a binding with other computed features: what computes them, and room for a
	// tile of one of them. todo are the groups of columns that are made tile by tile.
	evaluator *feature.Evaluator
	column    []D
	todo      [][2]int
}

// columnRun is features that follow each other and have one value a row each.
type columnRun struct{ from, to int }

// columnRuns are those of a binding, up to the wide features between them.
func columnRuns(features []Feature) (runs []columnRun) {
	for i := range features {
		switch n := len(runs); {
		case features[i].Program != nil && features[i].Program.Wide():
		case n > 0 && runs[n-1].to == i:
			runs[n-1].to++
		default:
			runs = append(runs, columnRun{i, i + 1})
		}
	}
	return runs
}

func newNumberPacker[D kernel.Number](b *Binding, rows int, lossy LossyCasts, index int, columns []string) *numberPacker[D] {
	features := len(b.Features)
	p := &numberPacker[D]{binding: b, index: index, rows: rows, lossy: lossy}
	p.tileWidth = min(features, lineBytes/b.Input.Elem.Bytes())
	p.columns = make([][]D, p.tileWidth)
	p.stretches, p.sources = make([]stretch[D], features), make([]kernel.Column[D], features)
	p.converted = make([]kernel.Column[D], 0, p.tileWidth)
	p.runs = columnRuns(b.Features)
	for i := range b.Features {
		p.fills = append(p.fills, fillOf[D](b.Input.Elem, b.Features[i].fill))
		p.linear = append(p.linear, newLinear(b, &b.Features[i], p.fills[i], columns))
		if b.Features[i].Finite && b.Features[i].Program == nil {
			p.exponent = exponents[b.Input.Elem]
		}
	}
	p.evaluator = newEvaluator(p.evaluated(), columns)
	return p
}

// fillOf is a constant as an element, or its bits.
func fillOf[D kernel.Number](elem models.ElementType, v fillValue) D {
	if format, ok := halfFormats[elem]; ok {
		half := []uint16{0}
		format.Narrow(half, []float64{v.float}, nil, 0)
		return D(half[0])
	}
	switch elementNumbers[elem].class {
	case classFloat:
		return D(v.float)
	case classSigned:
		return D(v.int)
	default:
		return D(v.uint)
	}
}

func (p *numberPacker[D]) pack(a *Assembler, batch *Batch, in *Input) error {
	in.Columns, in.ColumnRows = in.Columns[:0], in.ColumnRows[:0]
	if p.leaves && len(batch.Segments) > 0 {
		return p.leave(a, batch, in)
	}
	width := p.binding.Width
	total := int(in.Shape[0]) * width
	row := 0
	for _, segment := range batch.Segments {
		a.segment, a.first = segment, row
		viewed, err := p.packSegment(a, batch, total, in)
		p.releaseStretches()
		if err != nil || viewed {
			return err
		}
		row += segment.Rows
	}
	if err := p.reserve(a, total); err != nil {
		return err
	}
	clear(p.buffer[row*width : total])
	in.Data = kernel.Bytes(p.buffer[:total])
	a.counts.BytesCopied += int64(len(in.Data))
	return nil
}

// reserve makes the buffer, at the first use: a plan of views needs none.
func (p *numberPacker[D]) reserve(a *Assembler, elements int) error {
	if len(p.buffer) >= elements {
		return nil
	}
	elements = max(elements, p.rows*p.binding.Width)
	if a.memory == nil {
		p.buffer = kernel.Aligned[D](elements)
		return nil
	}
	bytes, err := a.memory(elements * p.binding.Input.Elem.Bytes())
	p.buffer = kernel.Of[D](bytes)
	return err
}

// packSegment packs the current segment, and reports whether the tensor became a view
// of it.
func (p *numberPacker[D]) packSegment(a *Assembler, batch *Batch, total int, in *Input) (viewed bool, err error) {
	if err := p.resolve(a); err != nil {
		return false, err
	}
	n, row, width := a.segment.Rows, a.first, p.binding.Width
	if view := p.view(batch, n*width, total); view != nil && a.memory == nil {
		in.Data, in.View = kernel.Bytes(view), true
		a.counts.BytesViewed += int64(len(in.Data))
		return true, nil
	}
	if err := p.reserve(a, total); err != nil {
		return false, err
	}
	dst := p.buffer[row*width : (row+n)*width]
	if p.binding.Form == Matrix {
		err = p.packMatrix(a, dst, n)
	} else {
		err = p.packOne(a, dst, n)
	}
	if err == nil && p.exponent != 0 {
		err = p.checkFinite(a, dst)
	}
	return false, err
}

// view is the tensor's memory where it lies, or nil when it must be made.
func (p *numberPacker[D]) view(batch *Batch, n, total int) []D {
	s := &p.stretches[0]
	if len(p.stretches) > 1 || len(batch.Segments) > 1 || n != total || n == 0 {
		return nil
	}
	if s.direct == nil || s.nulls > 0 || s.starts != nil {
		return nil
	}
	if p.exponent != 0 && notFinite(s.direct[:n], 0, p.exponent) >= 0 {
		return nil // what is not finite is taken out of a copy
	}
	return s.direct[:n]
}

// resolve finds the stretches of the current segment and deals with its nulls.
func (p *numberPacker[D]) resolve(a *Assembler) error {
	if p.evaluator != nil {
		if err := a.openComputed(p.evaluator); err != nil {
			return err
		}
	}
	for i := range p.binding.Features {
		f := &p.binding.Features[i]
		if f.Program != nil {
			if p.linear[i] != nil {
				if err := p.resolveLinear(a, i); err != nil {
					return err
				}
			}
			continue
		}
		s := &p.stretches[i]
		s.fill, s.column = p.fills[i], &p.sources[i]
		err := s.resolve(a.segment, f, p.binding)
		if err == nil {
			err = a.checkRows(p.binding, p.index, i, &s.extent)
		}
		if err != nil {
			return a.locate(err, f)
		}
	}
	return nil
}

func (p *numberPacker[D]) releaseStretches() {
	if p.evaluator != nil {
		p.evaluator.Close()
	}
	for i := range p.stretches {
		p.stretches[i].release()
		p.stretches[i] = stretch[D]{}
	}
	clear(p.columns)
	clear(p.sources)
	clear(p.converted)
}

// packMatrix writes columns as n rows to dst, tile by tile.
func (p *numberPacker[D]) packMatrix(a *Assembler, dst []D, n int) error {
	if p.scratch == nil {
		p.scratch = kernel.Aligned[D](tileRows * p.tileWidth)
	}
	p.todo = p.todo[:0]
	for _, run := range p.runs {
		for left := run.from; left < run.to; left += p.tileWidth {
			right := min(left+p.tileWidth, run.to)
			if !p.packRows(a, dst, run, [2]int{left, right}, n) {
				p.todo = append(p.todo, [2]int{left, right})
			}
		}
	}
	if p.evaluator != nil {
		return p.packComputed(a, dst, n)
	}
	for _, group := range p.todo {
		for at := 0; at < n; at += tileRows {
			if err := p.packTile(a, dst[at*p.binding.Width:], group, at, min(tileRows, n-at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// packComputed writes the groups of columns that are left and the wide features, all of
// a tile after each other: what several features are made of is computed once for them.
func (p *numberPacker[D]) packComputed(a *Assembler, dst []D, n int) error {
	for at := 0; at < n; at += tileRows {
		rows := dst[at*p.binding.Width:]
		p.evaluator.Tile(at, min(tileRows, n-at))
		for _, group := range p.todo {
			if err := p.packTile(a, rows, group, at, min(tileRows, n-at)); err != nil {
				return err
			}
		}
		for i := range p.binding.Features {
			if f := &p.binding.Features[i]; f.Program != nil && f.Program.Wide() {
				if err := p.computedWide(a, i, rows, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// packTile writes some rows of columns that no kernel takes as they are: it
// converts those that are not the tensor's elements.
func (p *numberPacker[D]) packTile(a *Assembler, dst []D, group [2]int, at, rows int) error {
	g, width := &p.group, p.binding.Width
	left, right := group[0], group[1]
	dst = dst[p.binding.Features[left].Offset:]
	columns := p.converted[:0]
	for i := left; i < right; i++ {
		s := &p.stretches[i]
		if s.direct != nil {
			columns = append(columns, kernel.ColumnOf(s.direct[at:at+rows], s.validity, s.bit+at, s.fill))
			continue
		}
		column := p.scratch[(i-left)*tileRows:][:rows]
		if err := p.fillTile(a, i, column, at); err != nil {
			return err
		}
		columns = append(columns, kernel.ColumnOf(column, nil, 0, s.fill))
	}
	p.converted, g.Columns = columns, columns
	if g.Rows(dst, width, 0, rows) {
		return nil
	}
	for i := left; i < right; i++ {
		s, column := &p.stretches[i], p.scratch[(i-left)*tileRows:][:rows]
		if s.direct != nil && s.nulls == 0 {
			column = s.direct[at : at+rows]
		} else if s.direct != nil {
			kernel.CopyFill(column, s.direct[at:], s.validity, s.bit+at, s.fill)
		}
		p.columns[i-left] = column
	}
	kernel.Transpose(dst, width, p.columns[:right-left], rows)
	return nil
}

// packRows writes columns as rows where one kernel does it all, and reports
// whether it did.
//
// Kernels take eight columns at a time: the last ones of a wide row are made
// eight by columns that are done already.
func (p *numberPacker[D]) packRows(a *Assembler, dst []D, run columnRun, group [2]int, n int) bool {
	g := &p.group
	left, right := group[0], group[1]
	first := max(run.from, min(left, right-kernel.StepColumns))
	for i := first; i < right; i++ {
		if !p.stretches[i].numbers {
			return false
		}
	}
	g.Columns = p.sources[first:right]
	if !g.Rows(dst[p.binding.Features[first].Offset:], p.binding.Width, 0, n) {
		return false
	}
	for i, count := range g.Rounded[left-first : right-first] {
		if count > 0 && p.lossy != AllowLossy {
			return false // the tile finds which
		}
		a.counts.Features[p.index][left+i].Rounded += count
	}
	return true
}

// packOne writes a column or vector input, whose values need no transpose.
func (p *numberPacker[D]) packOne(a *Assembler, dst []D, n int) error {
	s, width := &p.stretches[0], p.binding.Width
	if p.evaluator != nil {
		for at := 0; at < n; at += tileRows {
			p.evaluator.Tile(at, min(tileRows, n-at))
			if err := p.computedOne(a, dst[at:min(at+tileRows, n)], at); err != nil {
				return err
			}
		}
		return nil
	}
	if s.starts == nil {
		for at := 0; at < n*width; at += runValues {
			if err := p.fillTile(a, 0, dst[at:min(at+runValues, n*width)], at); err != nil {
				return err
			}
		}
		return nil
	}
	for r := range n {
		item := dst[r*width : (r+1)*width]
		start, null := s.row(r)
		if null {
			kernel.Fill(item, p.fills[0])
			continue
		}
		if err := p.fillTile(a, 0, item, start); err != nil {
			return err
		}
	}
	return nil
}

// misfit is a value that a tile's cast does not allow.
type misfit struct {
	at      int // in the tile
	rounded bool
}

// fillTile converts the values at.. of a feature into dst and fills its nulls.
func (p *numberPacker[D]) fillTile(a *Assembler, feature int, dst []D, at int) error {
	s := &p.stretches[feature]
	switch {
	case p.binding.Features[feature].Program != nil && p.linear[feature] == nil:
		return p.computedColumn(a, feature, dst, at)
	case s.allNull:
		kernel.Fill(dst, s.fill)
		return nil
	case s.direct != nil && s.nulls > 0:
		kernel.CopyFill(dst, s.direct[at:], s.validity, s.bit+at, s.fill)
		return nil
	case s.direct != nil:
		copy(dst, s.direct[at:])
		return nil
	}
	if err := s.prepare(p.binding.Input.Elem); err != nil {
		return err
	}
	res := s.convert(dst, at)
	if bad := p.judge(res); bad == nil {
		a.counts.Features[p.index][feature].Rounded += res.Inexact
	} else if !a.rejectBad {
		return p.badValue(a, feature, at+bad.at, bad)
	} else {
		p.sift(a, feature, dst, at)
	}
	if s.nulls > 0 && !s.filled {
		kernel.FillNulls(dst, s.validity, s.bit+at, s.fill)
	}
	return nil
}

// judge finds the first value that is not allowed; nil when all are.
func (p *numberPacker[D]) judge(res kernel.CheckResult) *misfit {
	rounds := p.lossy != AllowLossy && res.Inexact > 0
	switch {
	case rounds && (res.OutOfRange < 0 || res.FirstInexact < res.OutOfRange):
		return &misfit{at: res.FirstInexact, rounded: true}
	case res.OutOfRange >= 0:
		return &misfit{at: res.OutOfRange}
	default:
		return nil
	}
}

// sift converts values one by one, and rejects the rows of those that are not
// allowed.
func (p *numberPacker[D]) sift(a *Assembler, feature int, dst []D, at int) {
	s := &p.stretches[feature]
	for i := range dst {
		res := s.convert(dst[i:i+1], at+i)
		bad := p.judge(res)
		if bad == nil {
			a.counts.Features[p.index][feature].Rounded += res.Inexact
			continue
		}
		dst[i] = 0
		if !a.rejected(p.binding, feature, s.rowOf(at+i)) {
			_ = p.badValue(a, feature, at+i, bad) // is nil: the row is rejected
		}
	}
}

// badValue deals with a value of a feature that its cast does not allow.
func (p *numberPacker[D]) badValue(a *Assembler, feature, value int, bad *misfit) error {
	reason, advice := "does not fit", "correct the data, or export the model with a wider input"
	if bad.rounded {
		reason, advice = "would be rounded to fit", "allow it by --allow-lossy-casts, or correct the data"
	}
	s, in := &p.stretches[feature], &p.binding.Input
	reason = fmt.Sprintf("value %s %s %s, which model input %q wants", s.text(value), reason, in.Elem, in.Name)
	return a.bad(p.binding, feature, s.rowOf(value), reason, advice)
}
