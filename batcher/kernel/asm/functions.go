package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// functions are the kernels of functions of float64: those of package math (Go 1.26), operation
// by operation, so that results are the same to the bit.
//
//	func(dst, src *byte, steps int, ...) (hard uint64)
//
// A step is eight values, and there are 64 at most. One with values that a kernel is not for is
// left as it was, and its bit of hard is set. dst may be a source.
func functions() {
	for _, w := range []*wide{{level: "AVX2", lanes: 4, vec: YMM}, {level: "AVX512", lanes: 8, vec: ZMM}} {
		w.log1p()
		w.haversine()
	}
}

// wide computes with registers of some lanes of float64.
type wide struct {
	level string
	lanes int
	vec   func() VecVirtual
}

var constants = map[uint64]Mem{}

// constant is a number in memory, four times.
func constant(v float64) Mem {
	bits := math.Float64bits(v)
	if _, ok := constants[bits]; !ok {
		constants[bits] = table64(fmt.Sprintf("double%016x", bits), func(int) uint64 { return bits })
	}
	return constants[bits]
}

func (w *wide) load(v float64) VecVirtual {
	r := w.vec()
	VBROADCASTSD(constant(v), r)
	return r
}

// instruction is one of two operands and a result, with a register and with a broadcast number.
type instruction struct{ plain, broadcast func(...Op) }

var (
	adds = instruction{VADDPD, VADDPD_BCST}
	subs = instruction{VSUBPD, VSUBPD_BCST}
	muls = instruction{VMULPD, VMULPD_BCST}
	divs = instruction{VDIVPD, VDIVPD_BCST}
	ands = instruction{VANDPD, VANDPD_BCST}
	ors  = instruction{VORPD, VORPD_BCST}
	mins = instruction{VMINPD, VMINPD_BCST}
)

// do computes a with b, which is a register or a number.
func (w *wide) do(i instruction, a Op, b any) VecVirtual {
	r := w.vec()
	switch b := b.(type) {
	case float64:
		if w.lanes == 8 {
			i.broadcast(constant(b), a, r)
		} else {
			i.plain(constant(b), a, r)
		}
	case Op:
		i.plain(b, a, r)
	}
	return r
}

func (w *wide) add(a Op, b any) VecVirtual { return w.do(adds, a, b) }
func (w *wide) sub(a Op, b any) VecVirtual { return w.do(subs, a, b) }
func (w *wide) mul(a Op, b any) VecVirtual { return w.do(muls, a, b) }

// The comparisons, false for NaN but where it says so.
const (
	lessThan     = 0x11
	atMost       = 0x12
	notEqual     = 0x0c
	greaterThan  = 0x1e
	atLeast      = 0x1d
	notLessOrNaN = 0x15 // not less, or NaN
)

// is compares; the mask is one of lanes, or a mask register.
func (w *wide) is(a Op, comparison int, b any) Op {
	var mask Op
	if w.lanes == 8 {
		mask = K()
	} else {
		mask = w.vec()
	}
	switch b := b.(type) {
	case float64:
		if w.lanes == 8 {
			VCMPPD_BCST(U8(comparison), constant(b), a, mask)
		} else {
			VCMPPD(U8(comparison), constant(b), a, mask)
		}
	case Op:
		VCMPPD(U8(comparison), b, a, mask)
	}
	return mask
}

// choose takes yes where the mask is set.
func (w *wide) choose(mask, yes, no Op) VecVirtual {
	r := w.vec()
	if w.lanes == 8 {
		VBLENDMPD(yes, no, mask, r)
	} else {
		VBLENDVPD(mask, yes, no, r)
	}
	return r
}

// either is one mask or the other.
func (w *wide) either(a, b Op) Op {
	if w.lanes == 8 {
		r := K()
		KORB(b, a, r)
		return r
	}
	return w.do(ors, a, b)
}

