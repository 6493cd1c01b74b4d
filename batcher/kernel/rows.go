package kernel

import (
	"slices"
	"unsafe"
)

// Column is a column of numbers on its way into rows of D. It aliases the
// values and the bitmap that it is made of.
type Column[D Number] struct {
	kind     int
	values   *byte
	n        int
	bits     []byte // the values of bools, from bit at on
	at       int
	validity []byte
	bit      int
	fill     uint64
	line     *Line[D] // nil: none
	widens   bool     // every value is a D
}

// ColumnOf is a column of values. Where the validity bit is 0 rows get fill; a
// nil bitmap means that all are valid. bit is the bitmap's bit of src[0].
func ColumnOf[S, D Number](src []S, validity []byte, bit int, fill D) Column[D] {
	return Column[D]{
		kind: kindOf[S](), values: pointer(src), n: len(src),
		validity: validity, bit: bit, fill: bitsOf(fill), widens: widens[S, D](),
	}
}

// rowColumn is what kernels know about a column; see asm.
type rowColumn struct {
	values, bits *byte
	shift        int
	fill         uint64
	rounded      int64
	// signs says how far left a validity bit is shifted to be a sign, of sixteen values
	// of 4 bytes or eight of 8.
	signs [8]uint64
	line  rowLine
}

// rowArgs is what kernels know about a group's columns.
type rowArgs struct {
	columns [rowColumns]rowColumn
	across  acrossLines
	// streamed is 1 where the columns are no longer in a cache when they are read, as far
	// as one can tell from their size.
	streamed uint64
}

const (
	// rowColumns is how many columns a kernel takes at most, rowBits how many
	// rows with validity at a time.
	rowColumns, rowBits = 16, 1 << 15
	// maxColumns is RowColumns of the narrowest type.
	maxColumns = 64
	// stepRows is how many rows a kernel that makes whole steps makes at a time.
	stepRows = 8
	// streamedBytes is the most that a group's columns have from here to their ends where
	// they may be in a cache: a second level holds less, and of a third one a core has more, but
	// then what is decoded and written there, too.
	streamedBytes = 1 << 20
	// bitsRead is how many bytes of a bitmap kernels read at a time, and
	// rowStep how many rows they make at least.
	bitsRead, rowStep = 4, 16
	// leastTurned is how many rows' validity bits are worth to be turned first, as many as
	// a kernel does, and turnedRows how many at a time.
	leastTurned, turnedRows = 128, 4096
)

// signs are those of rowColumn, by the size of a value and the shift.
var signs = func() (t [9][8][8]uint64) {
	for shift := range 8 {
		for i := range 16 {
			left := uint64(31 - shift - i)
			t[4][shift][i/2] |= left << (i % 2 * 32)
			if i < 8 {
				t[8][shift][i] = left << 32
			}
		}
	}
	return t
}()

// StepColumns is how many columns kernels take at a time; where they take fewer,
// rows take as long.
const StepColumns = 8

// allValid is the bitmap of columns without one.
var allValid = slices.Repeat([]byte{0xff}, rowBits/8+bitsRead)

// RowColumns is how many columns a Group of D takes best: a cache line of a row.
func RowColumns[D Number]() int { return 64 / sizeOf[D]() }

// Group is up to RowColumns columns on their way into rows of D, with the space
// that takes; it may be used again.
type Group[D Number] struct {
	Columns []Column[D]
	// Rounded counts by column the values that Rows rounded.
	Rounded [maxColumns]int64
	// doubts is for how many more calls values of a kind are not believed to be easy, as
	// those of one before were not.
	doubts [kinds]int

	args   rowArgs
	ends   [rowColumns][8]byte // the ends of bitmaps
	turned [2]bitRows          // of bools, and of validity
	expand *expandSpace        // for bools
	last   struct {            // the last rows
		args   rowArgs
		values [rowColumns][8 * rowStep]byte
		rows   [64 * (rowStep + 1)]byte
	}
}

// Rows writes rows from to to of the group's columns: dst[r*stride+c] is the
// value from+r of column c, converted like CastFill does it. It does so for
// columns of one type for which this machine has a kernel (with AVX2 none for
// fewer than StepColumns of wider rows), and reports whether it did: where it
// did not, or met a value that is out of range, dst is undefined.
func (g *Group[D]) Rows(dst []D, stride, from, to int) bool {
	return g.rows(best, dst, stride, from, to)
}

