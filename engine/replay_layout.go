package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// layout is how a run's input fell into spans and parts.
type layout struct {
	files  []string // in the order of the manifest
	spans  [][]int64
	passed [][]int64 // of spans, the rows that pass the filter; nil where the run had none
	parts  []dataset.Part
	opened map[int]int // the place in the plan's dataset of each file that it has
}

// recordedLayout is the layout by a manifest alone; nil where it lists no spans.
func recordedLayout(m *ledger.Manifest, partRows int64) (*layout, error) {
	l := &layout{}
	var total, filtered int64
	passed := make([][]int64, len(m.Inputs))
	for i := range m.Inputs {
		in := &m.Inputs[i]
		spans := make([]int64, len(in.Spans))
		var rows int64
		for s, span := range in.Spans {
			if span.Read < 0 || span.Read > math.MaxInt64-total {
				return nil, fmt.Errorf("%w: the manifest gives a span of %q %d rows", ledger.ErrUnsound, in.Path, span.Read)
			}
			if span.Filtered < 0 || span.Filtered > span.Read {
				return nil, fmt.Errorf("%w: the manifest gives a span of %q %d rows, and %d of them filtered", ledger.ErrUnsound, in.Path, span.Read, span.Filtered)
			}
			spans[s], rows, total = span.Read, rows+span.Read, total+span.Read
			passed[i], filtered = append(passed[i], span.Read-span.Filtered), filtered+span.Filtered
		}
		if rows != in.Rows {
			return nil, nil //nolint:nilnil // not listed, or not all of them: the files tell
		}
		l.files, l.spans = append(l.files, in.Path), append(l.spans, spans)
	}
	l.parts = dataset.Cut(l.spans, partRows)
	if filtered > 0 {
		l.passed = passed
	}
	return l, nil
}

// rowsOf are the rows of a span that were cut into batches.
func (l *layout) rowsOf(s dataset.SpanRef) int64 {
	if l.passed == nil {
		return s.Rows
	}
	return l.passed[s.File][s.Span]
}

// rowsOfPart are those of a part.
func (l *layout) rowsOfPart(part int) (rows int64) {
	for _, s := range l.parts[part].Spans {
		rows += l.rowsOf(s)
	}
	return rows
}

// layout is that of a plan over all files.
func (p *Plan) layout() *layout {
	l := &layout{parts: p.Parts, opened: map[int]int{}}
	for i, f := range p.Dataset.Files() {
		l.files, l.opened[i] = append(l.files, f.Path), i
	}
	return l
}

// fits makes sure that the parts are those that the manifest counts.
func (l *layout) fits(m *ledger.Manifest) error {
	if err := m.CheckWritten(); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrUnsound, err)
	}
	same := len(l.parts) == len(m.Parts)
	for i := 0; same && i < len(m.Parts); i++ {
		same = l.parts[i].Rows == m.Parts[i].Read && l.rowsOfPart(i) == m.Parts[i].Read-m.Parts[i].Filtered
	}
	if !same {
		return fmt.Errorf("%w: the input falls into other parts than the manifest counts, so that it cannot be told which row is which", format.ErrChanged)
	}
	return nil
}

// near lists the files with the batches of the rows found, whose model is not read
// yet: it may join spans or not.
func (l *layout) near(found []*hit, batchRows int64) []int {
	var files []int
	for _, f := range found {
		var at int64
		for _, s := range l.parts[f.part].Spans {
			rows := l.rowsOf(s)
			if rows > 0 && at < f.place+min(batchRows, math.MaxInt64-f.place) && at+rows > f.place-batchRows {
				files = append(files, s.File)
			}
			at += rows
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// open says which files a dataset has, and makes sure that their spans are those
// recorded.
func (l *layout) open(data *dataset.Dataset, files []int) error {
	l.opened = map[int]int{}
	for at, file := range files {
		spans := data.Spans(at)
		same := len(spans) == len(l.spans[file])
		for s := 0; same && s < len(spans); s++ {
			same = spans[s].Rows == l.spans[file][s]
		}
		if !same {
			return fmt.Errorf("%w: input %q has other spans than the manifest lists", format.ErrChanged, l.files[file])
		}
		l.opened[file] = at
	}
	return nil
}

// batchOf is the batch that a row of a part was in: its first row and how many it
// has.
func (l *layout) batchOf(p *Plan, part int, place int64) (first, n int64) {
	spans := make([]batcher.SpanRows, len(l.parts[part].Spans))
	for i, s := range l.parts[part].Spans {
		spans[i] = batcher.SpanRows{Announced: s.Rows, Cut: l.rowsOf(s)}
	}
	return batcher.BatchAround(spans, p.Options.BatchRows, p.joining, place)
}

// filesOf lists the files of the parts in which rows were found.
func (l *layout) filesOf(found []*hit) (files []int) {
	for _, f := range found {
		for _, s := range l.parts[f.part].Spans {
			files = append(files, s.File)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