// truncated is a number's whole part.
func (w *wide) truncated(a Op) VecVirtual {
	const towardsZero = 0xb // without a note that it was not whole
	r := w.vec()
	if w.lanes == 8 {
		VRNDSCALEPD(U8(towardsZero), a, r)
	} else {
		VROUNDPD(U8(towardsZero), a, r)
	}
	return r
}

// polynomial is one by Horner's rule, the highest coefficient first.
func (w *wide) polynomial(x Op, c ...float64) VecVirtual {
	r := w.mul(x, c[0])
	for _, c := range c[1 : len(c)-1] {
		r = w.mul(w.add(r, c), x)
	}
	return w.add(r, c[len(c)-1])
}

// steps is the loop of a kernel: compute gives the values of a register, from a byte of the step
// on, and a mask of those that it is not for.
func (w *wide) steps(compute func(disp int) (v VecVirtual, hard Op), pointers ...Register) {
	n, hard, bit := Load(Param("steps"), GP64()), GP64(), GP64()
	XORQ(hard, hard)
	MOVQ(U32(1), bit)
	Label("step")
	values := make([]VecVirtual, 0, 2)
	found := GP32()
	XORL(found, found)
	for at := 0; at < 8; at += w.lanes {
		v, mask := compute(8 * at)
		values = append(values, v)
		some := GP32()
		if w.lanes == 8 {
			KMOVB(mask, some)
		} else {
			VMOVMSKPD(mask, some)
		}
		ORL(some, found)
	}
	JNZ(LabelRef("hard"))
	for i, v := range values {
		VMOVUPD(v, Mem{Base: pointers[0], Disp: 8 * w.lanes * i})
	}
	Label("next")
	for _, p := range pointers {
		ADDQ(U8(64), p)
	}
	SHLQ(U8(1), bit)
	DECQ(n)
	JNZ(LabelRef("step"))
	Store(hard, ReturnIndex(0))
	VZEROUPPER()
	RET()
	Label("hard")
	ORQ(bit, hard)
	JMP(LabelRef("next"))
}

const (
	mantissaBits = 1<<52 - 1
	signBit      = 1 << 63
)

// log1p is math.Log1p (log1p.go) from more than -1 on and below 2^53. Whether u is 2 but for its last bits,
// for which that has a way of its own, makes a value hard.
func (w *wide) log1p() {
	const (
		sqrt2M1     = 4.142135623730950488017e-01
		sqrt2HalfM1 = -2.928932188134524755992e-01
		ln2Hi       = 6.93147180369123816490e-01
		ln2Lo       = 1.90821492927058770002e-10
	)
	name := "log1p" + w.level
	TEXT(name, noSplit, "func(dst *byte, src *byte, steps int) (hard uint64)")
	Pragma("noescape")
	Doc(name + " is the logarithm of 1 + x; see the generator.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	w.steps(func(disp int) (VecVirtual, Op) {
		x := w.vec()
		VMOVUPD(Mem{Base: src, Disp: disp}, x)
		u := w.add(x, 1.0)
		exponent := w.vec()
		VPSRLQ(U8(52), u, exponent)
		k := w.sub(w.do(ors, exponent, 0x1p52), 0x1p52+1023)
		one := w.load(1)
		c := w.choose(w.is(k, greaterThan, 0.0), w.sub(one, w.sub(u, x)), w.sub(x, w.sub(u, 1.0)))
		c = w.do(divs, c, u)
		m := w.do(ors, w.do(ands, u, math.Float64frombits(mantissaBits)), 1.0)
		hard := w.is(m, atLeast, math.Float64frombits(0x3ffffffffffffffd))
		upper := w.is(m, atLeast, math.Float64frombits(0x3ff6a09e667f3bcd))
		k = w.choose(upper, w.add(k, 1.0), k)
		f := w.sub(w.choose(upper, w.mul(m, 0.5), m), 1.0)

		size := w.do(ands, x, math.Float64frombits(signBit-1))
		// Near 0 it is x itself; c counts for nothing there.
		near, above := w.is(size, lessThan, sqrt2M1), w.is(x, greaterThan, sqrt2HalfM1)
		zero := w.load(0)
		f = w.choose(near, w.choose(above, x, f), f)
		k = w.choose(near, w.choose(above, zero, k), k)
		c = w.choose(w.is(k, notEqual, 0.0), c, zero)
		half := w.mul(w.mul(f, 0.5), f)
		s := w.do(divs, f, w.add(f, 2.0))
		z := w.mul(s, s)
		r := w.mul(w.polynomial(z, 1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
			2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01), z)
		low := w.add(w.mul(s, w.add(half, r)), w.add(w.mul(k, ln2Lo), c))
		v := w.sub(w.mul(k, ln2Hi), w.sub(w.sub(half, low), f))
		v = w.choose(w.is(size, lessThan, 1.0/(1<<29)), w.sub(x, w.mul(w.mul(x, x), 0.5)), v)

		// The last bits near 2 are of those that 1 is added to.
		hard = w.without(hard, near, above)
		hard = w.either(hard, w.is(size, notLessOrNaN, 0x1p53))
		return v, w.either(hard, w.is(x, atMost, -1.0))
	}, dst, src)
}

