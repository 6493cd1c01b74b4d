package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// With AVX2 the narrow kernels compute rows: values are turned first, and then a register
// has a row's values of eight columns, and another the parameters of these columns, the
// same ones for all rows. Before the turn each column would have to load its own. There are
// two kinds: one fills NaN, of all columns, the other, the quick one, is for columns that have
// none: the bounds are compared with every value, and to compare a NaN is invalid, which the
// processor notes in MXCSR. Where NaN stays that is no matter. For columns of which some fill
// NaN, and nulls of fewer rows than bits are turned for, see held256.
//
// The parameters lie behind the columns, of each that of all columns (kernel.acrossLines).
const (
	acrossZero = 64 * iota
	acrossSlope
	acrossRest
	acrossAdd
	acrossLeast
	acrossMost
	acrossFill
)

func narrowRows() {
	for _, r := range []rower{
		{name: "narrowF32", from: 4, to: 4, across: true, nans: true, notes: overflowed, lanes: lanesSame(1)},
		{name: "narrowF32Quick", from: 4, to: 4, across: true, notes: overflowed | invalid, lanes: lanesSame(1)},
	} {
		r.generate256(noNulls)
		r.generate256(byRow)
	}
}

// acrossLine are the functions of eight columns, or their fills alone.
type acrossLine struct {
	at          GPVirtual
	held        map[int]VecVirtual // the parameters in registers
	nans, nulls bool               // are filled
}

// openAcross finds those of the columns that become the elements from first on.
func (r *rower) openAcross(first Register, dst Mem, nulls nullsKind) *acrossLine {
	l := &acrossLine{at: GP64(), held: map[int]VecVirtual{}, nans: r.nans, nulls: nulls == byRow}
	Load(Param("cols"), l.at)
	SUBQ(dst, l.at)
	LEAQ(Mem{Base: l.at, Index: first, Scale: 1, Disp: 2 * rowsColumns * columnBytes}, l.at)
	// Eight rows and what they become leave four to six registers. The bounds have to be
	// in some, or NaN and zeros would not stay.
	held := []int{acrossLeast, acrossMost, acrossZero}
	switch {
	case !r.across:
		held = []int{acrossFill}
	case l.nulls && l.nans:
		held = append(held, acrossFill)
	case l.nulls:
		held = append(held, acrossFill, acrossSlope)
	case l.nans:
		held = append(held, acrossFill, acrossSlope, acrossRest)
	default:
		held = append(held, acrossSlope, acrossRest, acrossAdd)
	}
	for _, param := range held {
		v := YMM()
		VMOVUPS(Mem{Base: l.at, Disp: param}, v)
		l.held[param] = v
	}
	return l
}

// param is a parameter.
func (l *acrossLine) param(param int) Op {
	if v, ok := l.held[param]; ok {
		return v
	}
	return Mem{Base: l.at, Disp: param}
}

// through are the functions of rows.
func (l *acrossLine) through(rows [8]func() VecVirtual) (through [8]func() VecVirtual) {
	for i, row := range rows {
		through[i] = func() VecVirtual {
			d, y := row(), YMM()
			VSUBPS(l.param(acrossZero), d, d)
			VMOVUPS(l.param(acrossAdd), y)
			VFMADD231PS(l.param(acrossRest), d, y)
			VFMADD231PS(l.param(acrossSlope), d, y)
			VMAXPS(y, l.held[acrossLeast], y)
			VMINPS(y, l.held[acrossMost], y)
			if l.nans && !l.nulls {
				l.fill(y, nil)
			}
			return y
		}
	}
	return through
}

// fill puts fills where a value is NaN, or where signs say that it is not
// valid.
func (l *acrossLine) fill(y, signs VecVirtual) {
	const ordered = 7 // ORD_Q
	stays := signs
	if l.nans {
		stays = YMM()
		VCMPPS(U8(ordered), y, y, stays)
		if signs != nil {
			VANDPS(signs, stays, stays)
		}
	}
	VBLENDVPS(stays, y, l.held[acrossFill], y)
}
