package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/reg"
)

// The narrow kernels are affine ones from float32 to float32 that stay in float32
// (see kernel.narrowLine). With d = x - zero a value becomes
//
//	d*slope + (d*rest + add)
//
// each bracket and the whole one fused operation.
//
// Offsets of these in a rowColumn:
const (
	columnZero = 168 + 4*iota
	columnSlope
	columnRest
	columnAdd
)

func narrow() rower {
	r := rower{name: "narrowF32", from: 4, to: 4, affine: true, twoSteps: true, notes: overflowed}
	r.wide = func(c *wideColumn) VecVirtual {
		v, y := c.loaded4(), c.copied4(columnAdd)
		VSUBPS(c.held4(columnZero), v, v)
		VFMADD231PS(c.held4(columnRest), v, y)
		VFMADD231PS(c.held4(columnSlope), v, y)
		return c.bounded4(y)
	}
	r.lanes = func(k *cast, g int) []VecVirtual {
		v, p, y := YMM(), YMM(), YMM()
		VBROADCASTSS(k.param(columnZero), p)
		VMOVUPS(k.at(32*g), v)
		VSUBPS(p, v, v)
		p = YMM()
		VBROADCASTSS(k.param(columnAdd), y)
		VBROADCASTSS(k.param(columnRest), p)
		VFMADD231PS(v, p, y)
		p = YMM()
		VBROADCASTSS(k.param(columnSlope), p)
		VFMADD231PS(v, p, y)
		return []VecVirtual{k.bounded4(y)}
	}
	return r
}

// loaded4 loads sixteen 4-byte values. What is not valid is there, but for the last rows.
func (c *wideColumn) loaded4() VecVirtual {
	v := ZMM()
	if c.last {
		VMOVUPS_Z(c.at(0), c.valid, v)
	} else {
		VMOVUPS(c.at(0), v)
	}
	return v
}
