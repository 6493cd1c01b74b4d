package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels that expand make rows of bitmaps. They read a matrix of bytes,
// bit j of byte (i, c) is the value of row 8*i+j in column c, whose rows are
// 64/elem bytes:
//
//	func(dst, bits *byte, stride, n, width int, one uint64)
//	func(dst, bits, valid, fills *byte, stride, n, width int, one uint64)
//
// n is the number of rows of the matrix, and width the number of columns that
// are written; with AVX2 whole registers are. one stands for a bit that is 1.
// valid is a second such matrix: where its bit is 0, rows get the element of
// fills, which is 64 bytes.
func expands() {
	for _, elem := range []int{1, 4, 8} {
		for _, validity := range []bool{false, true} {
			expand256(elem, validity)
			expand512(elem, validity)
		}
	}
}

// expander is what both kinds have in common.
type expander struct {
	elem                            int
	dst, bits, valid, fills, stride Register
	n                               Register
}

func openExpander(elem int, validity bool, level string) *expander {
	name, more := fmt.Sprintf("expand%d", elem), ""
	if validity {
		name, more = name+"Valid", ", valid *byte, fills *byte"
	}
	name += level
	TEXT(name, noSplit, "func(dst *byte, bits *byte"+more+", stride int, n int, width int, one uint64)")
	Pragma("noescape")
	Doc(name + " makes rows of bitmaps; see the generator.")
	e := &expander{
		elem: elem, dst: Load(Param("dst"), GP64()), bits: Load(Param("bits"), GP64()),
		stride: Load(Param("stride"), GP64()), n: Load(Param("n"), GP64()),
	}
	if validity {
		e.valid, e.fills = Load(Param("valid"), GP64()), Load(Param("fills"), GP64())
	}
	return e
}

// loop makes eight rows at a time, and returns.
func (e *expander) loop(label string, load func(), row func(j int)) {
	Label(label)
	load()
	for j := range 8 {
		row(j)
		ADDQ(e.stride, e.dst)
	}
	ADDQ(U8(64/e.elem), e.bits)
	if e.valid != nil {
		ADDQ(U8(64/e.elem), e.valid)
	}
	DECQ(e.n)
	JNZ(LabelRef(label))
	VZEROUPPER()
	RET()
}

func expand256(elem int, validity bool) {
	e := openExpander(elem, validity, "AVX2")
	one, zero := broadcast("one", elem), YMM()
	VPXOR(zero, zero, zero)
	width := Load(Param("width"), GP64())
	lanes := 32 / elem
	load := func(from Register, h int) VecVirtual {
		v, at := YMM(), Mem{Base: from, Disp: lanes * h}
		switch elem {
		case 1:
			VMOVDQU(at, v)
		case 4:
			VPMOVZXBD(at, v)
		default:
			VPMOVZXBQ(at, v)
		}
		return v
	}
	// signs has bit j as the sign of each lane.
	signs := func(v VecVirtual, j int) VecVirtual {
		s := YMM()
		switch elem {
		case 1:
			VPSLLW(U8(7-j), v, s)
		case 4:
			VPSLLD(U8(31-j), v, s)
		default:
			VPSLLQ(U8(63-j), v, s)
		}
		return s
	}
	choose := func(signs, yes, no, to VecVirtual) {
		switch elem {
		case 1:
			VPBLENDVB(signs, yes, no, to)
		case 4:
			VBLENDVPS(signs, yes, no, to)
		default:
			VBLENDVPD(signs, yes, no, to)
		}
	}
	var bits, valid, fills [2]VecVirtual
	if validity {
		for h := range fills {
			fills[h] = YMM()
			VMOVDQU(Mem{Base: e.fills, Disp: 32 * h}, fills[h])
		}
	}
	half := func(j, h int) {
		v := YMM()
		if elem == 1 {
			VPSRLW(U8(j), bits[h], v)
			VPAND(one, v, v)
		} else {
			choose(signs(bits[h], j), one, zero, v)
		}
		if validity {
			choose(signs(valid[h], j), v, fills[h], v)
		}
		VMOVDQU(v, Mem{Base: e.dst, Disp: 32 * h})
	}
	CMPQ(width, U8(lanes))
	JLE(LabelRef("one"))
	e.loop("both", func() {
		for h := range bits {
			bits[h] = load(e.bits, h)
			if validity {
				valid[h] = load(e.valid, h)
			}
		}
	}, func(j int) {
		half(j, 0)
		half(j, 1)
	})
	Label("one")
	e.loop("first", func() {
		bits[0] = load(e.bits, 0)
		if validity {
			valid[0] = load(e.valid, 0)
		}
	}, func(j int) { half(j, 0) })
}

