package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels on the values of one column that passes a function (see affine) are
// for tiles of columns of several types:
//
//	func(dst, src, column *byte, n int, bits *byte, bit int) (beyond int)
//
// column is a rowColumn, of which the fill and the function count, and n a multiple
// of block. beyond is that of the kernels on rows.
func affineValues() {
	for _, r := range append(affines(), narrow()) {
		r.values256()
		r.values512()
	}
}

// openValues begins a kernel.
func (r *rower) openValues(level string) (dst, src, column, n Register, state Mem) {
	name := r.name + "Values" + level
	TEXT(name, noSplit, "func(dst *byte, src *byte, column *byte, n int, bits *byte, bit int) (beyond int)")
	Pragma("noescape")
	Doc(name + " converts n values of a column; see the generator.")
	state = AllocLocal(8)
	forget(state, r.notes)
	return Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("column"), GP64()), Load(Param("n"), GP64()), state
}

// closeValues ends it; result has other evidence.
func (r *rower) closeValues(state Mem, result Register) {
	overflow := GP64()
	noted(state, overflow, r.notes)
	ORQ(overflow, result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func (r *rower) values512() {
	dst, src, column, n, state := r.openValues("AVX512")
	b := openBitmap()
	lanes := 64 / r.to
	loop(n, func() {
		b.nextWord()
		for g := range block / lanes {
			c := &wideColumn{
				at:    func(disp int) Mem { return Mem{Base: src, Disp: g*lanes*r.from + disp} },
				fill:  Mem{Base: column, Disp: columnFill},
				param: Mem{Base: column}.Offset, masked: true, valid: b.mask(g, lanes),
			}
			VMOVUPS(r.wide(c), Mem{Base: dst, Disp: 64 * g})
		}
	}, map[Register]int{dst: block * r.to, src: block * r.from}, dst, src)
	result := GP64()
	XORQ(result, result)
	r.closeValues(state, result)
}

func (r *rower) values256() {
	dst, src, column, n, state := r.openValues("AVX2")
	b := openBitmap()
	k := &cast{at: func(disp int) Mem { return Mem{Base: src, Disp: disp} }, bits: b, param: Mem{Base: column}.Offset}
	if r.prepare != nil {
		r.prepare(k)
	}
	fill := YMM()
	if r.to == 4 {
		VBROADCASTSS(Mem{Base: column, Disp: columnFill}, fill)
	} else {
		VBROADCASTSD(Mem{Base: column, Disp: columnFill}, fill)
	}
	loop(n, func() {
		b.next()
		for g := range block / 8 {
			for i, v := range r.lanes(k, g) {
				valid := k.stays(v, r.to)
				if r.to == 4 {
					VANDPS(b.valid4(g), valid, valid)
					VBLENDVPS(valid, v, fill, v)
				} else {
					VANDPS(b.valid8(2*g+i), valid, valid)
					VBLENDVPD(valid, v, fill, v)
				}
				VMOVUPS(v, Mem{Base: dst, Disp: 8*g*r.to + 32*i})
			}
		}
	}, map[Register]int{dst: block * r.to, src: block * r.from}, dst, src)
	result := GP64()
	XORQ(result, result)
	k.isBeyond(result)
	r.closeValues(state, result)
}
