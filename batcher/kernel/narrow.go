package kernel

import "math"

// narrowLine is a function of float32 on its way to a float32, in float32 arithmetic
// with what that rounds away carried along: as float64 it would take twice the
// registers, and half its operations only to get there and back. zero is the float32
// nearest to where the function is 0, add its value there, and slope + rest its
// slope. Where d = x - zero,
//
//	y = d*slope + (d*rest + add)
//
// each bracket and the whole rounded once. Near the function's zero d is exact
// (Sterbenz), elsewhere it is within half a float32 step; so y is the float32 of the
// function, or the one beside it. slope is the slope cut off, so that rest has its
// sign: y is monotonic, and an infinite x stays infinite.
type narrowLine struct{ zero, slope, rest, add float32 }

// Kinds of groups whose columns pass narrow functions, by what these do with NaN.
const (
	narrowFills = iota // all fill it
	narrowKeeps        // none
	narrowMixed
	narrowKinds
)

// narrowKernel is the kernel for a group of such columns.
func (g *Group[D]) narrowKernel(l *level) *rowsKernel {
	fill := 0
	for i := range g.Columns {
		if c := &g.Columns[i]; c.line != nil && c.line.FillNaN {
			fill++
		}
	}
	switch fill {
	case 0:
		return &l.narrow[narrowKeeps]
	case len(g.Columns):
		return &l.narrow[narrowFills]
	default:
		return &l.narrow[narrowMixed]
	}
}

// acrossLines has what a kernel computes whole rows by: of each parameter of a narrow
// function, and of what fills nulls, that of all columns side by side. See asm.
type acrossLines [acrossParams][rowColumns]uint32

const (
	acrossZero = iota
	acrossSlope
	acrossRest
	acrossAdd
	acrossLeast
	acrossMost
	acrossFill
	acrossParams
)

// setAcross is from the columns' functions; their fills are there.
func (a *rowArgs) setAcross() {
	for i := range a.columns {
		c, n := &a.columns[i], &a.columns[i].line.narrow
		a.across[acrossZero][i] = math.Float32bits(n.zero)
		a.across[acrossSlope][i] = math.Float32bits(n.slope)
		a.across[acrossRest][i] = math.Float32bits(n.rest)
		a.across[acrossAdd][i] = math.Float32bits(n.add)
		a.across[acrossLeast][i] = uint32(c.line.least)
		a.across[acrossMost][i] = uint32(c.line.most)
	}
}

// narrowest and narrowMost bound slopes and zeros so that nothing but y overflows and
// no rest loses digits.
const narrowLeast, narrowMost = 0x1p-60, 0x1p60

// narrowLineOf is an Affine's; false where its numbers are too large or too small.
func narrowLineOf(a *Affine) (n narrowLine, ok bool) {
	slope := a.Mul / a.Div
	zero := a.Sub - a.Add/slope
	if s := math.Abs(slope); !(s >= narrowLeast && s <= narrowMost && math.Abs(zero) <= narrowMost) {
		return narrowLine{}, false
	}
	n.zero = float32(zero)
	n.slope = cutOff(slope)
	if n.rest = float32(slope - float64(n.slope)); n.rest == 0 {
		n.rest = n.slope * 0x1p-50 // what it adds is rounded away
	}
	// What is 0 as a product has its sign, unless something is added.
	if n.add = float32(a.At(float64(n.zero))); n.add == 0 && a.Add == 0 {
		n.add = float32(a.Add)
	}
	return n, true
}

// cutOff rounds towards 0.
func cutOff(x float64) float32 {
	y := float32(x)
	if math.Abs(float64(y)) > math.Abs(x) {
		y = math.Nextafter32(y, 0)
	}
	return y
}

// at is the function of one number. What fma32 does is here again, so that a number costs
// no calls but where a rounding hangs on the last digit.
func (n *narrowLine) at(x float32) float32 {
	d := x - n.zero
	wide := float64(d)
	rest := float64(wide*float64(n.rest)) + float64(n.add)
	y := float64(wide*float64(n.slope)) + float64(float32(rest))
	if hangs(rest) || hangs(y) {
		return fma32(d, n.slope, fma32(d, n.rest, n.add))
	}
	return float32(y)
}

// fma32 is x*y + z, rounded once. The product is exact as a float64; their sum is
// rounded to that, and again to a float32.
func fma32(x, y, z float32) float32 {
	product, c := float64(x)*float64(y), float64(z)
	sum := float64(product) + c
	if hangs(sum) {
		sum = roundToOdd(sum, product, c)
	}
	return float32(sum)
}

// hangs says that a float64 which is no exact result may become another float32 than that
// would: it is half way between two of them, or less than the normal ones.
func hangs(x float64) bool {
	const below, half = 1<<29 - 1, 1 << 28 // of the digits that a float32 lacks
	return math.Float64bits(x)&below == half || math.Abs(x) < 0x1p-126
}

// roundToOdd is a sum of two numbers of which the last digit is odd where it is not
// exact, so that to round it again is to round the exact one (Boldo and Melquiond,
// "Emulation of FMA and correctly rounded sums", 2008). sum is a + b, to nearest.
func roundToOdd(sum, a, b float64) float64 {
	// What sum lacks (Knuth, TAOCP 2, 4.2.2, theorem B).
	partB := sum - a
	lack := (a - (sum - partB)) + (b - partB)
	bits := math.Float64bits(sum)
	if lack == 0 || lack != lack || bits&1 == 1 {
		return sum
	}
	if (lack > 0) == (sum > 0) {
		return math.Float64frombits(bits + 1)
	}
	return math.Float64frombits(bits - 1)
}

// narrows says whether values of a kind stay float32 on their way through the line.
func (l *Line[D]) narrows(kind int) bool { return l.narrow && kind == kindF32 }

// fillNarrowPlain is fillAffinePlain for such a line.
func fillNarrowPlain[D Number](dst, src []float32, validity []byte, bit int, l *Line[D]) CheckResult {
	res, n := CheckResult{OutOfRange: -1, FirstInexact: -1}, &l.row.narrow
	lo, hi, fill := float32(l.Lo), float32(l.Hi), float32(l.Fill)
	for i, x := range src {
		y := n.at(x)
		if y < lo {
			y = lo
		}
		if y > hi {
			y = hi
		}
		switch {
		case !isValid(validity, bit+i) || y != y && l.FillNaN:
			y = fill
		case math.IsInf(float64(y), 0) && !math.IsInf(float64(x), 0) && res.OutOfRange < 0:
			res.OutOfRange = i
		}
		dst[i] = y
	}
	return res
}