func expand512(elem int, validity bool) {
	e := openExpander(elem, validity, "AVX512")
	one, bit, fills := ZMM(), [8]VecVirtual{}, ZMM()
	r, width := GP64(), GP64()
	spread := func(v VecVirtual) {
		switch elem {
		case 1:
			VPBROADCASTB(r.As32(), v)
		case 4:
			VPBROADCASTD(r.As32(), v)
		default:
			VPBROADCASTQ(r, v)
		}
	}
	Load(Param("one"), r)
	spread(one)
	for j := range bit {
		bit[j] = ZMM()
		MOVQ(U64(1<<j), r)
		spread(bit[j])
	}
	if validity {
		VMOVDQU64(Mem{Base: e.fills}, fills)
	}
	// The columns to be written; 64 are all.
	write := K()
	Load(Param("width"), width)
	MOVQ(I32(-1), r)
	BZHIQ(width, r, r)
	KMOVQ(r, write)
	load := func(from Register) VecVirtual {
		v, at := ZMM(), Mem{Base: from}
		switch elem {
		case 1:
			VMOVDQU64(at, v)
		case 4:
			VPMOVZXBD(at, v)
		default:
			VPMOVZXBQ(at, v)
		}
		return v
	}
	test := func(v VecVirtual, j int) OpmaskVirtual {
		k := K()
		switch elem {
		case 1:
			VPTESTMB(bit[j], v, k)
		case 4:
			VPTESTMD(bit[j], v, k)
		default:
			VPTESTMQ(bit[j], v, k)
		}
		return k
	}
	var bits, valid VecVirtual
	value := func(j int) VecVirtual {
		v := ZMM()
		switch elem {
		case 1:
			VPSRLW(U8(j), bits, v)
			VPANDQ(one, v, v)
			if validity {
				VPBLENDMB(v, fills, test(valid, j), v)
			}
		case 4:
			VMOVDQU32_Z(one, test(bits, j), v)
			if validity {
				VPBLENDMD(v, fills, test(valid, j), v)
			}
		default:
			VMOVDQU64_Z(one, test(bits, j), v)
			if validity {
				VPBLENDMQ(v, fills, test(valid, j), v)
			}
		}
		return v
	}
	start := func() {
		bits = load(e.bits)
		if validity {
			valid = load(e.valid)
		}
	}
	to := Mem{Base: e.dst}
	// Half a cache line is written as such: whole ones with a mask would cross
	// from line to line.
	CMPQ(width, U8(32/elem))
	JLE(LabelRef("half"))
	e.loop("whole", start, func(j int) {
		switch v := value(j); elem {
		case 1:
			VMOVDQU8(v, write, to)
		case 4:
			VMOVDQU32(v, write, to)
		default:
			VMOVDQU64(v, write, to)
		}
	})
	Label("half")
	e.loop("halves", start, func(j int) {
		switch v := value(j).AsY(); elem {
		case 1:
			VMOVDQU8(v, write, to)
		case 4:
			VMOVDQU32(v, write, to)
		default:
			VMOVDQU64(v, write, to)
		}
	})
}
