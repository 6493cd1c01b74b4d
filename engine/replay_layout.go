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
	parts  []dataset.Part
	opened map[int]int // the place in the plan's dataset of each file that it has
}

// recordedLayout is the layout by a manifest alone; nil where it lists no spans.
func recordedLayout(m *ledger.Manifest, partRows int64) (*layout, error) {
	l := &layout{}
	var total int64
	for i := range m.Inputs {
		in := &m.Inputs[i]
		spans := make([]int64, len(in.Spans))
		var rows int64
		for s, span := range in.Spans {
			if span.Read < 0 || span.Read > math.MaxInt64-total {
				return nil, fmt.Errorf("%w: the manifest gives a span of %q %d rows", ledger.ErrUnsound, in.Path, span.Read)
			}
			spans[s], rows, total = span.Read, rows+span.Read, total+span.Read
		}
		if rows != in.Rows {
			return nil, nil //nolint:nilnil // not listed, or not all of them: the files tell
		}
		l.files, l.spans = append(l.files, in.Path), append(l.spans, spans)
	}
	l.parts = dataset.Cut(l.spans, partRows)
	return l, nil
}

// layout is that of a plan over all files.
func (p *Plan) layout() *layout {
	l := &layout{parts: p.Parts, opened: map[int]int{}}
	for i, f := range p.Dataset.Files() {
		l.files, l.opened[i] = append(l.files, f.Path), i
	}
	return l
}

func everyFile(n int) []int {
	files := make([]int, n)
	for i := range files {
		files[i] = i
	}
	return files
}

// fits makes sure that the parts are those that the manifest counts.
func (l *layout) fits(m *ledger.Manifest) error {
	same := len(l.parts) == len(m.Parts) && (len(m.Outputs) == len(m.Parts) || len(m.Outputs) == 1)
	for i := 0; same && i < len(m.Parts); i++ {
		same = l.parts[i].Rows == m.Parts[i].Read && m.Parts[i].Filtered == 0
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
			if s.Rows > 0 && at < f.place+min(batchRows, math.MaxInt64-f.place) && at+s.Rows > f.place-batchRows {
				files = append(files, s.File)
			}
			at += s.Rows
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
	spans := make([]int64, len(l.parts[part].Spans))
	for i, s := range l.parts[part].Spans {
		spans[i] = s.Rows
	}
	return batcher.BatchAround(spans, p.Options.BatchRows, p.joining, place)
}

// originOf is the input file and row at a place in a part.
func (l *layout) originOf(part int, place int64) (file string, row int64) {
	at, row := l.fileOf(part, place)
	if at < 0 {
		return "", -1
	}
	return l.files[at], row
}

// fileOf is originOf with the file's place among all; below 0 where there is none.
func (l *layout) fileOf(part int, place int64) (file int, row int64) {
	for _, s := range l.parts[part].Spans {
		if place < s.Rows {
			return s.File, s.FirstRow + place
		}
		place -= s.Rows
	}
	return -1, -1
}
