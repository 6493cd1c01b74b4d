package kernel

import "math"

// Affine is what fill, clip and scale come to: a linear function of a column's
// numbers, with bounds. A number x, held as a float64, becomes
//
//	y = (x-Sub)*Mul + Add
//
// rounded to a float64 after each operation, and then to the element. What is less
// than Lo, rounded like y, becomes Lo, and what is more than Hi becomes Hi. NaN
// stays NaN, or becomes the column's fill, as nulls do.
//
// Rounding keeps order, so bounds of y are bounds of x: a clip before the function
// is one after it. Only a zero may have the other sign where y underflows.
//
// Mul is finite and not 0, Sub and Add are finite, and Lo is not above Hi. Kernels
// are for functions whose Sub or Add is 0, which is then left out.
type Affine struct {
	Sub, Mul, Add float64
	Lo, Hi        float64 // infinite: no bound
	FillNaN       bool
}

// Identity is the function that changes nothing.
var Identity = Affine{Mul: 1, Lo: math.Inf(-1), Hi: math.Inf(1)}

// At is the function of one number, without the bounds.
func (a *Affine) At(x float64) float64 {
	// Conversions keep a compiler from fusing operations.
	y := float64(float64(x-a.Sub) * a.Mul)
	if a.Add != 0 {
		y += a.Add
	}
	return y
}

// Clip is the function after which x has been bounded: less than lo becomes lo, more
// than hi becomes hi.
func (a Affine) Clip(lo, hi float64) Affine {
	least, most := a.At(lo), a.At(hi)
	if a.Mul < 0 {
		least, most = most, least
	}
	// A clip that is outside of these bounds still ends at them.
	a.Lo, a.Hi = min(max(a.Lo, least), a.Hi), max(min(a.Hi, most), a.Lo)
	return a
}

// FillAffine writes len(dst) values of the function a of src, and fill where the
// validity bit is 0. bit is the bitmap's bit of src[0]. OutOfRange is the first
// value that is finite and became infinite; nothing else is reported, as to round
// is what such a function is for.
func FillAffine[S, D Number](dst []D, src []S, validity []byte, bit int, fill D, a *Affine) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	lo, hi := D(a.Lo), D(a.Hi)
	for i, v := range src[:len(dst)] {
		x := float64(v)
		y := D(a.At(x))
		if y < lo {
			y = lo
		}
		if y > hi {
			y = hi
		}
		switch {
		case !isValid(validity, bit+i) || y != y && a.FillNaN: //nolint:gocritic // y is NaN
			y = fill
		case math.IsInf(float64(y), 0) && !math.IsInf(x, 0) && res.OutOfRange < 0:
			res.OutOfRange = i
		}
		dst[i] = y
	}
	return res
}

// rowLine is what kernels know about a column's function; see asm.
type rowLine struct {
	mul0, add0, mul1, add1 float64
	least, most            uint64 // bits of elements
	keepNaN, fix           uint64
}

// Tables of VFIXUPIMM: four bits for each class of numbers, the two of NaN first. 0
// leaves the fill, 1 takes the value.
const (
	fixNothing = 0x11111111
	fixNaN     = 0x11111100
)

// Line is an Affine on its way to D, prepared once.
type Line[D Number] struct {
	Affine
	row     rowLine
	kernels bool // know such a function
}

// NewLine prepares a function.
func NewLine[D Number](a Affine) *Line[D] {
	nothing := math.Copysign(0, -1) // x + -0 is x, whatever the sign of a zero
	l := &Line[D]{Affine: a, kernels: a.Sub == 0 || a.Add == 0}
	l.row = rowLine{
		mul0: 1, add0: -a.Sub, mul1: a.Mul, add1: nothing,
		least: bitsOf(D(a.Lo)), most: bitsOf(D(a.Hi)), keepNaN: math.MaxUint64, fix: fixNothing,
	}
	if a.Add != 0 {
		l.row.mul0, l.row.add0, l.row.mul1, l.row.add1 = a.Mul, nothing, 1, a.Add
	}
	if a.FillNaN {
		l.row.keepNaN, l.row.fix = 0, fixNaN
	}
	return l
}

// Through has the column's values pass a function, which it borrows.
func (c Column[D]) Through(l *Line[D]) Column[D] {
	c.line = l
	return c
}

// setLines says whether columns of the group pass functions, and prepares them; ok is
// whether a kernel can do all of them. A column without one passes the identity,
// which no value of a type that D widens notices.
func (g *Group[D]) setLines() (some, ok bool) {
	ok = true
	for i := range g.Columns {
		if l := g.Columns[i].line; l != nil {
			g.args[i].line = l.row
			some, ok = true, ok && l.kernels
		}
	}
	if !some {
		return false, true
	}
	for i := range g.Columns {
		if c := &g.Columns[i]; c.line == nil {
			g.args[i].line = NewLine[D](Identity).row
			ok = ok && c.widens
		}
	}
	return true, ok
}
