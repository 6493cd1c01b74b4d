package feature

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// Evaluator computes programs over rows of record batches, a tile at a time:
//
//	Open(a record batch, its first row)
//	    Tile(rows of it)
//	        Compute(a program) -> a Result, valid until the next Compute
//	Close
//
// What several programs of a tile are made of is computed once: earlier features, and
// the codes of a column's texts. An Evaluator belongs to one goroutine, and borrows the
// record batch until Close.
//
// A feature's chain works in place, on one lane of TileRows values in each form that it
// takes, which stay in the first level of cache. Lanes that no other feature reads are
// one and the same.
type Evaluator struct {
	runs    map[*Program]*run
	sources map[string]*source
	order   []*source
	field   func(column string) int

	tile    tile
	at      int // of the tile's first row, in the segment
	stamp   int // of the tile
	scratch *lane
	spare   []*lane // of columns that a transform combines
	result  Result
}

// run is a program with what computing it needs.
type run struct {
	program *Program
	feeds   []feed
	steps   []runner
	lane    *lane // its own where others read it, else the evaluator's scratch
	shared  bool
	stamp   int // of the tile that lane is of
}

// feed is where values come from: a column or a run.
type feed struct {
	source *source
	run    *run
	form   form
}

// Result is what a program gives for a tile, one value a row where nothing else is
// said; which fields it has is said by the program's Values. It is borrowed from the
// Evaluator.
type Result struct {
	Numbers []float64 // of Numbers, and the first of Pairs
	Seconds []float64 // of Pairs
	Ints    []int64   // of Integers and Unsigned
	Slots   []int32   // of OneOf: which of the row's values is 1; -1: none
	// Marks say which rows have no value; nil where all do.
	Marks []Mark
	// Problems are the rows that are bad, in no order; a row may have several.
	Problems []Problem

	lane *lane
}

// Text is the value of a row of Texts that is present; it is borrowed until the next
// Tile.
func (r *Result) Text(row int) []byte { return r.lane.texts.text(r.lane.c[row]) }

// NewEvaluator makes an Evaluator of programs that are computed, and of those that they
// are made of. field is the index of a column in the record batches.
func NewEvaluator(programs []*Program, field func(column string) int) *Evaluator {
	e := &Evaluator{runs: map[*Program]*run{}, sources: map[string]*source{}, field: field, scratch: newLane()}
	for _, p := range programs {
		e.add(p)
	}
	e.passTexts()
	return e
}

// mostGlances is how many programs may glance at each text of a column: as many as take the time
// that it takes to look up the text.
const mostGlances = 4

// passTexts has the texts of columns pass that programs only glance at.
func (e *Evaluator) passTexts() {
	glances, looks := map[*source]int{}, map[*source]int{}
	for _, r := range e.runs {
		for _, f := range r.feeds {
			if r.program.glances() {
				glances[f.source]++
			} else {
				looks[f.source]++
			}
		}
	}
	for _, s := range e.order {
		s.pass = looks[s] == 0 && glances[s] <= mostGlances
	}
}

// add makes the run of a program, after those of what it is made of.
func (e *Evaluator) add(p *Program) *run {
	if r, ok := e.runs[p]; ok {
		return r
	}
	r := &run{program: p, lane: e.scratch, stamp: -1}
	for _, in := range p.inputs {
		f := feed{form: in.is.form}
		if in.from != nil {
			f.run = e.add(in.from)
			f.run.share()
		} else {
			f.source = e.source(in)
		}
		r.feeds = append(r.feeds, f)
	}
	for i := range p.steps {
		r.steps = append(r.steps, p.steps[i].make())
	}
	e.runs[p] = r
	return r
}

// share gives a run a lane of its own.
func (r *run) share() {
	if !r.shared {
		r.shared, r.lane = true, newLane()
	}
}