// without is hard without those that are both near and above.
func (w *wide) without(hard, near, above Op) Op {
	if w.lanes == 8 {
		both, r := K(), K()
		KANDB(above, near, both)
		KANDNB(hard, both, r)
		return r
	}
	r := w.vec()
	VANDNPD(hard, w.do(ands, near, above), r)
	return r
}

// haversine is the distance of places in degrees, as package feature computes it by math.Sin,
// Cos (sin.go), Asin (asin.go) and Sqrt. Degrees of a million and more are hard.
func (w *wide) haversine() {
	name := "haversine" + w.level
	TEXT(name, noSplit, "func(dst *byte, lat1 *byte, lon1 *byte, lat2 *byte, lon2 *byte, steps int, diameter float64) (hard uint64)")
	Pragma("noescape")
	Doc(name + " is the distance of places; see the generator.")
	dst := Load(Param("dst"), GP64())
	from := [4]Register{}
	for i, p := range []string{"lat1", "lon1", "lat2", "lon2"} {
		from[i] = Load(Param(p), GP64())
	}
	diameter, err := Param("diameter").Resolve()
	if err != nil {
		panic(err)
	}
	w.steps(func(disp int) (VecVirtual, Op) {
		const degree, most = math.Pi / 180, 1e6
		load := func(i int) VecVirtual {
			r := w.vec()
			VMOVUPD(Mem{Base: from[i], Disp: disp}, r)
			return r
		}
		size := func(v Op) VecVirtual { return w.do(ands, v, math.Float64frombits(signBit-1)) }
		lat1, lat2 := load(0), load(2)
		hard := w.either(w.is(size(lat1), notLessOrNaN, most), w.is(size(lat2), notLessOrNaN, most))
		// The sign of both sines is that of their squares.
		north := w.sine(size(w.mul(w.mul(w.sub(lat2, lat1), degree), 0.5)))
		h := w.mul(w.cosine(size(w.mul(lat1, degree))), w.cosine(size(w.mul(lat2, degree))))
		lon1, lon2 := load(1), load(3)
		hard = w.either(hard, w.either(w.is(size(lon1), notLessOrNaN, most), w.is(size(lon2), notLessOrNaN, most)))
		east := w.sine(size(w.mul(w.mul(w.sub(lon2, lon1), degree), 0.5)))
		h = w.add(w.mul(north, north), w.mul(w.mul(h, east), east))
		x := w.vec()
		VSQRTPD(w.do(mins, h, 1.0), x)
		v := w.vec()
		VBROADCASTSD(diameter.Addr, v)
		return w.mul(v, w.arcsine(x)), hard
	}, append([]Register{dst}, from[:]...)...)
}