func (g *Group[D]) rows(l *level, dst []D, stride, from, to int) bool {
	g.Rounded = [maxColumns]int64{}
	n, width := to-from, len(g.Columns)
	if n == 0 || width == 0 {
		return true
	}
	if width > RowColumns[D]() {
		return false
	}
	kind := g.Columns[0].kind
	k, lines := l.rowsKernel(kind, kindOf[D]()), g.setLines()
	if lines {
		k = g.linesKernel(l)
	}
	if k.valid == nil && (kind != kindBits || lines) {
		return false
	}
	// Here and nowhere else it is checked that all is there.
	dst = dst[:(n-1)*stride+width]
	masked := false
	for i := range g.Columns {
		c := &g.Columns[i]
		if c.kind != kind {
			return false
		}
		if c.n < to || c.validity != nil && len(c.validity)*8 < c.bit+to {
			panic("kernel: a column is too short")
		}
		masked = masked || c.validity != nil
		if kind == kindBits {
			if len(c.bits)*8 < c.at+to {
				panic("kernel: a column is too short")
			}
			continue
		}
	}
	if kind == kindBits {
		return g.rowsBits(l, dst, stride, from, to, masked)
	}
	if l.wholeSteps && width < StepColumns && stride != width {
		return false
	}
	run := rowsRun{size: kindSize(kind), end: to, masked: masked, lines: lines, level: l}
	ok := g.runQuick(k.quick, run, dst, stride, from, to) || g.runAll(run.by(k), dst, stride, from, to)
	for i := range g.Columns {
		g.Rounded[i] = g.args.columns[i].rounded
	}
	return ok
}

// runAll runs a kernel over all rows.
func (g *Group[D]) runAll(r rowsRun, dst []D, stride, from, to int) bool {
	for i := range g.Columns {
		c := &g.Columns[i]
		g.args.columns[i].values, g.args.columns[i].fill, g.args.columns[i].rounded = advance(c.values, from*r.size), c.fill, 0
		g.args.across[acrossFill][i] = uint32(c.fill)
	}
	// What is beyond the width is read, not written.
	for i := len(g.Columns); i < rowColumns; i++ {
		g.args.columns[i] = rowColumn{values: g.args.columns[0].values, bits: pointer(allValid), signs: signs[sizeOf[D]()][0], line: g.args.columns[0].line}
	}
	g.args.streamed = 0
	if len(g.Columns)*(g.Columns[0].n-from)*r.size > streamedBytes {
		g.args.streamed = 1
	}
	if r.lines {
		g.args.setAcross()
	}
	if r.level.wholeSteps {
		return g.runSteps(r, dst, stride, from, to)
	}
	return g.run(r, dst, stride, from, to)
}

// rowsRun is a kernel for values of some size.
type rowsRun struct {
	level          *level
	kernel, turned func(dst, cols *byte, stride, rows, width int) (beyond int)
	size           int
	end            int // the last row's, and one
	ignored        int // of what a kernel says is beyond
	masked, lines  bool
}

// by is the same run by some kernel.
func (r rowsRun) by(k *rowsKernel) rowsRun {
	r.ignored, r.masked = k.ignored, r.masked || k.all == nil
	if r.kernel, r.turned = k.all, nil; r.masked {
		r.kernel, r.turned = k.valid, k.turned
	}
	return r
}

// run runs a kernel over some rows.
func (g *Group[D]) run(r rowsRun, dst []D, stride, from, to int) bool {
	for at := from; at < to; {
		n := to - at
		if r.masked {
			n = g.openBitmaps(r, at, min(n, rowBits))
		}
		if r.kernel(pointer(dst[(at-from)*stride:]), (*byte)(unsafe.Pointer(&g.args)), stride*sizeOf[D](), n, len(g.Columns))&^r.ignored != 0 {
			return false
		}
		at += n
		g.advance(r, at, n)
	}
	return true
}

// advance has all columns' values begin n rows later, with row at, unless they end there:
// then they would point at what is not theirs.
func (g *Group[D]) advance(r rowsRun, at, n int) {
	if at >= r.end {
		return
	}
	for i := range g.args.columns {
		g.args.columns[i].values = advance(g.args.columns[i].values, n*r.size)
	}
}

// runTurned runs a kernel that takes validity bits by rows, as far as it is worth to turn
// them, and gives the row it has come to.
func (g *Group[D]) runTurned(r rowsRun, dst []D, stride, from, to int) (at int, ok bool) {
	for at = from; to-at >= leastTurned; {
		n := min(to-at, turnedRows)
		g.turnBits(r.level, turnedValidity, at, n, (*Column[D]).validBits)
		for i := range g.Columns {
			g.args.columns[i].bits = &g.turned[turnedValidity].rows[i]
		}
		if r.turned(pointer(dst[(at-from)*stride:]), (*byte)(unsafe.Pointer(&g.args)), stride*sizeOf[D](), n, len(g.Columns))&^r.ignored != 0 {
			return at, false
		}
		at += n
		g.advance(r, at, n)
	}
	return at, true
}

