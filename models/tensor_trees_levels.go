package models

import "math"

// treeGraph writes the trees of one ensemble. Data is [N,F], and what is of each
// tree [N,T]; in the transposed form they are [F,N] and [T,N], so that rows that
// lie beside each other are taken by threads beside each other.
//
// Where NaN goes is told by the column that a split reads: of the data as they
// are, in which NaN is never at most a threshold, or of a copy in which NaN is
// minus infinity, which always is.
type treeGraph struct {
	*graphBuilder
	transposed bool
	data       string
	columns    int32 // between a feature and its copy without NaN
	most       int   // elements of the largest intermediate tensor, by row
}

// features is the axis of the data that has them.
func (b *treeGraph) features() int {
	if b.transposed {
		return 0
	}
	return 1
}

// perTree is the shape of a constant that has n values of a tree's own, beside
// the rows.
func (b *treeGraph) perTree(n int) []int64 {
	if b.transposed {
		return []int64{int64(n), 1}
	}
	return []int64{1, int64(n)}
}

// prepare makes the data of the ensemble's input.
func (b *treeGraph) prepare(x string, width int, groups []treeGroup) {
	var asIs, filled bool
	for _, g := range groups {
		for _, t := range g.trees {
			for i := range t.nodes {
				if n := &t.nodes[i]; n.leaf < 0 {
					asIs, filled = asIs || !n.nanYes, filled || n.nanYes
				}
			}
		}
	}
	b.data = x
	b.most = max(b.most, width)
	if !filled {
		return
	}
	copied := b.one("Where", b.one("Equal", x, x), x, b.scalar(math.Inf(-1)))
	b.data = copied
	if asIs {
		b.data = b.op("Concat", []string{x, copied}, intAttribute("axis", int64(b.features())))
		b.columns = int32(width)
		b.most = max(b.most, 2*width)
	}
}

func (b *treeGraph) column(n *tensorNode) int32 {
	if n.nanYes {
		return n.feature + b.columns
	}
	return n.feature
}

// levelTable is the splits that one level of the groups may look at. A place
// without a split has the threshold NaN, which sends every row to the no side.
type levelTable struct {
	columns    []int32
	thresholds []float64
}

func newLevelTable(n int) levelTable {
	l := levelTable{columns: make([]int32, n), thresholds: make([]float64, n)}
	for i := range l.thresholds {
		l.thresholds[i] = math.NaN()
	}
	return l
}

func (b *treeGraph) set(l levelTable, i int, n *tensorNode) {
	l.columns[i], l.thresholds[i] = b.column(n), n.threshold
}

// firstLevel compares what all rows look at alike, and says yes or no.
func (b *treeGraph) firstLevel(l levelTable) string {
	n := len(l.columns)
	x := b.gather(b.data, b.int32s([]int64{int64(n)}, l.columns...), b.features())
	return b.one("LessOrEqual", x, b.reals(b.perTree(n), l.thresholds...))
}

// lookup is two constants that a level's columns and thresholds are looked up in.
type lookup struct{ columns, thresholds string }

func (b *treeGraph) lookup(l levelTable) lookup {
	n := []int64{int64(len(l.columns))}
	return lookup{b.int32s(n, l.columns...), b.reals(n, l.thresholds...)}
}

// level compares what each row's place in the table says, and says yes or no.
func (b *treeGraph) level(l lookup, at string) string {
	x := b.op("GatherElements", []string{b.data, b.gather(l.columns, at, 0)}, intAttribute("axis", int64(b.features())))
	return b.one("LessOrEqual", x, b.gather(l.thresholds, at, 0))
}

func (b *treeGraph) add(x, y string) string { return b.one("Add", x, y) }

// choose gives each tree's own value of two, by what its first level says.
func (b *treeGraph) choose(yes string, ifYes, ifNo []int32) string {
	return b.one("Where", yes, b.int32s(b.perTree(len(ifYes)), ifYes...), b.int32s(b.perTree(len(ifNo)), ifNo...))
}

// steps is 0, step, 2*step and so on, one for each tree, all of them plus first.
func steps(n, step int, first int32) []int32 {
	values := make([]int32, n)
	for i := range values {
		values[i] = first + int32(i*step)
	}
	return values
}
