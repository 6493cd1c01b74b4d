package feature

// TileRows is how many rows are computed at a time: their lanes stay in the first
// level of cache.
const TileRows = 1024

// Mark says what stands in a row instead of a value.
type Mark uint8

// The marks.
const (
	Present  Mark = iota // there is one
	NullMark             // a null
	DeadMark             // the row is bad, and was reported
)

// lane is a tile of one value a row. Which of its slices hold it is its type's form;
// they have TileRows elements, of which the tile's rows count.
type lane struct {
	f, g  []float64
	i     []int64
	c     []int32 // codes, or another lane's
	codes []int32
	texts *texts // that c are codes of
	// marks stand for values where marked is set. A marked row's value may be
	// anything; its code may be out of range.
	marks  []Mark
	marked bool
}

func newLane() *lane {
	codes := make([]int32, TileRows)
	return &lane{f: make([]float64, TileRows), i: make([]int64, TileRows), c: codes, codes: codes, marks: make([]Mark, TileRows)}
}

// ownCodes are codes that may be written to.
func (l *lane) ownCodes() []int32 {
	copy(l.codes, l.c)
	l.c = l.codes
	return l.codes
}

// mark puts a mark in the place of a row's value.
func (l *lane) mark(row int, m Mark) {
	if !l.marked {
		clear(l.marks)
		l.marked = true
	}
	l.marks[row] = m
}

// at is a row's mark.
func (l *lane) at(row int) Mark {
	if !l.marked {
		return Present
	}
	return l.marks[row]
}

// join takes over the marks of another lane: a row is there where it is in both.
func (l *lane) join(other *lane) {
	if !other.marked {
		return
	}
	for r, m := range other.marks {
		if m > l.at(r) {
			l.mark(r, m)
		}
	}
}

// take takes over n values of another lane, and its codes as they stand.
func (l *lane) take(from *lane, form form, n int) {
	switch form {
	case formInt, formUint, formTime, formShown:
		copy(l.i, from.i[:n])
	case formText:
		l.c, l.texts = from.c, from.texts
	default:
		copy(l.f, from.f[:n])
	}
	if l.marked = from.marked; l.marked {
		copy(l.marks, from.marks)
	}
}

// tile is some rows that are computed at a time.
type tile struct {
	n        int
	problems []Problem
	feature  string // that is computed
}

// Problem is a row of which a feature cannot be computed.
type Problem struct {
	Feature        string
	Row            int // in the tile
	Reason, Advice string
	// Asked says that the feature's own fill is reject.
	Asked bool
}

// bad reports a row, and takes its value away.
func (t *tile) bad(l *lane, row int, reason, advice string) {
	t.problems = append(t.problems, Problem{Feature: t.feature, Row: row, Reason: reason, Advice: advice})
	l.mark(row, DeadMark)
}

// runner computes a transform of a lane in place.
type runner func(t *tile, l *lane)

// each gives the rows that have a value.
func (l *lane) each(n int, row func(r int)) {
	if !l.marked {
		for r := range n {
			row(r)
		}
		return
	}
	for r, m := range l.marks[:n] {
		if m == Present {
			row(r)
		}
	}
}
