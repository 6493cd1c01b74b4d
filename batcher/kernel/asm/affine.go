package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The affine kernels are kernels on rows whose columns pass a linear function
// and bounds on the way (see kernel.Affine). A value becomes a float64 x, then
//
//	(x*mul0 + add0)*mul1 + add1
//
// where each bracket and the whole is one fused operation, so is rounded once:
// with mul0 = 1 the first one subtracts, with add1 = -0 the second multiplies, and
// no value comes out otherwise than by those. On its way to a float64 it is divided
// by mul1, rounded, and add1 is added. Then it is rounded to the element,
// bounded there, and NaN becomes the fill where the column says so. beyond is not
// 0 when a number became infinite on the way, if only before it was bounded, or
// where it is null: the processor itself notes that it happened (MXCSR).
//
// Offsets of these in a rowColumn:
const (
	columnMul0 = 104 + 8*iota
	columnAdd0
	columnMul1
	columnAdd1
	columnLeast
	columnMost
	columnKeepNaN // a mask: all ones where NaN stays
	columnFix     // the same as a table of VFIXUPIMM
)

// A bound kernel has no function, only bounds and fills, and leaves values in their
// type.
//
// affine is a kernel of a pair of types, from how AVX-512 and AVX2 load values as
// float64.
func affine(name string, from, to int, doubles func(c *wideColumn, half int) VecVirtual, lanes func(k *cast, g int) []VecVirtual) rower {
	r := rower{name: name, from: from, to: to, affine: true, slow: true, notes: overflowed}
	r.wide = func(c *wideColumn) VecVirtual {
		v := c.linear(doubles(c, 0), to)
		if to == 8 {
			return c.bounded8(v)
		}
		high, y := c.linear(doubles(c, 1), to), [2]VecVirtual{YMM(), YMM()}
		VCVTPD2PS(v, y[0])
		VCVTPD2PS(high, y[1])
		v = ZMM()
		VINSERTF32X8(U8(1), y[1], y[0].AsZ(), v)
		return c.bounded4(v)
	}
	r.lanes = func(k *cast, g int) []VecVirtual {
		values := lanes(k, g)
		k.linear(values, to)
		if to == 8 {
			k.bounded8(values)
			return values
		}
		x, y := [2]VecVirtual{XMM(), XMM()}, YMM()
		VCVTPD2PSY(values[0], x[0])
		VCVTPD2PSY(values[1], x[1])
		VINSERTF128(U8(1), x[1], x[0].AsY(), y)
		return []VecVirtual{k.bounded4(y)}
	}
	return r
}

// bound is a kernel of float32 or float64.
func bound(name string, elem int) rower {
	r := rower{name: name, from: elem, to: elem, affine: true, notes: overflowed}
	r.wide = func(c *wideColumn) VecVirtual {
		if elem == 8 {
			return c.bounded8(doublesBy(VMOVUPD, VMOVUPD_Z, 8)(c, 0))
		}
		return c.bounded4(c.loaded4())
	}
	r.lanes = func(k *cast, g int) []VecVirtual {
		values := lanesSame(elem/4)(k, g)
		if elem == 8 {
			k.bounded8(values)
		} else {
			k.bounded4(values[0])
		}
		return values
	}
	return r
}

func bounds() []rower { return []rower{bound("boundF32", 4), bound("boundF64", 8)} }

func affines() (all []rower) {
	for _, to := range []int{4, 8} {
		name := map[int]string{4: "F32", 8: "F64"}[to]
		longs := affine("affineI64"+name, 8, to, doublesBy(VCVTQQ2PD, VCVTQQ2PD_Z, 8), lanesLongDoubles)
		longs.prepare = prepareLongDoubles
		all = append(
			all,
			affine("affineF32"+name, 4, to, doublesBy(VCVTPS2PD, VCVTPS2PD_Z, 4), lanesWiden(VCVTPS2PD)),
			affine("affineF64"+name, 8, to, doublesBy(VMOVUPD, VMOVUPD_Z, 8), lanesSame(2)),
			affine("affineI32"+name, 4, to, doublesBy(VCVTDQ2PD, VCVTDQ2PD_Z, 4), lanesWiden(VCVTDQ2PD)),
			longs,
		)
	}
	return all
}

// doublesBy loads eight values. What is not valid is there, but for the last rows.
func doublesBy(load func(ops ...Op), masked func(mxyz, k, xyz Op), elem int) func(c *wideColumn, half int) VecVirtual {
	return func(c *wideColumn, half int) VecVirtual {
		v, at := ZMM(), c.at(8*elem*half)
		switch {
		case !c.last:
			load(at, v)
		case half == 0:
			masked(at, c.valid, v)
		default:
			high := K()
			KSHIFTRW(U8(8), c.valid, high)
			masked(at, high, v)
		}
		return v
	}
}

