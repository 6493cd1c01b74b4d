package kernel

import (
	"math"
	"unsafe"
)

// Affine is what fill, clip and scale come to: a linear function of a column's
// numbers, with bounds. A number x, held as a float64, becomes
//
//	y = (x-Sub)*Mul/Div + Add
//
// rounded to a float64 after each operation, and then to the element. What is less
// than Lo, rounded like y, becomes Lo, and what is more than Hi becomes Hi. NaN
// stays NaN, or becomes Fill, as nulls do.
//
// Rounding keeps order, so bounds of y are bounds of x: a clip before the function
// is one after it. Only a zero may have the other sign where y underflows.
//
// Mul and Div are finite and not 0, Sub and Add are finite, and Lo is not above Hi. To
// add -0 changes nothing, to add 0 makes it of a -0. Kernels are for functions that
// subtract and divide, or multiply and add; float32 on their way to a float32 pass any
// function, and come out as y rounded or the number beside it (see narrowLine).
type Affine struct {
	Sub, Mul, Div, Add float64
	Lo, Hi             float64 // infinite: no bound
	Fill               float64 // takes no part in function and bounds
	FillNaN            bool
}

// Identity is the function that changes nothing.
var Identity = Affine{Mul: 1, Div: 1, Add: math.Copysign(0, -1), Lo: math.Inf(-1), Hi: math.Inf(1)}

// At is the function of one number, without the bounds.
func (a *Affine) At(x float64) float64 {
	// Conversions keep a compiler from fusing operations.
	return float64(float64(x-a.Sub)*a.Mul)/a.Div + a.Add
}

// leastReciprocal is where reciprocals begin to lose digits.
const leastReciprocal = 0x1p-1000

// multiplied is the function with its division as a multiplication, where that does:
// a float32 of its result is the same but where the quotient is within 2 ulp of float64
// of being between two, and then may be the other of them.
func (a Affine) multiplied() Affine {
	if r := 1 / a.Div; a.Mul == 1 && math.Abs(r) > leastReciprocal && !math.IsInf(r, 0) {
		a.Mul, a.Div = r, 1
	}
	return a
}

// Clip is the function after which x has been bounded: less than lo becomes lo, more
// than hi becomes hi.
func (a Affine) Clip(lo, hi float64) Affine {
	least, most := a.At(lo), a.At(hi)
	if least > most {
		least, most = most, least
	}
	// A clip that is outside of these bounds still ends at them.
	a.Lo, a.Hi = min(max(a.Lo, least), a.Hi), max(min(a.Hi, most), a.Lo)
	return a
}

// FillAffine writes len(dst) values of a function of src, and its fill where the
// validity bit is 0. bit is the bitmap's bit of src[0]. OutOfRange is the first
// value whose y is finite and no D; nothing else is reported, as to round is what
// such a function is for.
func FillAffine[S, D Number](dst []D, src []S, validity []byte, bit int, line *Line[D]) CheckResult {
	return fillAffine(best, dst, src[:len(dst)], validity, bit, line)
}

func fillAffine[S, D Number](l *level, dst []D, src []S, validity []byte, bit int, line *Line[D]) CheckResult {
	k, done := l.affineValues[kindOf[S]()][kindOf[D]()], 0
	narrow := line.narrows(kindOf[S]())
	if narrow {
		k = l.narrowValues
	}
	column := rowColumn{fill: bitsOf(D(line.Fill)), line: line.row}
	for k != nil && (narrow || line.kernels) && len(dst)-done >= block {
		n := min(len(dst)-done, rowBits) &^ (block - 1)
		from, at := pointer(allValid), 0
		if validity != nil {
			from, at = bitsFrom(validity, bit+done, n)
		}
		if k(pointer(dst[done:]), pointer(src[done:]), (*byte)(unsafe.Pointer(&column)), n, from, at) != 0 {
			break // the plain loop finds which
		}
		done += n
	}
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	if narrow {
		return Merge(res, fillNarrowPlain(Of[float32](Bytes(dst[done:])), Of[float32](Bytes(src[done:])), validity, bit+done, line), done)
	}
	return Merge(res, fillAffinePlain(dst[done:], src[done:], validity, bit+done, &line.Affine), done)
}