// reduced is what is left of an angle that is not negative, and how many quarters of a circle
// are taken off it.
func (w *wide) reduced(x Op) (z, quarters VecVirtual) {
	y := w.truncated(w.mul(x, 4/math.Pi))
	y = w.add(y, w.parity(y))
	z = w.sub(x, w.mul(y, 7.85398125648498535156e-1))
	z = w.sub(z, w.mul(y, 3.77489470793079817668e-8))
	z = w.sub(z, w.mul(y, 2.69515142907905952645e-15))
	return z, w.mul(y, 0.5)
}

// parity is 1 of odd numbers, 0 of even ones.
func (w *wide) parity(x Op) VecVirtual {
	half := w.truncated(w.mul(x, 0.5))
	return w.sub(w.sub(x, half), half)
}

// both are the sine and the cosine of what was reduced.
func (w *wide) both(z Op) (sine, cosine VecVirtual) {
	zz := w.mul(z, z)
	p := w.polynomial(zz, 1.58962301576546568060e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6, -1.98412698295895385996e-4, 8.33333333332211858878e-3, -1.66666666666666307295e-1)
	sine = w.add(z, w.mul(w.mul(z, zz), p))
	p = w.polynomial(zz, -1.13585365213876817300e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7, 2.48015872888517045348e-5, -1.38888888888730564116e-3, 4.16666666666665929218e-2)
	cosine = w.add(w.sub(w.load(1), w.mul(zz, 0.5)), w.mul(w.mul(zz, zz), p))
	return sine, cosine
}

// sine is one of an angle that is not negative, but for its sign.
func (w *wide) sine(x Op) VecVirtual {
	z, quarters := w.reduced(x)
	odd := w.is(w.parity(quarters), notEqual, 0.0)
	sine, cosine := w.both(z)
	return w.choose(odd, cosine, sine)
}

func (w *wide) cosine(x Op) VecVirtual {
	z, quarters := w.reduced(x)
	odd := w.parity(quarters)
	// It is negative in the second and the third quarter.
	negative := w.is(w.parity(w.mul(w.add(quarters, odd), 0.5)), notEqual, 0.0)
	sine, cosine := w.both(z)
	v := w.choose(w.is(odd, notEqual, 0.0), sine, cosine)
	return w.choose(negative, w.do(instruction{VXORPD, VXORPD_BCST}, v, math.Float64frombits(signBit)), v)
}

// arcsine is one of a number from 0 to 1.
func (w *wide) arcsine(x Op) VecVirtual {
	const moreBits = 6.123233995736765886130e-17
	other := w.vec()
	VSQRTPD(w.sub(w.load(1), w.mul(x, x)), other)
	far := w.is(x, greaterThan, 0.7)
	q := w.do(divs, w.choose(far, other, x), w.choose(far, x, other))
	wide := w.is(q, greaterThan, 0.66)
	t := w.choose(wide, w.do(divs, w.sub(q, 1.0), w.add(q, 1.0)), q)
	z := w.mul(t, t)
	p := w.mul(w.polynomial(z, -8.750608600031904122785e-01, -1.615753718733365076637e+01, -7.500855792314704667340e+01, -1.228866684490136173410e+02, -6.485021904942025371773e+01), z)
	d := w.add(z, 2.485846490142306297962e+01)
	for _, c := range []float64{1.650270098316988542046e+02, 4.328810604912902668951e+02, 4.853903996359136964868e+02, 1.945506571482613964425e+02} {
		d = w.add(w.mul(d, z), c)
	}
	v := w.add(w.mul(t, w.do(divs, p, d)), t)
	v = w.choose(wide, w.add(w.add(v, math.Pi/4), 0.5*moreBits), v)
	return w.choose(far, w.sub(w.load(math.Pi/2), v), v)
}
