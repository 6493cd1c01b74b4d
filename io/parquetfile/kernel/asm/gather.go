package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gathers unpack indices of 1 to 25 bits and look them up:
//
//	func(out *byte, n int, dict *byte, size int, packed *byte, bit, width int) (beyond int)
//
// bit, 0 to 7, is where the first index starts in the first byte of packed. n and
// size are 1 or more. If beyond is not 0, an index was not below size: nothing
// outside of the dictionary was read for it, and what is in out means nothing.
//
// unpacks are the same without the look-up:
//
//	func(out *byte, n int, packed *byte, bit, width int)
//
// An index and the bits before it in its first byte take 4 bytes at most, and 8
// indices take a whole number of bytes: which 4 bytes a lane needs and how far
// they are to be shifted is the same for every register.
//
// With AVX-512, small dictionaries are looked up in registers and others by the
// processor's own gather. With AVX2 values are loaded one by one: on most of the
// processors that have no more, that gather is slower.
func gathers() {
	iota16 := table("iota16", []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	for _, elem := range []int{4, 8} {
		for _, registers := range []int{2, 8, 0} {
			gather512(elem, registers, iota16)
		}
		gather256(elem, iota16)
	}
	gather512(0, 0, iota16)
	gather256(0, iota16)
}

const maxIndexRegister = 16 // indices in a register of AVX-512

// openGather begins the function of a kernel that writes values of elem bytes; 0
// stands for an unpack.
func openGather(elem, registers int, level string) {
	if elem == 0 {
		function("unpack"+level, "func(out *byte, n int, packed *byte, bit int, width int)", "unpacks n values.")
		return
	}
	entries, doc := "", "any number of values"
	if registers > 0 {
		entries = fmt.Sprintf("of%d", registers*64/elem)
		doc = fmt.Sprintf("%d values at most", registers*64/elem)
	}
	function(fmt.Sprintf("gather%d%s%s", elem, entries, level),
		"func(out *byte, n int, dict *byte, size int, packed *byte, bit int, width int) (beyond int)",
		fmt.Sprintf("looks n indices up in a dictionary of values of %d bytes, %s.", elem, doc))
}

// every is a register of AVX-512 with the low 32 bits of r in every lane.
func every(r Register) VecVirtual {
	x := ZMM()
	VPBROADCASTD(r.(GP).As32(), x)
	return x
}

func everyConst(v uint32) VecVirtual {
	r := GP64()
	MOVL(U32(v), r.As32())
	return every(r)
}

// lookup is the dictionary of a kernel of AVX-512.
type lookup struct {
	elem     int
	dict     Register
	tables   []VecVirtual // of a small one
	pairs    []VecVirtual // the number of each pair of tables, in every lane
	last     VecVirtual   // the last index, in every lane
	wide     VecVirtual   // the same in lanes of 8 bytes, where values have as many and the dictionary is not small
	exceeded OpmaskVirtual
}

func openLookup(elem, registers int, all Register) *lookup {
	l := &lookup{elem: elem, dict: load("dict"), exceeded: K()}
	size := load("size")
	last := GP64()
	LEAQ(Mem{Base: size, Disp: -1}, last)
	l.last = every(last)
	KXORW(l.exceeded, l.exceeded, l.exceeded)
	if registers == 0 {
		if elem == 8 {
			l.wide = ZMM()
			VPBROADCASTQ(last, l.wide)
		}
		return l
	}
	zero, bits := GP64(), GP64()
	XORL(zero.As32(), zero.As32())
	for j := range registers {
		present, t := K(), ZMM()
		BZHIQ(size, all, bits)
		if elem == 4 {
			KMOVW(bits.As32(), present)
			VMOVDQU32_Z(Mem{Base: l.dict, Disp: 64 * j}, present, t)
		} else {
			KMOVB(bits.As32(), present)
			VMOVDQU64_Z(Mem{Base: l.dict, Disp: 64 * j}, present, t)
		}
		l.tables = append(l.tables, t)
		SUBQ(U8(64/elem), size)
		CMOVQLT(zero, size)
	}
	for p := range registers / 2 {
		if registers > 2 {
			number, x := GP64(), ZMM()
			MOVL(U32(p), number.As32())
			if elem == 4 {
				VPBROADCASTD(number.As32(), x)
			} else {
				VPBROADCASTQ(number, x)
			}
			l.pairs = append(l.pairs, x)
		}
	}
	return l
}

// alignedLocal is a place of 64 bytes on the stack, within one cache line.
func alignedLocal() Register {
	at := GP64()
	LEAQ(AllocLocal(128), at)
	ADDQ(U8(63), at)
	ANDQ(I8(-64), at)
	return at
}

// values makes a register of indices, elem bytes each, those values. Indices that
// are beyond the dictionary read nothing.
func (l *lookup) values(x VecVirtual) {
	if len(l.tables) == 0 {
		within, y := K(), ZMM()
		VPXORD(y, y, y)
		if l.elem == 4 {
			VPCMPUD(U8(atMost), l.last, x, within)
			VPGATHERDD(Mem{Base: l.dict, Index: x, Scale: 4}, within, y)
			VMOVDQA32(y, x)
		} else {
			VPCMPUQ(U8(atMost), l.wide, x, within)
			VPGATHERQQ(Mem{Base: l.dict, Index: x, Scale: 8}, within, y)
			VMOVDQA64(y, x)
		}
		return
	}
	if len(l.pairs) == 0 {
		if l.elem == 4 {
			VPERMI2D(l.tables[1], l.tables[0], x)
		} else {
			VPERMI2Q(l.tables[1], l.tables[0], x)
		}
		return
	}
	// A lane is an index until the pair that has it makes it a value.
	pair := ZMM()
	if l.elem == 4 {
		VPSRLD(U8(5), x, pair)
	} else {
		VPSRLQ(U8(4), x, pair)
	}
	for p, number := range l.pairs {
		k := K()
		if l.elem == 4 {
			VPCMPEQD(number, pair, k)
		} else {
			VPCMPEQQ(number, pair, k)
		}
		if l.elem == 4 {
			VPERMI2D(l.tables[2*p+1], l.tables[2*p], k, x)
		} else {
			VPERMI2Q(l.tables[2*p+1], l.tables[2*p], k, x)
		}
	}
}

func gather512(elem, registers int, iota16 Mem) {
	openGather(elem, registers, "AVX512")
	out, n, packed, bit, width := load("out"), load("n"), load("packed"), load("bit"), load("width")
	all := GP64()
	MOVQ(I32(-1), all)
	var dict *lookup
	if elem > 0 {
		dict = openLookup(elem, registers, all)
	}

	bytes, shift := ZMM(), ZMM()
	VMOVDQU32(iota16, bytes)
	VPMULLD(every(width), bytes, bytes)
	VPADDD(every(bit), bytes, bytes)
	VPANDD(everyConst(7), bytes, shift)
	VPSRLD(U8(3), bytes, bytes)
	VPMULLD(everyConst(0x01010101), bytes, bytes)
	VPADDD(everyConst(0x03020100), bytes, bytes)
	bits := GP64()
	BZHIQ(width, all, bits)
	indexBits := every(bits)
	// readable is a mask of the bytes that the next indices lie in.
	readable := func(indices Op) OpmaskVirtual {
		k := K()
		MOVQ(width, bits)
		IMULQ(indices, bits)
		LEAQ(Mem{Base: bits, Index: bit, Scale: 1, Disp: 7}, bits)
		SHRQ(U8(3), bits)
		BZHIQ(bits, all, bits)
		KMOVQ(bits, k)
		return k
	}
	sixteen := GP64()
	MOVL(U32(maxIndexRegister), sixteen.As32())
	whole := readable(sixteen)
	step := GP64()
	LEAQ(Mem{Base: width, Index: width, Scale: 1}, step)
	unpack := func(k OpmaskVirtual) VecVirtual {
		x := ZMM()
		VMOVDQU8_Z(Mem{Base: packed}, k, x)
		VPERMB(x, bytes, x)
		VPSRLVD(shift, x, x)
		return x
	}

	CMPQ(n, sixteen)
	JLT(LabelRef("rest"))
	Label("whole")
	x := unpack(whole)
	VPANDD(indexBits, x, x)
	if elem > 0 {
		dict.check(x)
	}
	dict.store(x, out)
	ADDQ(step, packed)
	ADDQ(U32(maxIndexRegister*max(elem, 4)), out)
	SUBQ(sixteen, n)
	CMPQ(n, sixteen)
	JGE(LabelRef("whole"))

	Label("rest")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	some := K()
	BZHIQ(n, all, bits)
	KMOVW(bits.As32(), some)
	x = unpack(readable(n))
	VPANDD_Z(indexBits, x, some, x)
	if elem > 0 {
		dict.check(x)
	}
	dict.storeSome(x, out, n, some)
	Label("done")
	if elem > 0 {
		beyond := GP64()
		KMOVW(dict.exceeded, beyond.As32())
		Store(beyond, ReturnIndex(0))
	}
	end()
}

// How VPCMPUD and VPCMPUQ compare.
const (
	atMost  = 2 // LE
	greater = 6 // NLE
)

// check notes whether an index is beyond the dictionary.
func (l *lookup) check(x VecVirtual) {
	k := K()
	VPCMPUD(U8(greater), l.last, x, k)
	KORW(k, l.exceeded, l.exceeded)
}

// halves are 16 indices as two registers of 8.
func halves(x VecVirtual) (low, high VecVirtual) {
	low, high = ZMM(), ZMM()
	VEXTRACTI64X4(U8(1), x, high.AsY())
	VPMOVZXDQ(x.AsY(), low)
	VPMOVZXDQ(high.AsY(), high)
	return low, high
}

// store writes the values of 16 indices; without a dictionary, the indices.
func (l *lookup) store(x VecVirtual, out Register) {
	switch {
	case l == nil:
		VMOVDQU32(x, Mem{Base: out})
	case l.elem == 4:
		l.values(x)
		VMOVDQU32(x, Mem{Base: out})
	default:
		low, high := halves(x)
		l.values(low)
		VMOVDQU64(low, Mem{Base: out})
		l.values(high)
		VMOVDQU64(high, Mem{Base: out, Disp: 64})
	}
}

// storeSome is store for the first n, fewer than 16, whose bits are set in some.
func (l *lookup) storeSome(x VecVirtual, out, n Register, some OpmaskVirtual) {
	switch {
	case l == nil:
		VMOVDQU32(x, some, Mem{Base: out})
	case l.elem == 4:
		l.values(x)
		VMOVDQU32(x, some, Mem{Base: out})
	default:
		low, high := halves(x)
		l.values(low)
		VMOVDQU64(low, some, Mem{Base: out})
		l.values(high)
		upper := K()
		KSHIFTRW(U8(8), some, upper)
		VMOVDQU64(high, upper, Mem{Base: out, Disp: 64})
	}
}

// copyValue writes the value of one index.
func copyValue(elem int, dict Register, index, out Mem) {
	r := GP64()
	MOVL(index, r.As32())
	value := Mem{Base: dict, Index: r, Scale: uint8(elem)}
	if elem == 4 {
		MOVL(value, r.As32())
		MOVL(r.As32(), out)
	} else {
		MOVQ(value, r)
		MOVQ(r, out)
	}
}

// gather256 takes 8 indices at a time, and n is a multiple of 8. Two loads of 16
// bytes have them, the second from the byte in which the fifth begins:
//
//	packed + i*width/8 + (0, (bit + 4*width)/8)    for i = 0, 8, ...
//
// All those bytes must be there.
func gather256(elem int, iota16 Mem) {
	openGather(elem, 0, "AVX2")
	out, n, packed, bit, width := load("out"), load("n"), load("packed"), load("bit"), load("width")
	broadcast := func(r GPVirtual) VecVirtual {
		x, low := YMM(), XMM()
		VMOVD(r.As32(), low)
		VPBROADCASTD(low, x)
		return x
	}
	constant := func(v uint32) VecVirtual {
		r := GP64()
		MOVL(U32(v), r.As32())
		return broadcast(r)
	}
	var dict, indices Register
	var last, beyond VecVirtual
	if elem > 0 {
		dict, indices, beyond = load("dict"), alignedLocal(), YMM()
		size := GP64()
		Load(Param("size"), size)
		DECQ(size)
		last = broadcast(size)
		VPXOR(beyond, beyond, beyond)
	}
	bytes, shift := YMM(), YMM()
	VMOVDQU(iota16, bytes)
	VPMULLD(broadcast(width.(GPVirtual)), bytes, bytes)
	VPADDD(broadcast(bit.(GPVirtual)), bytes, bytes)
	VPAND(constant(7), bytes, shift)
	VPSRLD(U8(3), bytes, bytes)
	fifth := GP64()
	LEAQ(Mem{Base: bit, Index: width, Scale: 4}, fifth)
	SHRQ(U8(3), fifth)
	from, low := YMM(), XMM()
	VPXOR(from, from, from)
	VMOVD(fifth.As32(), low)
	VPBROADCASTD(low, low)
	VINSERTI128(U8(1), low, from, from)
	VPSUBD(from, bytes, bytes)
	VPMULLD(constant(0x01010101), bytes, bytes)
	VPADDD(constant(0x03020100), bytes, bytes)
	bits := GP64()
	MOVQ(I32(-1), bits)
	BZHIQ(width, bits, bits)
	indexBits := broadcast(bits)

	Label("eight")
	x := YMM()
	VMOVDQU(Mem{Base: packed}, x.AsX())
	VINSERTI128(U8(1), Mem{Base: packed, Index: fifth, Scale: 1}, x, x)
	VPSHUFB(bytes, x, x)
	VPSRLVD(shift, x, x)
	VPAND(indexBits, x, x)
	if elem == 0 {
		VMOVDQU(x, Mem{Base: out})
	} else {
		within := YMM()
		VPMINUD(last, x, within)
		VPXOR(within, x, x)
		VPOR(x, beyond, beyond)
		VMOVDQA(within, Mem{Base: indices})
		for i := range 8 {
			copyValue(elem, dict, Mem{Base: indices, Disp: 4 * i}, Mem{Base: out, Disp: elem * i})
		}
	}
	ADDQ(width, packed)
	ADDQ(U8(8*max(elem, 4)), out)
	SUBQ(U8(8), n)
	JNZ(LabelRef("eight"))
	if elem > 0 {
		XORL(bits.As32(), bits.As32())
		VPTEST(beyond, beyond)
		SETNE(bits.As8())
		Store(bits, ReturnIndex(0))
	}
	end()
}