func fillAffinePlain[S, D Number](dst []D, src []S, validity []byte, bit int, a *Affine) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	lo, hi, fill := D(a.Lo), D(a.Hi), D(a.Fill)
	for i, v := range src {
		y := a.At(float64(v))
		d := D(y)
		if d < lo {
			d = lo
		}
		if d > hi {
			d = hi
		}
		switch {
		case !isValid(validity, bit+i) || y != y && a.FillNaN:
			d = fill
		case math.IsInf(float64(d), 0) && !math.IsInf(y, 0) && res.OutOfRange < 0:
			res.OutOfRange = i
		}
		dst[i] = d
	}
	return res
}

// rowLine is what kernels know about a column's function; see asm.
type rowLine struct {
	mul0, add0, mul1, add1 float64
	least, most            uint64 // bits of elements
	keepNaN, fix           uint64
	narrow                 narrowLine
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
	narrow  bool // float32 pass it in float32 arithmetic
	bounds  bool // are all that it has
}

// NewLine prepares a function. On its way to a float32 it multiplies by the reciprocal
// where it would divide.
func NewLine[D Number](a Affine) *Line[D] {
	nothing := a.Add == 0 && math.Signbit(a.Add)
	l := &Line[D]{bounds: a.Sub == 0 && a.Mul == 1 && a.Div == 1 && nothing}
	if sizeOf[D]() == 4 {
		a = a.multiplied()
		l.kernels = a.Div == 1 && (a.Sub == 0 || a.Add == 0)
		_, l.narrow = narrowLineOf(&a)
	} else {
		l.kernels = a.Sub == 0 || a.Mul == 1
	}
	l.Affine, l.row = a, rowLineOf[D](&a)
	return l
}

func rowLineOf[D Number](a *Affine) rowLine {
	row := rowLine{
		least: bitsOf(D(a.Lo)), most: bitsOf(D(a.Hi)), keepNaN: math.MaxUint64, fix: fixNothing,
	}
	switch wide := sizeOf[D]() == 8; {
	case a.Sub == 0: // x*Mul/Div + Add, and one of these divides by 1
		row.mul0, row.add0, row.mul1, row.add1 = a.Mul, math.Copysign(0, -1), a.Div, a.Add
	case wide: // (x-Sub)/Div + Add
		row.mul0, row.add0, row.mul1, row.add1 = 1, -a.Sub, a.Div, a.Add
	default: // (x-Sub)*Mul
		row.mul0, row.add0, row.mul1, row.add1 = 1, -a.Sub, a.Mul, a.Add
	}
	if a.FillNaN {
		row.keepNaN, row.fix = 0, fixNaN
	}
	row.narrow, _ = narrowLineOf(a)
	return row
}

// Through has the column's values pass a function, which it borrows; its fill counts.
func (c Column[D]) Through(l *Line[D]) Column[D] {
	c.line, c.fill = l, bitsOf(D(l.Fill))
	return c
}

// setLines prepares the group's functions, and says whether there are any. A column
// without one passes the identity.
func (g *Group[D]) setLines() (some bool) {
	for i := range g.Columns {
		some = some || g.Columns[i].line != nil
	}
	if !some {
		return false
	}
	for i := range g.Columns {
		if l := g.Columns[i].line; l != nil {
			g.args.columns[i].line = l.row
		} else {
			g.args.columns[i].line = rowLineOf[D](&Identity)
		}
	}
	return true
}

// linesKernel is the kernel for columns of which some pass functions; the zero one
// where there is none. No value of a type that D widens notices the identity; what
// other casts round has to be counted.
func (g *Group[D]) linesKernel(l *level) *rowsKernel {
	from, to := g.Columns[0].kind, kindOf[D]()
	bounds, narrow, wide := from == to, true, true
	for i := range g.Columns {
		c := &g.Columns[i]
		switch {
		case c.line == nil && !c.widens:
			return &rowsKernel{}
		case c.line != nil:
			bounds = bounds && c.line.bounds
			narrow = narrow && c.line.narrows(from)
			wide = wide && c.line.kernels && !c.line.narrows(from)
		}
	}
	switch {
	case bounds:
		return &l.bounds[from]
	case narrow:
		return g.narrowKernel(l)
	case wide:
		return &l.affines[from][to]
	default:
		return &rowsKernel{}
	}
}