// runSteps runs a kernel that makes whole steps. Rows narrower than a step are
// written from the first to the last, each over what the one before it has
// spilled. The last rows are made apart and copied.
func (g *Group[D]) runSteps(r rowsRun, dst []D, stride, from, to int) bool {
	width, n := len(g.Columns), to-from
	even := n &^ (stepRows - 1)
	if width < StepColumns {
		even = max(n-(StepColumns+width-1)/width, 0) &^ (stepRows - 1)
	}
	begin := from
	if r.turned != nil {
		var ok bool
		if begin, ok = g.runTurned(r, dst, stride, from, from+even); !ok {
			return false
		}
	}
	if begin < from+even && !g.run(r, dst[(begin-from)*stride:], stride, begin, from+even) {
		return false
	}
	for at := even; at < n; at += rowStep {
		if !g.runLast(r, dst[at*stride:], stride, from+at, min(from+at+rowStep, to)) {
			return false
		}
	}
	if width > StepColumns && width%StepColumns != 0 {
		// These columns were done twice.
		for i := width - StepColumns; i < width&^(StepColumns-1); i++ {
			g.args.columns[i].rounded /= 2
		}
	}
	return true
}

// runLast makes up to rowStep rows from copies of their values.
func (g *Group[D]) runLast(r rowsRun, dst []D, stride, from, to int) bool {
	const line = 64 // bytes of a row
	n := to - from
	if r.masked {
		g.openBitmaps(r, from, n)
	}
	clear(g.last.values[:])
	clear(g.last.rows[:])
	for i := range g.args.columns {
		v := &g.last.values[i]
		if i < len(g.Columns) {
			copy(v[:], unsafe.Slice(g.args.columns[i].values, n*r.size))
			if to < r.end {
				g.args.columns[i].values = advance(g.args.columns[i].values, n*r.size)
			}
		}
		g.last.args.columns[i] = g.args.columns[i]
		g.last.args.columns[i].values = &v[0]
	}
	g.last.args.across = g.args.across
	beyond := r.kernel(&g.last.rows[0], (*byte)(unsafe.Pointer(&g.last.args)), line, (n+stepRows-1)&^(stepRows-1), len(g.Columns))
	for i := range g.Columns {
		g.args.columns[i].rounded = g.last.args.columns[i].rounded
	}
	for i := range n {
		copy(Bytes(dst[i*stride:][:len(g.Columns)]), g.last.rows[i*line:])
	}
	return beyond&^r.ignored == 0
}

// openBitmaps points to the bitmaps of up to n rows from row at on, and gives
// the number of rows. Kernels read some bytes at a time; so that they do not
// read beyond a bitmap, its end is copied, and for the last rows alone.
func (g *Group[D]) openBitmaps(r rowsRun, at, n int) int {
	short := false
	for i := range g.Columns {
		c := &g.Columns[i]
		short = short || c.validity != nil && len(c.validity) < (c.bit+at+(n-1)&^7)>>3+bitsRead
	}
	if short && n > 2*rowStep {
		n = (n - rowStep - 1) &^ (rowStep - 1)
		short = false
	}
	for i := range g.Columns {
		c, arg := &g.Columns[i], &g.args.columns[i]
		bit := c.bit + at
		switch {
		case c.validity == nil:
			arg.bits, arg.shift = pointer(allValid), 0
		case short:
			copy(g.ends[i][:], c.validity[bit>>3:])
			arg.bits, arg.shift = &g.ends[i][0], bit&7
		default:
			arg.bits, arg.shift = &c.validity[bit>>3], bit&7
		}
		if r.level.wholeSteps {
			arg.signs = signs[sizeOf[D]()][arg.shift]
		}
	}
	return n
}

func advance(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

// rowsKernel is the kernel of a pair of kinds.
func (l *level) rowsKernel(from, to int) *rowsKernel {
	if from == to {
		return &l.rowsSame[kindSize(from)]
	}
	return &l.rows[from][to]
}

// kindSize is the size of a value of a kind.
func kindSize(kind int) int {
	switch kind {
	case kindF32:
		return 4
	case kindF64:
		return 8
	default:
		return 1 << (kind & 3)
	}
}