// linear is the linear function of eight float64, which become elements of some size.
func (c *wideColumn) linear(v VecVirtual, to int) VecVirtual {
	m := ZMM()
	VBROADCASTSD(c.param(columnMul0), m)
	VFMADD213PD_BCST(c.param(columnAdd0), m, v)
	if to == 8 {
		VDIVPD_BCST(c.param(columnMul1), v, v)
		VADDPD_BCST(c.param(columnAdd1), v, v)
		return v
	}
	m = ZMM()
	VBROADCASTSD(c.param(columnMul1), m)
	VFMADD213PD_BCST(c.param(columnAdd1), m, v)
	return v
}

// bounded4 bounds sixteen float32 and fills them. Of a NaN and a bound, and of two
// zeros, the value is the second operand and stays.
func (c *wideColumn) bounded4(v VecVirtual) VecVirtual {
	VMAXPS(v, c.held4(columnLeast), v)
	VMINPS(v, c.held4(columnMost), v)
	f := c.copied4(columnFill)
	switch fix := c.param(columnFix); {
	case c.masked && c.held != nil:
		VFIXUPIMMPS(U8(0), c.held4(columnFix), v, c.valid, f)
	case c.masked:
		VFIXUPIMMPS_BCST(U8(0), fix, v, c.valid, f)
	case c.held != nil:
		VFIXUPIMMPS(U8(0), c.held4(columnFix), v, f)
	default:
		VFIXUPIMMPS_BCST(U8(0), fix, v, f)
	}
	return f
}

// held4 is a parameter of 4 bytes in a register.
func (c *wideColumn) held4(offset int) VecVirtual {
	if v, ok := c.held[offset]; ok {
		return v
	}
	v := ZMM()
	VBROADCASTSS(c.param(offset), v)
	if c.held != nil {
		c.held[offset] = v
	}
	return v
}

// copied4 is one in a register to be written to.
func (c *wideColumn) copied4(offset int) VecVirtual {
	if c.held == nil {
		return c.held4(offset)
	}
	v := ZMM()
	VMOVAPS(c.held4(offset), v)
	return v
}

// bounded8 is the same for eight float64.
func (c *wideColumn) bounded8(v VecVirtual) VecVirtual {
	least, most, f := ZMM(), ZMM(), ZMM()
	VBROADCASTSD(c.param(columnLeast), least)
	VMAXPD(v, least, v)
	VBROADCASTSD(c.param(columnMost), most)
	VMINPD(v, most, v)
	VBROADCASTSD(c.fill, f)
	if c.masked {
		VFIXUPIMMPD_BCST(U8(0), c.param(columnFix), v, c.valid, f)
	} else {
		VFIXUPIMMPD_BCST(U8(0), c.param(columnFix), v, f)
	}
	return f
}

// linear is the same for AVX2.
func (k *cast) linear(values []VecVirtual, to int) {
	for _, mul := range []int{columnMul0, columnMul1} {
		m, a := YMM(), YMM()
		VBROADCASTSD(k.param(mul), m)
		VBROADCASTSD(k.param(mul+8), a)
		for _, v := range values {
			if mul == columnMul1 && to == 8 {
				VDIVPD(m, v, v)
				VADDPD(a, v, v)
				continue
			}
			VFMADD213PD(a, m, v)
		}
	}
}

func (k *cast) bounded4(v VecVirtual) VecVirtual {
	least, most := YMM(), YMM()
	VBROADCASTSS(k.param(columnLeast), least)
	VMAXPS(v, least, v)
	VBROADCASTSS(k.param(columnMost), most)
	VMINPS(v, most, v)
	return v
}

func (k *cast) bounded8(values []VecVirtual) {
	least, most := YMM(), YMM()
	VBROADCASTSD(k.param(columnLeast), least)
	VBROADCASTSD(k.param(columnMost), most)
	for _, v := range values {
		VMAXPD(v, least, v)
		VMINPD(v, most, v)
	}
}

// stays is the mask of the values that are no NaN to be filled.
func (k *cast) stays(v Op, elem int) VecVirtual {
	const ordered = 7 // ORD_Q
	keep, stays := YMM(), YMM()
	if elem == 4 {
		VCMPPS(U8(ordered), v, v, stays)
	} else {
		VCMPPD(U8(ordered), v, v, stays)
	}
	VBROADCASTSD(k.param(columnKeepNaN), keep)
	VORPS(keep, stays, stays)
	return stays
}

// MXCSR's notes: that what was asked of a NaN is invalid, that a finite number became
// infinite, and that a result was rounded.
const (
	invalid    = 1 << 0
	overflowed = 1 << 3
	inexact    = 1 << 5
)

// forget clears notes.
func forget(state Mem, notes uint32) {
	flags := GP32()
	STMXCSR(state)
	MOVL(state, flags)
	ANDL(U32(^notes), flags)
	MOVL(flags, state)
	LDMXCSR(state)
}

// noted reads them.
func noted(state Mem, result Register, notes uint32) {
	STMXCSR(state)
	MOVL(state, result.(GPVirtual).As32())
	ANDL(U32(notes), result.(GPVirtual).As32())
}