func (e *Evaluator) source(in input) *source {
	s, ok := e.sources[in.column]
	if !ok {
		s = newSource(in.column, e.field(in.column), in.is)
		e.sources[in.column] = s
		e.order = append(e.order, s)
	}
	return s
}

// Open takes up rows of a record batch, from one on. Its error wraps ErrType or
// ErrDamaged.
func (e *Evaluator) Open(record arrow.RecordBatch, from, rows int) error {
	for _, s := range e.order {
		if err := s.open(record, from, rows); err != nil {
			return fmt.Errorf("column %q: %w", s.column, err)
		}
	}
	return nil
}

// Close gives up the record batch.
func (e *Evaluator) Close() {
	for _, s := range e.order {
		s.close()
	}
}

// Tile turns to n rows, TileRows at most, from a row of the segment on.
func (e *Evaluator) Tile(at, n int) {
	e.at, e.tile.n = at, n
	e.stamp++
	for _, s := range e.order {
		s.begin(n)
	}
}

// Compute computes a program of the tile. Its error wraps ErrDamaged.
func (e *Evaluator) Compute(p *Program) (*Result, error) {
	e.tile.problems = e.tile.problems[:0]
	r := e.runs[p]
	if err := e.run(r); err != nil {
		return nil, err
	}
	l, n := r.lane, e.tile.n
	e.result = Result{Numbers: l.f[:n], Ints: l.i[:n], Slots: l.c[:n], Problems: e.tile.problems, lane: l}
	if l.g != nil {
		e.result.Seconds = l.g[:n]
	}
	if l.marked {
		e.result.Marks = l.marks[:n]
	}
	return &e.result, nil
}

// run computes a run's lane, where the tile's is not there.
func (e *Evaluator) run(r *run) error {
	if r.shared && r.stamp == e.stamp {
		return nil
	}
	e.name(r)
	for i := range r.feeds {
		if from := r.feeds[i].run; from != nil {
			if err := e.run(from); err != nil {
				return err
			}
		}
	}
	e.name(r)
	var err error
	if r.program.combine != nil {
		err = e.combine(r)
	} else {
		err = e.feed(r.feeds[0], r.lane)
	}
	if err != nil {
		return err
	}
	for _, step := range r.steps {
		step(&e.tile, r.lane)
	}
	r.stamp = e.stamp
	return nil
}

// name notes whose rows are computed; a program without a name is part of the one that
// asks for it.
func (e *Evaluator) name(r *run) {
	if name := r.program.Name(); name != "" {
		e.tile.feature = name
	}
}

// feed puts a column's or a run's values into a lane.
func (e *Evaluator) feed(f feed, l *lane) error {
	var from *lane
	switch {
	case f.run != nil:
		from = f.run.lane
	case f.source.lane == nil:
		return f.source.read(&e.tile, l, e.at)
	default:
		from = f.source.lane
		if f.source.stamp != e.stamp {
			if err := f.source.read(&e.tile, from, e.at); err != nil {
				return err
			}
			f.source.stamp = e.stamp
		}
	}
	l.take(from, f.form, e.tile.n)
	return nil
}

// combine computes the first transform of a run of several columns.
func (e *Evaluator) combine(r *run) error {
	in := make([]*lane, len(r.feeds))
	for i, f := range r.feeds {
		if in[i] = nil; f.run != nil {
			in[i] = f.run.lane
		} else {
			if i >= len(e.spare) {
				e.spare = append(e.spare, make([]*lane, i+1-len(e.spare))...)
			}
			if e.spare[i] == nil {
				e.spare[i] = newLane()
			}
			in[i] = e.spare[i]
			if err := e.feed(f, in[i]); err != nil {
				return err
			}
		}
		if convert := toFloat(f.form); convert != nil {
			convert(&e.tile, in[i])
		}
	}
	r.lane.marked = false
	for _, l := range in {
		r.lane.join(l)
	}
	r.program.combine(&e.tile, in, r.lane)
	return nil
}
